// Contractions: dot, batched dot, conv and both its gradients are one thing. A tile of results stays in registers over
// the reduction; the operands' loads and the tile's stores are pulled, so that prologue and epilogue cost nothing to
// express. Each result element is one chain of fma in the order of the reduced axes (or, where lanes run along a
// reduced axis, one chain a lane), so that tiles, panels and threads change no bit.
#include "compiler/loops/contraction.h"
#include "compiler/loops/lower.h"
#include "ir/ops/ops.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

namespace {

using Stmts = std::vector<Stmt>;
void append(Stmts &to, Stmts more) { std::move(more.begin(), more.end(), std::back_inserter(to)); }

class Contraction {
public:
  explicit Contraction(Lowering &l)
      : l_(l), k_(l.kernel), node_(*l.group.anchor), nest_(l.kernel, dims_of(node_.type().shape), reduced_dims()) {
    settle();
  }

  Stmts run() {
    lanes_ = l_.machine.lanes(size_of(dtype()));
    std::vector<AxisStrides> strides;
    for (const Axis &a : nest_.axes) strides.push_back({a, stride(a_, a), stride(b_, a), store_.coefficient(a.var.id)});
    plan_ = choose_schedule(strides, l_.machine, lanes_, size_of(dtype()));
    for (const Axis &a : nest_.axes)
      if (a.reduce) reduced_.push_back(a);
    if (plan_.lane_axis < 0) return scalar();
    k_.schedule = fmt::format("{} i{}, rows i{} x {}, {} x {}{}", plan_.lanes_reduce ? "chains" : "lanes",
                              var(plan_.lane_axis).id, plan_.row_axis < 0 ? -1 : var(plan_.row_axis).id, plan_.rows,
                              plan_.lanes_reduce ? "columns" : "vectors", plan_.vectors, plan_.pack ? ", packed" : "");
    return plan_.lanes_reduce ? chains() : lanes();
  }

private:
  Lowering &l_;
  Kernel &k_;
  const Node &node_;
  Nest nest_;
  const Expr *a_ = nullptr, *b_ = nullptr;
  Index store_;
  std::vector<Axis> reduced_;
  ContractionSchedule plan_;
  int lanes_ = 1;

  DType dtype() const { return node_.type().dtype; }
  IndexVar var(int axis) const { return nest_.axes[size_t(axis)].var; }
  int64_t extent(int axis) const { return axis < 0 ? 1 : var(axis).extent; }

  std::vector<int64_t> reduced_dims() const {
    if (node_.op == Op::dot) return {node_.operands[0].shape().back()};
    ops::ConvDims d = ops::conv_dims(node_);
    std::vector<int64_t> out{d.in_channels};
    out.insert(out.end(), d.kernel.begin(), d.kernel.end());
    return out;
  }

  std::pair<std::vector<Index>, std::vector<Index>> operand_indices(const Nest &n) const {
    std::vector<Index> a, b;
    if (node_.op == Op::dot) {
      size_t r = n.out.size();
      a.assign(n.out.begin(), n.out.end() - 2), b = a;
      a.push_back(n.out[r - 2]), a.push_back(n.red[0]);
      b.push_back(n.red[0]), b.push_back(n.out[r - 1]);
      return {a, b};
    }
    ops::ConvDims d = ops::conv_dims(node_);
    a = {n.out[0], d.groups == 1 ? n.red[0] : n.out[1] / d.out_channels * d.in_channels + n.red[0]};
    b = {n.out[1], n.red[0]};
    for (size_t i = 0; i < size_t(d.spatial); ++i) {
      TRELLIS_CHECK(d.lo[i] == 0 && d.hi[i] == 0 && d.input_dilation[i] == 1,
                    "convolutions are padded before lowering");
      a.push_back(n.out[2 + i] * d.stride[i] + n.red[1 + i] * d.dilation[i]);
      b.push_back(n.red[1 + i]);
    }
    return {a, b};
  }

  std::optional<int64_t> stride(const Expr *e, const Axis &a) const {
    if (e->kind != Expr::Kind::load || e->dynamic) return std::nullopt;
    return e->index.coefficient(a.var.id);
  }

  // Result axes in the order of storage; reduced axes in the order of the first operand's.
  void settle() {
    auto places = [&] {
      l_.pull.clear();
      auto [ia, ib] = operand_indices(nest_);
      a_ = l_.pull.at(node_.operands[0], ia), b_ = l_.pull.at(node_.operands[1], ib);
      Accesses acc;
      acc.add(a_, k_), acc.add(b_, k_);
      l_.pull.set_anchor(k_.constant(dtype(), 0));
      for (const Stmt &s : l_.store_results(nest_.out)) acc.add(s.value, k_);
      std::vector<Index> stores = l_.result_places(nest_.out);
      l_.pull.set_anchor(nullptr);
      store_ = stores[0];
      return acc.with(std::move(stores));
    };
    nest_.settle(k_, places, [&](const Axis &x) {
      const Index &e = x.reduce && a_->kind == Expr::Kind::load ? a_->index : store_;
      return std::abs(e.coefficient(x.var.id).value_or(0));
    });
    l_.pull.clear();
  }

  const Expr *accumulate(const Expr *a, const Expr *b, const Expr *acc) {
    if (l_.machine.fma || !is_float(dtype())) return k_.op(Op::fma, {a, b, acc}, dtype());
    return k_.op(Op::add, {k_.op(Op::mul, {a, b}, dtype()), acc}, dtype());
  }
  const Expr *operand(int which, const Nest &n) {
    auto indices = operand_indices(n);
    return l_.pull.at(node_.operands[size_t(which)], which ? indices.second : indices.first);
  }

  Stmts over_reduced(Stmts body, const std::vector<Axis> &axes) {
    for (size_t i = axes.size(); i-- > 0;) {
      Stmts level;
      level.push_back(make_loop(Stmt::Loop::serial, axes[i].var, std::move(body)));
      body = std::move(level);
    }
    return body;
  }

  // `rows` x `width` results from (row, column), lanes along the lane axis. `panel`: the lanes' operand was copied.
  Stmts tile(int64_t rows, const Index &row, int64_t width, const Index &column, int panel, int64_t panel_width) {
    int lanes = int(std::min<int64_t>(width, lanes_));
    int acc = k_.add_buffer({fmt::format("acc{}", k_.buffers.size()), dtype(), Space::reg, rows * width, lanes});
    Stmts out;
    auto over = [&](auto make, bool rolled = false) {
      IndexVar i = k_.var(rows), j = k_.var(width);
      std::vector<std::pair<int, Index>> point{{var(plan_.lane_axis).id, column + Index(j)}};
      if (plan_.row_axis >= 0) point.emplace_back(var(plan_.row_axis).id, row + Index(i));
      l_.pull.clear();
      Stmts body = make(nest_.at(point), Index(i) * width + Index(j), Index(j));
      Stmts inner;
      inner.push_back(make_loop(Stmt::Loop::vector, j, std::move(body), lanes, !rolled));
      Stmts outer;
      outer.push_back(make_loop(rolled ? Stmt::Loop::serial : Stmt::Loop::unroll, i, std::move(inner)));
      return outer;
    };
    append(out, over([&](const Nest &, const Index &slot, const Index &) {
             return Stmts{make_store(acc, slot, k_.constant(dtype(), 0))};
           }));
    append(out, over_reduced(over([&](const Nest &n, const Index &slot, const Index &j) {
                               const Expr *a = panel >= 0 && a_moves() ? k_.load(panel, panel_index(panel_width) + j)
                                                                       : operand(0, n);
                               const Expr *b = panel >= 0 && !a_moves() ? k_.load(panel, panel_index(panel_width) + j)
                                                                        : operand(1, n);
                               return Stmts{make_store(acc, slot, accumulate(a, b, k_.load(acc, slot)))};
                             }),
                             reduced_));
    if (!heavy_epilogue()) {
      append(out,
             over([&](const Nest &n, const Index &slot, const Index &) { return epilogue(n, k_.load(acc, slot)); }));
      return out;
    }
    int strip = k_.add_buffer({fmt::format("strip{}", k_.buffers.size()), dtype(), Space::scratch, rows * width, 1});
    append(out, over([&](const Nest &, const Index &slot, const Index &) {
             return Stmts{make_store(strip, slot, k_.load(acc, slot))};
           }));
    append(out, over([&](const Nest &n, const Index &slot, const Index &) { return epilogue(n, k_.load(strip, slot)); },
                     true));
    out.back().apart = true;
    return out;
  }

  Stmts epilogue(const Nest &n, const Expr *result) {
    l_.pull.set_anchor(result);
    Stmts s = l_.store_results(n.out);
    l_.pull.set_anchor(nullptr);
    return s;
  }

  // More than a bias and an activation: on live accumulators it would spill them, and be repeated for each of them.
  // The tile goes to a strip in L1, over which the epilogue runs as a loop.
  bool heavy_epilogue() {
    constexpr size_t kLight = 6;
    l_.pull.clear();
    std::unordered_set<const Expr *> seen;
    size_t ops = 0;
    std::function<void(const Expr *)> visit = [&](const Expr *e) {
      if (!seen.insert(e).second) return;
      ops += e->kind == Expr::Kind::op;
      for (const Expr *a : e->args) visit(a);
    };
    for (const Stmt &s : epilogue(nest_, k_.constant(dtype(), 0))) visit(s.value);
    l_.pull.clear();
    return ops > kLight;
  }

  bool a_moves() const { return stride(a_, nest_.axes[size_t(plan_.lane_axis)]).value_or(0) != 0; }
  Index panel_index(int64_t width) const {
    Index e;
    for (const Axis &r : reduced_) e = e * r.var.extent + Index(r.var);
    return e * width;
  }

  // The rows of one column block: the panel first, where there is one.
  Stmts column_block(int64_t width, const Index &column) {
    Stmts out;
    int panel = -1;
    if (plan_.pack) {
      int64_t steps = 1;
      for (const Axis &r : reduced_) steps *= r.var.extent;
      panel = k_.add_buffer({fmt::format("panel{}", k_.buffers.size()), dtype(), Space::scratch, steps * width, 1});
      IndexVar j = k_.var(width);
      l_.pull.clear();
      Nest n = nest_.at({{var(plan_.lane_axis).id, column + Index(j)}});
      Stmts copy;
      copy.push_back(make_loop(Stmt::Loop::vector, j,
                               {make_store(panel, panel_index(width) + Index(j), operand(a_moves() ? 0 : 1, n))},
                               lanes_, true));
      append(out, over_reduced(std::move(copy), reduced_));
    }
    EvenSplit s = split_evenly(extent(plan_.row_axis), plan_.rows);
    auto rows = [&](int64_t count, int64_t size, int64_t from) {
      if (count <= 0) return;
      IndexVar t = k_.var(count);
      Stmts body = tile(size, Index(t) * size + from, width, column, panel, width);
      if (count == 1)
        append(out, std::move(body));
      else
        out.push_back(make_loop(Stmt::Loop::serial, t, std::move(body)));
    };
    rows(s.first, s.size, 0);
    rows(s.rest, s.size - 1, s.first * s.size);
    return out;
  }

  // Blocks of columns: whole registers, evenly; then the tail. f(count, width, from).
  template <class F> void column_blocks(F f) {
    int64_t n = extent(plan_.lane_axis), chunks = n / lanes_, tail = n % lanes_;
    if (chunks) {
      EvenSplit s = split_evenly(chunks, plan_.vectors);
      f(s.first, s.size * lanes_, int64_t(0));
      if (s.rest) f(s.rest, (s.size - 1) * lanes_, s.first * s.size * lanes_);
    }
    if (tail) f(int64_t(1), tail, chunks * lanes_);
  }

  std::vector<Axis> outer_axes() const {
    std::vector<Axis> out;
    for (int i = 0; i < int(nest_.axes.size()); ++i)
      if (!nest_.axes[size_t(i)].reduce && i != plan_.lane_axis && i != plan_.row_axis && i != plan_.column_axis)
        out.push_back(nest_.axes[size_t(i)]);
    return out;
  }

  // Each top-level nest is parallel in all its loops over tiles.
  Stmts lanes() {
    std::vector<Axis> outer = outer_axes();
    int64_t trip = 1;
    for (const Axis &a : outer) trip *= a.var.extent;
    Stmts out;
    if (trip >= 8) { // enough rows of tiles: columns inside, so that a row of the other operand stays near
      Stmts body;
      column_blocks([&](int64_t count, int64_t width, int64_t from) {
        IndexVar c = k_.var(count);
        Stmts block = column_block(width, Index(c) * width + from);
        if (count == 1)
          append(body, std::move(block));
        else
          body.push_back(make_loop(Stmt::Loop::serial, c, std::move(block)));
      });
      return wrap_parallel(outer, std::move(body));
    }
    column_blocks([&](int64_t count, int64_t width, int64_t from) {
      IndexVar c = k_.var(count);
      std::vector<Axis> axes = outer;
      axes.push_back({c, false});
      append(out, wrap_parallel(axes, column_block(width, Index(c) * width + from), 1 << 30));
    });
    return out;
  }

  // rows x columns results, each `lanes_` chains along the lane axis.
  Stmts chain_tile(int64_t rows, const Index &row, int64_t columns, const Index &column) {
    IndexVar lane = var(plan_.lane_axis);
    int64_t whole = lane.extent / lanes_, rest = lane.extent % lanes_;
    int acc =
        k_.add_buffer({fmt::format("acc{}", k_.buffers.size()), dtype(), Space::reg, rows * columns * lanes_, lanes_});
    int tail =
        rest ? k_.add_buffer({fmt::format("tail{}", k_.buffers.size()), dtype(), Space::reg, rows * columns, 1}) : -1;
    auto grid = [&](auto make, bool rolled = false) { // make(the point, number of the result)
      Stmt::Loop kind = rolled ? Stmt::Loop::serial : Stmt::Loop::unroll;
      IndexVar i = k_.var(rows), c = k_.var(columns);
      std::vector<std::pair<int, Index>> point;
      if (plan_.row_axis >= 0) point.emplace_back(var(plan_.row_axis).id, row + Index(i));
      if (plan_.column_axis >= 0) point.emplace_back(var(plan_.column_axis).id, column + Index(c));
      l_.pull.clear();
      Stmts inner;
      inner.push_back(make_loop(kind, c, make(point, Index(i) * columns + Index(c))));
      Stmts outer;
      outer.push_back(make_loop(kind, i, std::move(inner)));
      return outer;
    };
    using Point = std::vector<std::pair<int, Index>>;
    auto vector = [&](IndexVar j, Stmts body) {
      Stmts s;
      s.push_back(make_loop(Stmt::Loop::vector, j, std::move(body), lanes_, true));
      return s;
    };
    auto step = [&](int into, const Index &slot, Point p, const Index &position) {
      p.emplace_back(lane.id, position);
      Nest n = nest_.at(p);
      return Stmts{make_store(into, slot, accumulate(operand(0, n), operand(1, n), k_.load(into, slot)))};
    };
    std::vector<Axis> others;
    for (const Axis &r : reduced_)
      if (r.var.id != lane.id) others.push_back(r);
    Stmts out, inner;
    append(out, grid([&](const Point &, const Index &slot) {
             IndexVar j = k_.var(lanes_);
             return vector(j, {make_store(acc, slot * lanes_ + Index(j), k_.constant(dtype(), 0))});
           }));
    IndexVar block = k_.var(whole);
    Stmts steps = grid([&](const Point &p, const Index &slot) {
      IndexVar j = k_.var(lanes_);
      return vector(j, step(acc, slot * lanes_ + Index(j), p, Index(block) * lanes_ + Index(j)));
    });
    inner.push_back(make_loop(Stmt::Loop::serial, block, std::move(steps)));
    if (rest) {
      append(out, grid([&](const Point &, const Index &slot) {
               return Stmts{make_store(tail, slot, k_.constant(dtype(), 0))};
             }));
      IndexVar j = k_.var(rest);
      inner.push_back(make_loop(Stmt::Loop::serial, j, grid([&](const Point &p, const Index &slot) {
                                  return step(tail, slot, p, Index(j) + whole * lanes_);
                                })));
    }
    append(out, over_reduced(std::move(inner), others));
    auto total = [&](const Index &slot) {
      const Expr *sum = k_.lanes(acc, slot * lanes_, lanes_, Op::add);
      return rest ? k_.op(Op::add, {sum, k_.load(tail, slot)}, dtype()) : sum;
    };
    if (!heavy_epilogue()) {
      append(out, grid([&](const Point &p, const Index &slot) { return epilogue(nest_.at(p), total(slot)); }));
      return out;
    }
    int strip = k_.add_buffer({fmt::format("strip{}", k_.buffers.size()), dtype(), Space::scratch, rows * columns, 1});
    append(out, grid([&](const Point &, const Index &slot) { return Stmts{make_store(strip, slot, total(slot))}; }));
    append(out,
           grid([&](const Point &p, const Index &slot) { return epilogue(nest_.at(p), k_.load(strip, slot)); }, true));
    out.back().apart = true;
    return out;
  }

  Stmts chains() {
    std::vector<Axis> outer = outer_axes();
    EvenSplit r = split_evenly(extent(plan_.row_axis), plan_.rows),
              c = split_evenly(extent(plan_.column_axis), plan_.vectors);
    Stmts out;
    for (auto [rows, nr, row0] :
         {std::tuple(r.size, r.first, int64_t(0)), std::tuple(r.size - 1, r.rest, r.first * r.size)})
      for (auto [columns, nc, column0] :
           {std::tuple(c.size, c.first, int64_t(0)), std::tuple(c.size - 1, c.rest, c.first * c.size)}) {
        if (!nr || !nc) continue;
        IndexVar i = k_.var(nr), j = k_.var(nc);
        std::vector<Axis> axes = outer;
        axes.push_back({i, false}), axes.push_back({j, false});
        append(out, wrap_parallel(axes, chain_tile(rows, Index(i) * rows + row0, columns, Index(j) * columns + column0),
                                  1 << 30));
      }
    return out;
  }

  // No axis is linear in both operands: one chain at a time.
  Stmts scalar() {
    int acc = k_.add_buffer({"acc", dtype(), Space::reg, 1, 1});
    Stmts body{make_store(acc, Index(0), k_.constant(dtype(), 0))};
    append(body, over_reduced({make_store(acc, Index(0),
                                          accumulate(operand(0, nest_), operand(1, nest_), k_.load(acc, Index(0))))},
                              reduced_));
    l_.pull.set_anchor(k_.load(acc, Index(0)));
    append(body, l_.store_results(nest_.out));
    l_.pull.set_anchor(nullptr);
    return wrap_parallel(outer_axes(), std::move(body));
  }
};

} // namespace

std::vector<Stmt> lower_contraction(Lowering &l) {
  if (l.domain().size() == 0) return {};
  return Contraction(l).run();
}

} // namespace trellis

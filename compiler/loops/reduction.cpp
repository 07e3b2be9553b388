// Large reductions. Where a result axis has unit stride, lanes hold neighbouring results and each is one chain over
// the reduced axes; where a reduced axis has it, lanes (and a few registers of them) are chains of one result, combined
// pairwise at the end. Which one is a function of the shapes and layouts alone.
#include "compiler/loops/lower.h"
#include <algorithm>

namespace trellis {

namespace {

class Reduction {
public:
  explicit Reduction(Lowering &l) : l_(l), k_(l.kernel), node_(*l.group.anchor), nest_(make_nest()) { settle(); }

  std::vector<Stmt> run() {
    for (size_t i = 0; i < nest_.axes.size(); ++i) (nest_.axes[i].reduce ? reduced_ : outer_).push_back(nest_.axes[i]);
    auto unit = [&](const Axis &a) {
      for (const Index &e : loads_)
        if (e.coefficient(a.var.id) == 1) return true;
      return false;
    };
    auto wide = [&](const Axis &a) { return unit(a) && a.var.extent >= l_.machine.lanes(size_of(dtype())) / 2; };
    if (auto v = std::find_if(outer_.begin(), outer_.end(), wide); v != outer_.end()) return vertical(v);
    if (auto v = std::find_if(reduced_.begin(), reduced_.end(), wide); v != reduced_.end()) return horizontal(v);
    return wrap_parallel(outer_, block({}, 1, {}));
  }

private:
  Lowering &l_;
  Kernel &k_;
  const Node &node_;
  Nest nest_;
  std::vector<Index> loads_; // of the operand
  std::vector<Axis> outer_, reduced_;

  DType dtype() const { return node_.type().dtype; }
  const std::string &kind() const { return node_.attrs.word(Attr::kind); }
  Op combine() const { return combine_op(kind()); }

  std::vector<int64_t> axes_dims(bool reduce) const {
    const auto &axes = node_.attrs.ints(Attr::axes);
    std::vector<int64_t> out;
    const Shape &s = node_.operands[0].shape();
    for (size_t i = 0; i < s.size(); ++i)
      if (std::binary_search(axes.begin(), axes.end(), int64_t(i)) == reduce) out.push_back(s[i]);
    return out;
  }
  Nest make_nest() const { return Nest(l_.kernel, axes_dims(false), axes_dims(true)); }

  // Index of the operand from the nest's own indices; of the result, with kept axes.
  std::vector<Index> operand_index(const Nest &n) const {
    const auto &axes = node_.attrs.ints(Attr::axes);
    std::vector<Index> out;
    for (size_t i = 0, o = 0, r = 0; i < node_.operands[0].shape().size(); ++i)
      out.push_back(std::binary_search(axes.begin(), axes.end(), int64_t(i)) ? n.red[r++] : n.out[o++]);
    return out;
  }
  std::vector<Index> result_index(const Nest &n) const {
    if (!node_.attrs.flag(Attr::keep)) return n.out;
    std::vector<Index> out = operand_index(n);
    for (int64_t a : node_.attrs.ints(Attr::axes)) out[size_t(a)] = 0;
    return out;
  }

  // By the operand's stride.
  void settle() {
    auto places = [&] {
      l_.pull.clear();
      Accesses a;
      a.add(l_.pull.at(node_.operands[0], operand_index(nest_)), k_);
      loads_ = a.with({}).memory;
      l_.pull.set_anchor(k_.constant(dtype(), 0));
      for (const Stmt &s : l_.store_results(result_index(nest_))) a.add(s.value, k_);
      std::vector<Index> stores = l_.result_places(result_index(nest_));
      l_.pull.set_anchor(nullptr);
      return a.with(std::move(stores));
    };
    nest_.settle(k_, places,
                 [&](const Axis &a) { return loads_.empty() ? 0 : loads_[0].coefficient(a.var.id).value_or(0); });
    l_.pull.clear();
  }

  const Expr *element(const Nest &n) { return l_.pull.at(node_.operands[0], operand_index(n)); }

  std::vector<Stmt> reduce_loops(const std::vector<Axis> &axes, std::vector<Stmt> body) {
    for (size_t i = axes.size(); i-- > 0;) {
      std::vector<Stmt> level;
      level.push_back(make_loop(Stmt::Loop::serial, axes[i].var, std::move(body)));
      body = std::move(level);
    }
    return body;
  }

  // `width` neighbouring results from `base` along axis `vec`, in registers of `lanes`.
  std::vector<Stmt> block(std::optional<IndexVar> vec, int64_t width, const Index &base) {
    int lanes = int(std::min<int64_t>(width, l_.machine.lanes(size_of(dtype()))));
    int acc = k_.add_buffer({"acc" + std::to_string(k_.buffers.size()), dtype(), Space::reg, width, lanes});
    std::vector<Stmt> out;
    auto over = [&](auto make) { // a loop over the block's results
      IndexVar j = k_.var(width);
      Nest n = vec ? nest_.at({{vec->id, base + Index(j)}}) : nest_;
      std::vector<Stmt> body = make(n, Index(j));
      if (width == 1) return body;
      std::vector<Stmt> loop;
      loop.push_back(make_loop(Stmt::Loop::vector, j, std::move(body), lanes, true));
      return loop;
    };
    l_.pull.clear();
    auto append = [&](std::vector<Stmt> more) { std::move(more.begin(), more.end(), std::back_inserter(out)); };
    append(over([&](const Nest &, const Index &j) {
      return std::vector<Stmt>{make_store(acc, j, identity(k_, kind(), dtype()))};
    }));
    append(reduce_loops(reduced_, over([&](const Nest &n, const Index &j) {
                          return std::vector<Stmt>{
                              make_store(acc, j, k_.op(combine(), {k_.load(acc, j), element(n)}, dtype()))};
                        })));
    append(over([&](const Nest &n, const Index &j) {
      l_.pull.set_anchor(k_.load(acc, j));
      return l_.store_results(result_index(n));
    }));
    l_.pull.set_anchor(nullptr);
    return out;
  }

  std::vector<Stmt> vertical(std::vector<Axis>::iterator v) {
    IndexVar axis = v->var;
    outer_.erase(v);
    int64_t lanes = l_.machine.lanes(size_of(dtype())), wide = 4 * lanes, n = axis.extent;
    std::vector<Stmt> body;
    if (int64_t blocks = n / wide) {
      IndexVar b = k_.var(blocks);
      std::vector<Stmt> inside = block(axis, wide, Index(b) * wide);
      if (n % wide == 0) { // blocks alone: they may run in parallel too
        std::vector<Axis> all = outer_;
        all.push_back({b, false});
        return wrap_parallel(all, std::move(inside));
      }
      body.push_back(make_loop(Stmt::Loop::serial, b, std::move(inside)));
    }
    int64_t done = n / wide * wide;
    for (int64_t w : {lanes * ((n - done) / lanes), (n - done) % lanes})
      if (w > 0) {
        auto more = block(axis, w, Index(done));
        std::move(more.begin(), more.end(), std::back_inserter(body));
        done += w;
      }
    return wrap_parallel(outer_, std::move(body));
  }

  std::vector<Stmt> horizontal(std::vector<Axis>::iterator v) {
    IndexVar axis = v->var;
    reduced_.erase(v);
    int64_t lanes = l_.machine.lanes(size_of(dtype())), n = axis.extent;
    int64_t width = n >= 4 * lanes ? 4 * lanes
                    : n >= lanes   ? lanes
                                   : 0,
            blocks = width ? n / width : 0, left = width ? n - blocks * width : n;
    int acc =
        width ? k_.add_buffer({"acc" + std::to_string(k_.buffers.size()), dtype(), Space::reg, width, int(lanes)}) : -1;
    int64_t more = left / lanes * lanes, rest = left - more; // whole registers, then single elements
    int tail = rest ? k_.add_buffer({"tail" + std::to_string(k_.buffers.size()), dtype(), Space::reg, 1, 1}) : -1;
    std::vector<Stmt> out, inner;
    l_.pull.clear();
    auto step = [&](int into, const Index &slot, const Index &position) {
      return std::vector<Stmt>{make_store(
          into, slot, k_.op(combine(), {k_.load(into, slot), element(nest_.at({{axis.id, position}}))}, dtype()))};
    };
    auto vector_loop = [&](std::vector<Stmt> body, IndexVar j) {
      return make_loop(Stmt::Loop::vector, j, std::move(body), int(lanes), true);
    };
    if (width) {
      IndexVar j = k_.var(width);
      out.push_back(vector_loop({make_store(acc, Index(j), identity(k_, kind(), dtype()))}, j));
      IndexVar b = k_.var(blocks), i = k_.var(width);
      std::vector<Stmt> body;
      body.push_back(vector_loop(step(acc, Index(i), Index(b) * width + Index(i)), i));
      inner.push_back(make_loop(Stmt::Loop::serial, b, std::move(body)));
    }
    if (more) {
      IndexVar j = k_.var(more);
      inner.push_back(vector_loop(step(acc, Index(j), Index(j) + blocks * width), j));
    }
    if (rest) {
      out.push_back(make_store(tail, Index(0), identity(k_, kind(), dtype())));
      IndexVar j = k_.var(rest);
      inner.push_back(make_loop(Stmt::Loop::serial, j, step(tail, Index(0), Index(j) + (n - rest))));
    }
    inner = reduce_loops(reduced_, std::move(inner));
    std::move(inner.begin(), inner.end(), std::back_inserter(out));
    const Expr *total = width ? k_.lanes(acc, Index(0), width, combine()) : nullptr;
    if (rest) total = total ? k_.op(combine(), {total, k_.load(tail, Index(0))}, dtype()) : k_.load(tail, Index(0));
    l_.pull.set_anchor(total);
    auto stores = l_.store_results(result_index(nest_));
    l_.pull.set_anchor(nullptr);
    std::move(stores.begin(), stores.end(), std::back_inserter(out));
    return wrap_parallel(outer_, std::move(out));
  }
};

} // namespace

std::vector<Stmt> lower_reduction(Lowering &l) {
  if (l.domain().size() == 0) return {};
  return Reduction(l).run();
}

} // namespace trellis

// Running reductions: a chain along the axis in a register, for neighbouring lines in lanes where an axis beside it has
// unit stride. Sums and products are carried in f64, as the interpreter does, and rounded where they are stored.
#include "compiler/loops/lower.h"
#include <algorithm>

namespace trellis {

namespace {

class Cumulative {
public:
  explicit Cumulative(Lowering &l)
      : l_(l), k_(l.kernel), node_(*l.group.anchor), axis_(size_t(node_.attrs.i(Attr::axis))), nest_(make_nest()) {
    settle();
  }

  std::vector<Stmt> run() {
    for (const Axis &a : nest_.axes) (a.reduce ? along_ : beside_).push_back(a);
    auto unit = [&](const Axis &a) { return store_.coefficient(a.var.id) == 1 && a.var.extent >= lanes() / 2; };
    auto v = std::find_if(beside_.begin(), beside_.end(), unit);
    if (v == beside_.end()) return wrap_parallel(beside_, lines({}, 1, {}));
    IndexVar axis = v->var;
    beside_.erase(v);
    int64_t wide = 4 * lanes(), n = axis.extent, blocks = n / wide, left = n % wide;
    std::vector<Stmt> out;
    auto add = [&](const std::vector<Axis> &axes, int64_t width, const Index &base) {
      std::vector<Stmt> nest = wrap_parallel(axes, lines(axis, width, base));
      std::move(nest.begin(), nest.end(), std::back_inserter(out));
    };
    if (blocks) {
      IndexVar b = k_.var(blocks);
      std::vector<Axis> axes = beside_;
      axes.push_back({b, false});
      add(axes, wide, Index(b) * wide);
    }
    for (int64_t w : {left / lanes() * lanes(), left % lanes()})
      if (w) add(beside_, w, Index(n - left)), left -= w;
    return out;
  }

private:
  Lowering &l_;
  Kernel &k_;
  const Node &node_;
  size_t axis_;
  Nest nest_;
  Index store_;
  std::vector<Axis> beside_, along_;

  const std::string &kind() const { return node_.attrs.word(Attr::kind); }
  DType dtype() const { return node_.type().dtype; }
  DType carry() const { return dtype() == DType::f32 && (kind() == "sum" || kind() == "prod") ? DType::f64 : dtype(); }
  int64_t lanes() const { return l_.machine.lanes(size_of(carry())); }

  Nest make_nest() const {
    std::vector<int64_t> dims = dims_of(node_.type().shape), beside;
    for (size_t i = 0; i < dims.size(); ++i)
      if (i != axis_) beside.push_back(dims[i]);
    return Nest(l_.kernel, beside, {dims[axis_]});
  }
  std::vector<Index> index(const Nest &n) const {
    std::vector<Index> out = n.out;
    Index last = Index(node_.type().shape[axis_].value() - 1);
    out.insert(out.begin() + std::ptrdiff_t(axis_), node_.attrs.flag(Attr::reverse) ? last - n.red[0] : n.red[0]);
    return out;
  }

  // Axes beside it are ordered by stride and merged; along it the order is the order of the chain.
  void settle() {
    auto places = [&] {
      l_.pull.clear();
      Accesses a;
      a.add(l_.pull.at(node_.operands[0], index(nest_)), k_);
      store_ = l_.pull.layout(node_.result()).offset(index(nest_));
      return a.with({store_});
    };
    nest_.settle(k_, places, [&](const Axis &a) { return a.reduce ? 0 : store_.coefficient(a.var.id).value_or(0); });
    l_.pull.clear();
  }

  // `width` neighbouring lines from `base` along `vec`.
  std::vector<Stmt> lines(std::optional<IndexVar> vec, int64_t width, const Index &base) {
    DType c = carry();
    int chunk = int(std::min(width, lanes()));
    int acc = k_.add_buffer({"acc" + std::to_string(k_.buffers.size()), c, Space::reg, width, chunk});
    l_.pull.clear();
    auto over = [&](auto make) {
      IndexVar j = k_.var(width);
      Nest n = vec ? nest_.at({{vec->id, base + Index(j)}}) : nest_;
      std::vector<Stmt> body = make(n, width == 1 ? Index(0) : Index(j));
      if (width == 1) return body;
      std::vector<Stmt> loop;
      loop.push_back(make_loop(Stmt::Loop::vector, j, std::move(body), chunk, true));
      return loop;
    };
    std::vector<Stmt> out = over(
        [&](const Nest &, const Index &j) { return std::vector<Stmt>{make_store(acc, j, identity(k_, kind(), c))}; });
    std::vector<Stmt> chain = over([&](const Nest &n, const Index &j) {
      std::vector<Index> at = index(n);
      const Expr *x = l_.pull.at(node_.operands[0], at), *sum = k_.load(acc, j);
      if (x->dtype != c) x = k_.op(Op::cast, {x}, c);
      Stmt step = make_store(acc, j, k_.op(combine_op(kind()), {sum, x}, c));
      if (c != dtype()) sum = k_.op(Op::cast, {sum}, dtype());
      Value y = node_.result();
      Stmt store = make_store(l_.pull.slot(y), l_.pull.layout(y).offset(at), sum);
      bool exclusive = node_.attrs.flag(Attr::exclusive);
      return exclusive ? std::vector<Stmt>{store, step} : std::vector<Stmt>{step, store};
    });
    for (size_t i = along_.size(); i-- > 0;) {
      std::vector<Stmt> level;
      level.push_back(make_loop(Stmt::Loop::serial, along_[i].var, std::move(chain)));
      chain = std::move(level);
    }
    std::move(chain.begin(), chain.end(), std::back_inserter(out));
    return out;
  }
};

} // namespace

std::vector<Stmt> lower_cumulative(Lowering &l) {
  TRELLIS_CHECK(l.group.results.size() == 1, "a running reduction has no epilogue");
  if (l.domain().size() == 0) return {};
  return Cumulative(l).run();
}

} // namespace trellis

// Sort: a merge sort of indices, a kernel a level. An element's place in the merged run is its place in its own run plus
// the number of elements of the other run that come before it, found by bisection; so all elements of a level are
// independent, and whatever threads do, the order is the one that is stable.
#include "compiler/loops/lower.h"
#include "compiler/loops/planner.h"
#include <fmt/format.h>

namespace trellis {

namespace {

/// Element (o, i, q) of lines along an axis: row-major [outer, extent, inner].
struct Lines {
  int64_t outer = 1, extent = 1, inner = 1;
  Lines(const Shape &s, size_t axis) : extent(s[axis].value()) {
    for (size_t i = 0; i < s.size(); ++i)
      if (i != axis) (i < axis ? outer : inner) *= s[i].value();
  }
  int64_t size() const { return outer * extent * inner; }
};

class SortKernel {
public:
  SortKernel(std::string name, const Lines &l, DType t, bool descending)
      : lines_(l), dtype_(t), descending_(descending) {
    k_.name = std::move(name);
    o_ = k_.var(l.outer), i_ = k_.var(l.extent), q_ = k_.var(l.inner);
  }

  /// order = 0, 1, ... in every line.
  Kernel begin() {
    int order = slot("order", DType::i64);
    return finish(make_store(order, here(), k_.index(Index(i_))));
  }
  /// The elements in their order.
  Kernel end() {
    int x = slot("x", dtype_), order = slot("order", DType::i64), y = slot("y", dtype_);
    return finish(make_store(y, here(), at(x, k_.load(order, here()))));
  }
  /// Runs of 2^level elements merged in pairs.
  Kernel merge(int level) {
    int x = slot("x", dtype_), from = slot("from", DType::i64), to = slot("to", DType::i64);
    int64_t width = int64_t(1) << level;
    const Expr *i = k_.index(Index(i_)), *mine = k_.load(from, here()), *v = at(x, mine);
    const Expr *right = k_.op(Op::lt, {number(width - 1), both(i, 2 * width - 1)}, DType::boolean);
    const Expr *base = both(i, ~(2 * width - 1));
    const Expr *other = add(base, select(right, number(0), number(width)));
    const Expr *length = least(most(add(number(lines_.extent), k_.op(Op::neg, {other}, DType::i64)), 0), width);
    const Expr *before = number(0); // elements of the other run that come before this one
    for (int64_t step = width; step > 0; step /= 2) {
      const Expr *next = add(before, number(step));
      const Expr *probe = least(most(add(add(other, next), number(-1)), 0), lines_.extent - 1);
      const Expr *u = at(x, at(from, probe));
      // The left run's element comes first where neither is less.
      const Expr *first = select(right, inverted(less(v, u)), less(u, v), DType::boolean);
      const Expr *there = inverted(k_.op(Op::lt, {length, next}, DType::boolean));
      before = select(k_.op(Op::bit_and, {there, first}, DType::boolean), next, before);
    }
    const Expr *place = add(add(base, both(i, width - 1)), before);
    Stmt store = make_store(to, line(), mine);
    store.dynamic = scaled(place);
    return finish(std::move(store));
  }

private:
  Kernel k_;
  Lines lines_;
  DType dtype_;
  bool descending_;
  IndexVar o_, i_, q_;

  int slot(const char *name, DType t) { return k_.add_buffer({name, t, Space::slot, lines_.size(), 1}); }
  Index line() const { return Index(o_) * (lines_.extent * lines_.inner) + Index(q_); }
  Index here() const { return line() + Index(i_) * lines_.inner; }
  const Expr *number(int64_t v) { return k_.constant_bits(DType::i64, uint64_t(v)); }
  const Expr *add(const Expr *a, const Expr *b) { return k_.op(Op::add, {a, b}, DType::i64); }
  const Expr *both(const Expr *a, int64_t bits) { return k_.op(Op::bit_and, {a, number(bits)}, DType::i64); }
  const Expr *least(const Expr *a, int64_t v) { return k_.op(Op::min, {a, number(v)}, DType::i64); }
  const Expr *most(const Expr *a, int64_t v) { return k_.op(Op::max, {a, number(v)}, DType::i64); }
  const Expr *select(const Expr *c, const Expr *a, const Expr *b, DType t = DType::i64) {
    return k_.op(Op::select, {c, a, b}, t);
  }
  const Expr *inverted(const Expr *c) {
    return k_.op(Op::bit_xor, {c, k_.constant_bits(DType::boolean, 1)}, DType::boolean);
  }
  const Expr *scaled(const Expr *i) {
    return lines_.inner == 1 ? i : k_.op(Op::mul, {i, number(lines_.inner)}, DType::i64);
  }
  const Expr *at(int buffer, const Expr *i) { return k_.load(buffer, line(), scaled(i)); }
  /// NaN comes last in either order.
  const Expr *less(const Expr *a, const Expr *b) {
    const Expr *l = k_.op(Op::lt, descending_ ? std::vector{b, a} : std::vector{a, b}, DType::boolean);
    if (!is_float(dtype_)) return l;
    const Expr *is = k_.op(Op::eq, {a, a}, DType::boolean), *none = inverted(k_.op(Op::eq, {b, b}, DType::boolean));
    return k_.op(Op::bit_or, {l, k_.op(Op::bit_and, {is, none}, DType::boolean)}, DType::boolean);
  }
  Kernel finish(Stmt store) {
    std::vector<Stmt> body;
    body.push_back(std::move(store));
    std::vector<Axis> axes;
    for (IndexVar v : {o_, i_, q_})
      if (v.extent > 1) axes.push_back({v, false});
    k_.body = wrap_parallel(axes, std::move(body));
    return std::move(k_);
  }
};

} // namespace

void Planner::add_sort(int g) {
  const Node &n = *fusion_.groups[size_t(g)].anchor;
  std::string name = fmt::format("{}k{}_sort", name_, g);
  Value x = n.operands[0];
  int from = source(x), values = slot(n.result(0), storage_.now()), order = slot(n.result(1), storage_.now());
  if (x.type().size() == 0) return;
  Lines lines(x.shape(), size_t(n.attrs.i(Attr::axis)));
  auto kernel = [&](const std::string &what) {
    return SortKernel(name + what, lines, x.dtype(), n.attrs.flag(Attr::descending));
  };
  int levels = 0;
  while (int64_t(1) << levels < lines.extent) ++levels;
  int other = levels ? storage_.add_arena(8 * lines.size()) : order, now = levels % 2 ? other : order;
  storage_.add_kernel(kernel(".begin").begin(), lines.size(), {now});
  for (int level = 0; level < levels; ++level) {
    int next = now == order ? other : order;
    storage_.add_kernel(kernel(fmt::format(".merge{}", int64_t(1) << level)).merge(level), lines.size() * (level + 2),
                        {from, now, next});
    now = next;
  }
  storage_.add_kernel(kernel(".end").end(), lines.size(), {from, order, values});
}

} // namespace trellis

// Reductions over axes.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::ops {

using Ints = std::vector<int64_t>;

void infer_reduce(Infer &c) {
  const std::string &kind = c.attrs.word(Attr::kind);
  c.require(kind == "sum" || kind == "prod" || kind == "max" || kind == "min",
            fmt::format("kind '{}' is none of sum, prod, max, min", kind));
  c.require(c.x().dtype != DType::boolean || kind == "max" || kind == "min",
            "a bool operand has only max (any) and min (all)");
  Ints axes = c.attrs.ints(Attr::axes);
  for (int64_t &a : axes) a = c.axis(a, c.x().rank());
  std::sort(axes.begin(), axes.end());
  c.require(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is named twice");
  c.attrs.set(Attr::axes, axes);
  bool keep = c.attrs.flag(Attr::keep);
  if (!keep) c.attrs.erase(Attr::keep);
  Shape out;
  for (int i = 0; i < c.x().rank(); ++i)
    if (!std::binary_search(axes.begin(), axes.end(), i))
      out.push_back(c.x().shape[size_t(i)]);
    else if (keep)
      out.push_back(1);
  c.result(c.x().dtype, out);
}

// Position in the result of every element of the operand, in row-major order: f(element, position).
template <class F> static void for_each(const Tensor &x, const Ints &axes, F f) {
  size_t r = x.dims().size();
  Ints stride(r), at(r);
  int64_t s = 1;
  for (size_t i = r; i-- > 0;)
    if (!std::binary_search(axes.begin(), axes.end(), int64_t(i))) stride[i] = s, s *= x.dims()[i];
  int64_t out = 0;
  for (int64_t e = 0; e < x.size(); ++e) {
    f(e, out);
    for (size_t i = r; i-- > 0;) {
      out += stride[i];
      if (++at[i] < x.dims()[i]) break;
      out -= stride[i] * at[i], at[i] = 0;
    }
  }
}

void interpret_reduce(EvalContext &c) {
  const Tensor &x = c.x[0];
  Tensor &y = c.y[0];
  const std::string &kind = c.node.attrs.word(Attr::kind);
  const Ints &axes = c.node.attrs.ints(Attr::axes);
  DType t = x.dtype();
  if (is_float(t)) {
    std::vector<double> acc(size_t(y.size()), kind == "sum"    ? 0.0
                                              : kind == "prod" ? 1.0
                                              : kind == "max"  ? -INFINITY
                                                               : INFINITY);
    for_each(x, axes, [&](int64_t e, int64_t o) {
      double &a = acc[size_t(o)], v = x.get(e);
      a = kind == "sum" ? a + v : kind == "prod" ? a * v : kind == "max" ? ops::max(a, v) : ops::min(a, v);
    });
    for (int64_t i = 0; i < y.size(); ++i) y.set(i, acc[size_t(i)]);
    return;
  }
  int bits = 8 * size_of(t);
  int64_t least =
      t == DType::boolean || is_unsigned_int(t) ? 0 : std::numeric_limits<int64_t>::min() >> (64 - bits);
  int64_t most = t == DType::boolean  ? 1
                 : is_unsigned_int(t) ? (bits == 64 ? -1 : (int64_t(1) << bits) - 1)
                                      : ~least;
  for (int64_t i = 0; i < y.size(); ++i)
    y.set_int(i, kind == "sum" ? 0 : kind == "prod" ? 1 : kind == "max" ? least : most);
  for_each(x, axes, [&](int64_t e, int64_t o) {
    int64_t a = y.get_int(o), v = x.get_int(e);
    bool less = is_unsigned_int(t) ? uint64_t(a) < uint64_t(v) : a < v;
    y.set_int(o, kind == "sum"             ? ops::add(a, v)
                 : kind == "prod"          ? ops::mul(a, v)
                 : (kind == "max") == less ? v
                                           : a);
  });
}

Values vjp_reduce(Vjp v) {
  const Node &n = v.node;
  const std::string &kind = n.attrs.word(Attr::kind);
  const Ints &axes = n.attrs.ints(Attr::axes);
  Value x = v.x[0];
  Shape kept = x.shape();
  for (int64_t a : axes) kept[size_t(a)] = 1;
  auto spread = [&](Value y) { return expand(reshape(y, kept), x.shape()); };
  if (kind == "sum") return {spread(v.dy)};
  if (kind == "prod") {
    // The product of the others, over every other position: x may hold zeros.
    throw CompileError(n.loc, "reduce: the derivative of prod is not defined here");
  }
  // The first extreme in row-major order of the reduced axes takes all.
  Value hit = eq(x, spread(v.y));
  Graph &g = v.graph();
  Value position = g.splat({DType::i32, x.shape()}, 0);
  int64_t total = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    position = position + iota(g, {DType::i32, x.shape()}, axes[i]) * double(total);
    total *= x.shape()[size_t(axes[i])].value();
  }
  Value first = reduce(select(hit, position, double(total)), "min", axes, true);
  return {select(eq(position, expand(first, x.shape())), spread(v.dy), 0)};
}

} // namespace trellis::ops

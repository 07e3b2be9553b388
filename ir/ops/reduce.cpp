// Reductions over axes, and what is made of them.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::ops {

Ints canonical_axes(Infer &c) {
  Ints axes;
  if (c.attrs.has(Attr::axes))
    axes = c.attrs.ints(Attr::axes);
  else
    axes = axes_before(c.x().rank());
  for (int64_t &a : axes) a = c.axis(a, c.x().rank());
  std::sort(axes.begin(), axes.end());
  c.require(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is named twice");
  c.attrs.set(Attr::axes, axes);
  return axes;
}

Shape reduced_shape(Infer &c, const Ints &axes) {
  bool keep = c.attrs.flag(Attr::keep);
  if (!keep) c.attrs.erase(Attr::keep);
  Shape out;
  for (int i = 0; i < c.x().rank(); ++i)
    if (!std::binary_search(axes.begin(), axes.end(), i))
      out.push_back(c.x().shape[size_t(i)]);
    else if (keep)
      out.push_back(1);
  return out;
}

void infer_reduce(Infer &c) {
  const std::string &kind = c.attrs.word(Attr::kind);
  c.require(kind == "sum" || kind == "prod" || kind == "max" || kind == "min",
            fmt::format("kind '{}' is none of sum, prod, max, min", kind));
  c.require(c.x().dtype != DType::boolean || kind == "max" || kind == "min",
            "a bool operand has only max (any) and min (all)");
  c.result(c.x().dtype, reduced_shape(c, canonical_axes(c)));
}

Value spread(Value y, const Ints &axes, const Shape &to) {
  Shape kept = to;
  for (int64_t a : axes) kept[size_t(a)] = 1;
  return expand(reshape(y, kept), to);
}
Value sum_over(Value x, const Ints &axes) { return axes.empty() ? x : sum(x, axes); }
Ints axes_from(int64_t first, int rank) {
  Ints out;
  for (int64_t a = first; a < rank; ++a) out.push_back(a);
  return out;
}
Ints axes_before(int64_t end) { return axes_from(0, int(end)); }

int64_t least_int(DType t) {
  return is_signed_int(t) ? std::numeric_limits<int64_t>::min() >> (64 - 8 * size_of(t)) : 0;
}
int64_t most_int(DType t) {
  if (t == DType::boolean) return 1;
  if (is_signed_int(t)) return ~least_int(t);
  return t == DType::u64 ? -1 : (int64_t(1) << (8 * size_of(t))) - 1;
}
Value least(Graph &g, DType t) {
  return is_float(t) ? g.scalar(t, -INFINITY) : g.constant(Tensor::scalar_int(t, least_int(t)));
}

Value row_major_index(Graph &g, const Shape &shape, const Ints &axes, DType dtype) {
  Value out;
  int64_t scale = 1;
  for (size_t i = axes.size(); i-- > 0;) {
    Value at = iota(g, {dtype, shape}, axes[i]);
    if (scale != 1) at = at * double(scale);
    out = out ? out + at : at;
    scale *= shape[size_t(axes[i])].value();
  }
  return out ? out : g.splat({dtype, shape}, 0);
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
    double from = kind == "sum" ? 0.0 : kind == "prod" ? 1.0 : kind == "max" ? -INFINITY : INFINITY;
    std::vector<double> acc(size_t(y.size()), from);
    for_each(x, axes, [&](int64_t e, int64_t o) {
      double &a = acc[size_t(o)], v = x.get(e);
      a = kind == "sum" ? a + v : kind == "prod" ? a * v : kind == "max" ? ops::max(a, v) : ops::min(a, v);
    });
    for (int64_t i = 0; i < y.size(); ++i) y.set(i, acc[size_t(i)]);
    return;
  }
  int64_t from = kind == "sum" ? 0 : kind == "prod" ? 1 : kind == "max" ? least_int(t) : most_int(t);
  for (int64_t i = 0; i < y.size(); ++i) y.set_int(i, from);
  for_each(x, axes, [&](int64_t e, int64_t o) {
    int64_t a = y.get_int(o), v = x.get_int(e);
    bool less = is_unsigned_int(t) ? uint64_t(a) < uint64_t(v) : a < v;
    y.set_int(o, kind == "sum" ? ops::add(a, v) : kind == "prod" ? ops::mul(a, v) : (kind == "max") == less ? v : a);
  });
}

// dx = dy times the product of the others. Dividing y by x would be wrong where x holds a zero, so the others
// are what stands before times what stands behind, along the axes flattened into one.
static Value vjp_prod(Value x, Value dy, const Ints &axes) {
  Ints perm, inverse(size_t(x.rank()));
  for (int64_t i = 0; i < x.rank(); ++i)
    if (!std::binary_search(axes.begin(), axes.end(), i)) perm.push_back(i);
  size_t lead = perm.size();
  perm.insert(perm.end(), axes.begin(), axes.end());
  for (size_t i = 0; i < perm.size(); ++i) inverse[size_t(perm[i])] = int64_t(i);
  Value moved = permute(x, perm);
  Shape apart = moved.shape(), flat(apart.begin(), apart.begin() + std::ptrdiff_t(lead));
  int64_t n = 1;
  for (size_t i = lead; i < apart.size(); ++i) n *= apart[i].value();
  flat.push_back(n);
  Value f = reshape(moved, flat);
  Value others = cumulative(f, "prod", int64_t(lead), true) * cumulative(f, "prod", int64_t(lead), true, true);
  return permute(reshape(others, apart), inverse) * spread(dy, axes, x.shape());
}

Values vjp_reduce(Vjp v) {
  const Node &n = v.node;
  const std::string &kind = n.attrs.word(Attr::kind);
  const Ints &axes = n.attrs.ints(Attr::axes);
  Value x = v.x[0];
  if (kind == "sum") return {spread(v.dy, axes, x.shape())};
  if (kind == "prod") return {vjp_prod(x, v.dy, axes)};
  // The first extreme in row-major order of the reduced axes takes all.
  int64_t total = 1;
  for (int64_t a : axes) total *= x.shape()[size_t(a)].value();
  Value at = row_major_index(v.graph(), x.shape(), axes, total < INT32_MAX ? DType::i32 : DType::i64);
  Value hit = eq(x, spread(v.y, axes, x.shape()));
  Value first = reduce_over(select(hit, at, double(total)), "min", axes);
  return {select(eq(at, spread(first, axes, x.shape())), spread(v.dy, axes, x.shape()), 0)};
}

// --- composites ---

void infer_reducing(Infer &c) { c.result(c.x().dtype, reduced_shape(c, canonical_axes(c))); }

static const Ints &axes_of(const Node &n) { return n.attrs.ints(Attr::axes); }

Value mean_over(Value x, const Ints &axes, bool keep) {
  double n = 1;
  for (int64_t a : axes) n *= double(x.shape()[size_t(a)].value());
  return reduce_over(x, "sum", axes, keep) / n;
}

Values expand_mean(Expand e) { return {mean_over(e.x[0], axes_of(e.node), e.node.attrs.flag(Attr::keep))}; }
Values expand_var(Expand e) {
  Value x = e.x[0];
  Value m = expand(mean_over(x, axes_of(e.node), true), x.shape());
  return {mean_over(square(x - m), axes_of(e.node), e.node.attrs.flag(Attr::keep))};
}

// The largest element is taken out first, so that nothing overflows; an infinite one must not become inf -
// inf.
Values expand_logsumexp(Expand e) {
  Value x = e.x[0];
  const Ints &axes = axes_of(e.node);
  Value m = reduce_over(x, "max", axes, true);
  m = select(is_finite(m), m, 0);
  Value y = log(reduce_over(exp(x - expand(m, x.shape())), "sum", axes, true)) + m;
  return {reshape(y, e.node.type().shape)};
}
Values vjp_logsumexp(Vjp v) {
  Value x = v.x[0];
  const Ints &axes = axes_of(v.node);
  return {exp(x - spread(v.y, axes, x.shape())) * spread(v.dy, axes, x.shape())};
}

void infer_arg(Infer &c) {
  int64_t axis = c.axis(c.attrs.i(Attr::axis), c.x().rank());
  c.attrs.set(Attr::axis, axis);
  Dim d = c.x().shape[size_t(axis)];
  c.require(!d.is_static() || d.value() > 0, fmt::format("axis {} of {} has no element", axis, c.x().str()));
  c.result(DType::i64, reduced_shape(c, {axis}));
}
// The first of the elements that equal the extreme; a NaN is the extreme.
static Value expand_arg(Expand e, std::string_view kind) {
  Value x = e.x[0];
  int64_t axis = e.node.attrs.i(Attr::axis);
  Value hit = eq(x, expand(reduce_over(x, kind, {axis}, true), x.shape()));
  if (is_float(x.dtype())) hit = bit_or(hit, is_nan(x));
  Value none = e.graph().splat({DType::i64, x.shape()}, double(x.shape()[size_t(axis)].value()));
  Value at = select(hit, iota(e.graph(), {DType::i64, x.shape()}, axis), none);
  return reduce_over(at, "min", {axis}, e.node.attrs.flag(Attr::keep));
}
Values expand_argmax(Expand e) { return {expand_arg(e, "max")}; }
Values expand_argmin(Expand e) { return {expand_arg(e, "min")}; }

} // namespace trellis::ops

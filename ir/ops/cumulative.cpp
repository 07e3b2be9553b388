// Running reductions along an axis.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

void infer_cumulative(Infer &c) {
  const std::string &kind = c.attrs.word(Attr::kind);
  c.require(kind == "sum" || kind == "prod" || kind == "max" || kind == "min",
            fmt::format("kind '{}' is none of sum, prod, max, min", kind));
  c.require(c.x().dtype != DType::boolean || kind == "max" || kind == "min",
            "a bool operand has only max (any) and min (all)");
  c.attrs.set(Attr::axis, c.axis(c.attrs.i(Attr::axis), c.x().rank()));
  for (Attr a : {Attr::exclusive, Attr::reverse})
    if (!c.attrs.flag(a)) c.attrs.erase(a);
  c.result(c.x().dtype, c.x().shape);
}

void interpret_cumulative(EvalContext &c) {
  const Tensor &x = c.x[0];
  Tensor &y = c.y[0];
  const std::string &kind = c.node.attrs.word(Attr::kind);
  bool exclusive = c.node.attrs.flag(Attr::exclusive), reverse = c.node.attrs.flag(Attr::reverse);
  AxisWalk walk(y.dims(), c.node.attrs.i(Attr::axis));
  DType t = x.dtype();
  auto run = [&](auto from, auto get, auto set, auto step) {
    for (int64_t line = 0; line < walk.lines; ++line) {
      auto a = from;
      for (int64_t i = 0; i < walk.extent; ++i) {
        int64_t at = walk.at(line, reverse ? walk.extent - 1 - i : i);
        if (exclusive) set(at, a);
        a = step(a, get(at));
        if (!exclusive) set(at, a);
      }
    }
  };
  if (is_float(t))
    run(
        kind == "sum"    ? 0.0
        : kind == "prod" ? 1.0
        : kind == "max"  ? -INFINITY
                         : INFINITY,
        [&](int64_t i) { return x.get(i); }, [&](int64_t i, double v) { y.set(i, v); },
        [&](double a, double v) {
          return kind == "sum" ? a + v : kind == "prod" ? a * v : kind == "max" ? ops::max(a, v) : ops::min(a, v);
        });
  else
    run(
        kind == "sum"    ? int64_t(0)
        : kind == "prod" ? int64_t(1)
        : kind == "max"  ? least_int(t)
                         : most_int(t),
        [&](int64_t i) { return x.get_int(i); }, [&](int64_t i, int64_t v) { y.set_int(i, v); },
        [&](int64_t a, int64_t v) {
          bool less = is_unsigned_int(t) ? uint64_t(a) < uint64_t(v) : a < v;
          return kind == "sum" ? ops::add(a, v) : kind == "prod" ? ops::mul(a, v) : (kind == "max") == less ? v : a;
        });
}

// Element i of the result is element i - by of x (i + by if reverse), `fill` where there is none.
static Value shift(Value x, int64_t axis, int64_t by, bool reverse, double fill) {
  Ints lo(size_t(x.rank()), 0), hi = lo;
  lo[size_t(axis)] = reverse ? -by : by, hi[size_t(axis)] = -lo[size_t(axis)];
  return pad(x, lo, hi, {}, x.graph().scalar(x.dtype(), fill));
}

// r_i = a_i r_(i-1) + b_i along the axis (r_(i+1) if reverse), from 0. By doubling: after the step of width
// s, (a, b) are the composition of the last 2 s maps.
static Value linear_recurrence(Value a, Value b, int64_t axis, bool reverse) {
  int64_t n = b.shape()[size_t(axis)];
  for (int64_t s = 1; s < n; s *= 2) {
    b = b + a * shift(b, axis, s, reverse, 0);
    if (2 * s < n) a = a * shift(a, axis, s, reverse, 1);
  }
  return b;
}

// With p_i the product of what comes before i: dy_j reaches x_i times the product of the others, that is
// p_i x_(i+1) ... x_j. Its sum over j is a linear recurrence that runs backwards; nothing divides by x.
static Value vjp_cumulative_prod(Value x, Value dy, int64_t axis, bool exclusive, bool reverse) {
  if (x.shape()[size_t(axis)].value() == 0) return dy;
  Value before = cumulative(x, "prod", axis, true, reverse);
  if (exclusive) return before * shift(linear_recurrence(x, dy, axis, !reverse), axis, 1, !reverse, 0);
  return before * linear_recurrence(shift(x, axis, 1, !reverse, 0), dy, axis, !reverse);
}

// Each y comes from the position of the last element that exceeded all before it.
static Value vjp_cumulative_extreme(Value x, Value dy, int64_t axis, bool most, bool exclusive, bool reverse) {
  if (x.shape()[size_t(axis)].value() == 0) return dy;
  if (reverse)
    return flip(vjp_cumulative_extreme(flip(x, {axis}), flip(dy, {axis}), axis, most, exclusive, false), {axis});
  if (exclusive) dy = shift(dy, axis, 1, true, 0); // y_j came from x_(j-1) and before
  Value before = cumulative(x, most ? "max" : "min", axis, true);
  Value exceeds = most ? lt(before, x) : lt(x, before);
  Value from = cumulative(select(exceeds, iota(x.graph(), {DType::i64, x.shape()}, axis), 0), "max", axis);
  return put_along(x.graph().splat(x.type(), 0), from, dy, axis, "sum");
}

Values vjp_cumulative(Vjp v) {
  const Attrs &a = v.node.attrs;
  const std::string &kind = a.word(Attr::kind);
  int64_t axis = a.i(Attr::axis);
  bool exclusive = a.flag(Attr::exclusive), reverse = a.flag(Attr::reverse);
  if (kind == "sum") return {cumulative(v.dy, "sum", axis, exclusive, !reverse)};
  if (kind == "prod") return {vjp_cumulative_prod(v.x[0], v.dy, axis, exclusive, reverse)};
  return {vjp_cumulative_extreme(v.x[0], v.dy, axis, kind == "max", exclusive, reverse)};
}

} // namespace trellis::ops

// Reads and writes at computed positions: gather, scatter, sort.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <algorithm>
#include <fmt/format.h>
#include <numeric>

namespace trellis::ops {

// data[:axis] + indices + data[axis + 1:].
static Shape gathered(const Shape &data, const Shape &indices, int64_t axis) {
  Shape out(data.begin(), data.begin() + axis);
  out.insert(out.end(), indices.begin(), indices.end());
  out.insert(out.end(), data.begin() + axis + 1, data.end());
  return out;
}

static int64_t indexed_axis(Infer &c) {
  int64_t axis = c.axis(c.attrs.i(Attr::axis), c.x().rank());
  c.attrs.set(Attr::axis, axis);
  c.require(is_integer(c.x(1).dtype), fmt::format("the indices are {}, but must be integers", c.x(1).str()));
  return axis;
}

void infer_gather(Infer &c) {
  int64_t axis = indexed_axis(c);
  c.result(c.x().dtype, gathered(c.x().shape, c.x(1).shape, axis));
}

void infer_scatter(Infer &c) {
  int64_t axis = indexed_axis(c);
  const std::string &kind = c.attrs.word(Attr::kind);
  c.require(kind == "set" || kind == "sum" || kind == "prod" || kind == "max" || kind == "min",
            fmt::format("kind '{}' is none of set, sum, prod, max, min", kind));
  c.require(c.x().dtype != DType::boolean || (kind != "sum" && kind != "prod"),
            "a bool base has only set, max and min");
  Type want{c.x().dtype, gathered(c.x().shape, c.x(1).shape, axis)};
  bool ok = c.x(2).dtype == want.dtype && c.x(2).rank() == want.rank();
  for (size_t i = 0; ok && i < want.shape.size(); ++i) ok = compatible(want.shape[i], c.x(2).shape[i]);
  c.require(ok, fmt::format("the updates are {}, but must be {}", c.x(2).str(), want.str()));
  c.result(c.x().dtype, c.x().shape);
}

// Calls f(element of the gathered tensor, element of data) for every index in range, in row-major order of
// the indices.
template <class F> static void for_each_indexed(const Tensor &data, const Tensor &indices, int64_t axis, F f) {
  AxisWalk walk(data.dims(), axis);
  int64_t outer = walk.lines / std::max<int64_t>(walk.inner, 1), count = indices.size();
  for (int64_t k = 0; k < count; ++k) {
    int64_t at = indices.get_int(k);
    if (at < 0 || at >= walk.extent) continue; // a u64 beyond i64 is negative here
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < walk.inner; ++i)
        f((o * count + k) * walk.inner + i, (o * walk.extent + at) * walk.inner + i);
  }
}

static void copy_element(Tensor &y, int64_t to, const Tensor &x, int64_t from) {
  size_t n = size_t(size_of(y.dtype()));
  std::copy_n(x.data() + size_t(from) * n, n, y.data() + size_t(to) * n);
}

void interpret_gather(EvalContext &c) {
  for_each_indexed(c.x[0], c.x[1], c.node.attrs.i(Attr::axis),
                   [&](int64_t y, int64_t x) { copy_element(c.y[0], y, c.x[0], x); });
}

void interpret_scatter(EvalContext &c) {
  Tensor &y = c.y[0];
  const Tensor &u = c.x[2];
  const std::string &kind = c.node.attrs.word(Attr::kind);
  y = c.x[0].clone();
  DType t = y.dtype();
  for_each_indexed(c.x[0], c.x[1], c.node.attrs.i(Attr::axis), [&](int64_t from, int64_t to) {
    if (kind == "set") {
      copy_element(y, to, u, from);
    } else if (is_float(t)) {
      double a = y.get(to), v = u.get(from);
      y.set(to, kind == "sum" ? a + v : kind == "prod" ? a * v : kind == "max" ? ops::max(a, v) : ops::min(a, v));
    } else {
      int64_t a = y.get_int(to), v = u.get_int(from);
      bool less = is_unsigned_int(t) ? uint64_t(a) < uint64_t(v) : a < v;
      y.set_int(to, kind == "sum" ? ops::add(a, v) : kind == "prod" ? ops::mul(a, v) : (kind == "max") == less ? v : a);
    }
  });
}

Values vjp_gather(Vjp v) {
  Value zero = v.graph().splat(v.x[0].type(), 0);
  return {scatter(zero, v.x[1], v.dy, v.node.attrs.i(Attr::axis), "sum"), Value{}};
}

// Numbers 1, 2, ... for the indices in row-major order, in the shape of the updates.
static Value order_of(Value indices, Value updates, int64_t axis) {
  Value order = iota(indices.graph(), {DType::i64, {indices.type().size()}}, 0) + 1;
  Shape middle(size_t(updates.rank()), Dim(1));
  for (size_t i = 0; i < indices.shape().size(); ++i) middle[size_t(axis) + i] = indices.shape()[i];
  return expand(reshape(order, middle), updates.shape());
}

Values vjp_scatter(Vjp v) {
  const std::string &kind = v.node.attrs.word(Attr::kind);
  int64_t axis = v.node.attrs.i(Attr::axis);
  Value base = v.x[0], indices = v.x[1], updates = v.x[2];
  Graph &g = v.graph();
  Value dy_at = gather(v.dy, indices, axis); // zero where the index is out of range
  if (kind == "sum") return {v.dy, Value{}, dy_at};
  if (kind == "prod")
    throw CompileError(v.node.loc, "scatter: kind 'prod' has no derivative; the other kinds have one");
  Value order = order_of(indices, updates, axis);
  auto numbers = [&](double n) { return g.splat({DType::i64, base.shape()}, n); };
  if (kind == "set") {
    // The last one written stands.
    Value last = scatter(numbers(0), indices, order, axis, "max");
    Value stands = eq(gather(last, indices, axis), order);
    return {select(eq(last, 0), v.dy, 0), Value{}, select(stands, dy_at, 0)};
  }
  // max, min: the base where it equals the result, else the first update that does.
  Value kept = eq(base, v.y);
  double never = double(indices.type().size() + 1);
  Value hit = bit_and(eq(updates, gather(v.y, indices, axis)), bit_not(gather(kept, indices, axis)));
  Value first = scatter(numbers(never), indices, select(hit, order, never), axis, "min");
  Value mine = bit_and(hit, eq(gather(first, indices, axis), order));
  return {select(kept, v.dy, 0), Value{}, select(mine, dy_at, 0)};
}

// --- sort ---

void infer_sort(Infer &c) {
  c.attrs.set(Attr::axis, c.axis(c.attrs.i(Attr::axis), c.x().rank()));
  if (!c.attrs.flag(Attr::descending)) c.attrs.erase(Attr::descending);
  c.result(c.x().dtype, c.x().shape);
  c.result(DType::i64, c.x().shape);
}

void interpret_sort(EvalContext &c) {
  const Tensor &x = c.x[0];
  bool descending = c.node.attrs.flag(Attr::descending);
  AxisWalk walk(x.dims(), c.node.attrs.i(Attr::axis));
  std::vector<int64_t> order(static_cast<size_t>(walk.extent));
  for (int64_t line = 0; line < walk.lines; ++line) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      int64_t i = walk.at(line, a), j = walk.at(line, b);
      if (is_float(x.dtype())) {
        double p = x.get(i), q = x.get(j);
        if (std::isnan(p) || std::isnan(q)) return !std::isnan(p) && std::isnan(q);
        return descending ? p > q : p < q;
      }
      int64_t p = x.get_int(i), q = x.get_int(j);
      if (descending) std::swap(p, q);
      return is_unsigned_int(x.dtype()) ? uint64_t(p) < uint64_t(q) : p < q;
    });
    for (int64_t i = 0; i < walk.extent; ++i) {
      copy_element(c.y[0], walk.at(line, i), x, walk.at(line, order[size_t(i)]));
      c.y[1].set_int(walk.at(line, i), order[size_t(i)]);
    }
  }
}

Values vjp_sort(Vjp v) {
  if (!v.dy) return {Value{}};
  Value zero = v.graph().splat(v.x[0].type(), 0);
  return {put_along(zero, v.node.result(1), v.dy, v.node.attrs.i(Attr::axis), "sum")};
}

} // namespace trellis::ops

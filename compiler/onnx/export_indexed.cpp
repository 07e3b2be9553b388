// Reductions, gathers, scatters and sorting.
#include "compiler/onnx/exporter.h"
#include <algorithm>
#include <cmath>
#include <limits>

namespace trellis::onnx {

namespace {

Ints dims(const Node &n, size_t operand) { return dims_of(n.operands[operand].shape()); }
// Types that reductions have kernels for.
DType summed(DType t) {
  return is_float(t) ? t : t == DType::i64 || t == DType::u64 || t == DType::u32 ? DType::i64 : DType::i32;
}

Ints axes_of(const Node &n) {
  if (n.attrs.has(Attr::axes)) return n.attrs.ints(Attr::axes);
  Ints all;
  for (int k = 0; k < n.operands[0].rank(); ++k) all.push_back(k);
  return all;
}

Names by_operator(Writer &w, const Node &n, const std::string &x, const char *op) {
  if (n.operands[0].rank() == 0) return {w.call("Identity", {x})};
  return {w.call(op, {x, w.ints(axes_of(n))}, {{"keepdims", int64_t(n.attrs.flag(Attr::keep))}})};
}

Names reduced(Writer &w, const Node &n, const Names &x) {
  const std::string &kind = n.attrs.word(Attr::kind);
  DType t = n.type().dtype, wide = summed(t);
  if (t == DType::u64 && kind != "sum" && kind != "prod") no_form(n, "an extreme of u64");
  if (n.operands[0].type().size() == 0) { // operators refuse the extremes of nothing
    bool low = kind == "max";
    Tensor none = is_float(t) ? Tensor::scalar(t, kind == "sum"    ? 0
                                                  : kind == "prod" ? 1
                                                  : low            ? -INFINITY
                                                                   : INFINITY)
                              : Tensor::scalar_int(t, kind == "sum"    ? 0
                                                      : kind == "prod" ? 1
                                                                       : 0);
    if (!is_float(t) && (low || kind == "min")) no_form(n, "an extreme of no integers");
    return {w.expand(w.constant(none), dims_of(n.type().shape))};
  }
  const char *op = kind == "sum"    ? "ReduceSum"
                   : kind == "prod" ? "ReduceProd"
                   : kind == "max"  ? "ReduceMax"
                                    : "ReduceMin";
  return {w.cast(by_operator(w, n, w.cast(x[0], t, wide), op)[0], wide, t)};
}
Names averaged(Writer &w, const Node &n, const Names &x) { return by_operator(w, n, x[0], "ReduceMean"); }
Names log_of_sums(Writer &w, const Node &n, const Names &x) { return by_operator(w, n, x[0], "ReduceLogSumExp"); }

Names where_extreme(Writer &w, const Node &n, const Names &x) {
  DType t = n.operands[0].dtype(), wide = summed(t);
  return {w.call(n.op == Op::argmax ? "ArgMax" : "ArgMin", {w.cast(x[0], t, wide)},
                 {{"axis", n.attrs.i(Attr::axis)}, {"keepdims", int64_t(n.attrs.flag(Attr::keep))}})};
}

// Sums have an operator; the rest doubles the distance that each element looks back, log n times.
Names running(Writer &w, const Node &n, const Names &x) {
  const std::string &kind = n.attrs.word(Attr::kind);
  int64_t axis = n.attrs.i(Attr::axis), extent = n.type().shape[size_t(axis)];
  bool exclusive = n.attrs.flag(Attr::exclusive), reverse = n.attrs.flag(Attr::reverse);
  DType t = n.type().dtype, wide = summed(t);
  std::string y = w.cast(x[0], t, wide);
  if (kind == "sum")
    return {w.cast(w.call("CumSum", {y, w.integer(DType::i64, axis)},
                          {{"exclusive", int64_t(exclusive)}, {"reverse", int64_t(reverse)}}),
                   wide, t)};
  if (t == DType::u64 && kind != "prod") no_form(n, "an extreme of u64");
  auto turn = [&](const std::string &s) {
    return w.call("Slice",
                  {s, w.ints({-1}), w.ints({std::numeric_limits<int64_t>::min()}), w.ints({axis}), w.ints({-1})});
  };
  Tensor limit(t, {});
  if (kind == "prod")
    limit.set(0, 1);
  else
    limit.set(0, kind == "max" ? -INFINITY : INFINITY); // integers saturate
  std::string none = w.cast(w.constant(limit), t, wide);
  auto back = [&](const std::string &s, int64_t by) {
    Ints lo(size_t(n.type().rank()), 0), hi = lo;
    lo[size_t(axis)] = by;
    return w.narrow(w.pad(s, wide, lo, hi, none), axis, 0, extent);
  };
  if (reverse) y = turn(y);
  if (exclusive) y = back(y, 1);
  for (int64_t by = 1; by < extent; by *= 2)
    y = w.call(kind == "prod" ? "Mul" : kind == "max" ? "Max" : "Min", {y, back(y, by)});
  return {w.cast(reverse ? turn(y) : y, wide, t)};
}

// An index outside reads zero.
Names gathered(Writer &w, const Node &n, const Names &x) {
  int64_t axis = n.attrs.i(Attr::axis), extent = n.operands[0].shape()[size_t(axis)];
  DType t = n.type().dtype;
  if (n.operands[0].type().size() == 0) return {w.expand(w.integer(t, 0), dims_of(n.type().shape))};
  std::string at = w.cast(x[1], n.operands[1].dtype(), DType::i64);
  const Tensor *fixed = constant_behind(n.operands[1]);
  bool inside = fixed != nullptr;
  for (int64_t i = 0; inside && i < fixed->size(); ++i) inside = fixed->get_int(i) >= 0 && fixed->get_int(i) < extent;
  if (inside) return {w.call("Gather", {x[0], at}, {{"axis", axis}})};
  std::string good = w.call("And", {w.call("GreaterOrEqual", {at, w.integer(DType::i64, 0)}),
                                    w.call("Less", {at, w.integer(DType::i64, extent)})});
  std::string y = w.call("Gather", {x[0], w.call("Where", {good, at, w.integer(DType::i64, 0)})}, {{"axis", axis}});
  Ints shape = dims(n, 1); // of the indices, with room for the axes behind
  shape.resize(shape.size() + size_t(n.operands[0].rank() - axis - 1), 1);
  DType wide = t == DType::f32 || t == DType::f64 || t == DType::i32 || t == DType::i64 || t == DType::u8 ? t
               : is_float(t)                                                                              ? DType::f32
                                                                                                          : DType::i64;
  return {w.cast(w.call("Where", {w.reshape(good, shape), w.cast(y, t, wide), w.integer(wide, 0)}), wide, t)};
}

// ScatterND on the axis in front, with one more row for the indices outside.
Names scattered(Writer &w, const Node &n, const Names &x) {
  int64_t axis = n.attrs.i(Attr::axis), rank = n.type().rank(), extent = n.type().shape[size_t(axis)],
          indexed = n.operands[1].rank();
  const std::string &kind = n.attrs.word(Attr::kind);
  DType t = n.type().dtype, wide = kind == "set" ? t : summed(t);
  if (n.operands[2].type().size() == 0) return {w.call("Identity", {x[0]})};
  Ints front{axis}, back, updates;
  for (int64_t k = 0; k < rank; ++k)
    if (k != axis) front.push_back(k);
  for (int64_t k = 0; k < rank; ++k) back.push_back(k == axis ? 0 : k < axis ? k + 1 : k);
  for (int64_t k = 0; k < indexed; ++k) updates.push_back(axis + k);
  for (int64_t k = 0; k < rank + indexed - 1; ++k)
    if (k < axis || k >= axis + indexed) updates.push_back(k);
  std::string at = w.cast(x[1], n.operands[1].dtype(), DType::i64);
  std::string good = w.call("And", {w.call("GreaterOrEqual", {at, w.integer(DType::i64, 0)}),
                                    w.call("Less", {at, w.integer(DType::i64, extent)})});
  Ints shape = dims(n, 1);
  shape.push_back(1);
  at = w.reshape(w.call("Where", {good, at, w.integer(DType::i64, extent)}), shape);
  Ints lo(size_t(rank), 0), hi = lo;
  hi[0] = 1;
  std::string base = w.pad(w.permute(w.cast(x[0], t, wide), front), wide, lo, hi);
  const char *how = kind == "set"    ? "none"
                    : kind == "sum"  ? "add"
                    : kind == "prod" ? "mul"
                    : kind == "max"  ? "max"
                                     : "min";
  std::string y = w.call("ScatterND", {base, at, w.permute(w.cast(x[2], t, wide), updates)}, {{"reduction", how}});
  return {w.cast(w.permute(w.narrow(y, 0, 0, extent), back), wide, t)};
}

Names sorted(Writer &w, const Node &n, const Names &x) {
  DType t = n.type().dtype, wide = summed(t);
  int64_t axis = n.attrs.i(Attr::axis);
  if (t == DType::u64) no_form(n, "an order of u64");
  Names y = w.call_all("TopK", {w.cast(x[0], t, wide), w.ints({n.type().shape[size_t(axis)]})}, 2,
                       {{"axis", axis}, {"largest", int64_t(n.attrs.flag(Attr::descending))}, {"sorted", int64_t(1)}});
  return {w.cast(y[0], wide, t), y[1]};
}

bool ordered(const Node &n) { return n.operands[0].dtype() != DType::u64; }
bool some(const Node &n) { return n.operands[0].type().size() > 0; }

} // namespace

void add_indexed(ExportRows &r) {
  r[Op::reduce] = {reduced}, r[Op::mean] = {averaged, some}, r[Op::logsumexp] = {log_of_sums, some},
  r[Op::cumulative] = {running};
  r[Op::argmax] = r[Op::argmin] = {where_extreme, ordered};
  r[Op::gather] = {gathered}, r[Op::scatter] = {scattered}, r[Op::sort] = {sorted};
}

} // namespace trellis::onnx

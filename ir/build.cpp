#include "ir/build.h"
#include <fmt/format.h>

namespace trellis {

Shape broadcast(const Shape &a, const Shape &b, const std::string &what, const Location &loc) {
  Shape out(std::max(a.size(), b.size()), Dim(1));
  for (size_t i = 0; i < out.size(); ++i) {
    Dim x = i < a.size() ? a[a.size() - 1 - i] : Dim(1), y = i < b.size() ? b[b.size() - 1 - i] : Dim(1);
    bool x1 = x.is_static() && x.value() == 1, y1 = y.is_static() && y.value() == 1;
    if (!x1 && !y1 && !compatible(x, y))
      throw CompileError(loc, fmt::format("{}: shapes {} and {} do not broadcast", what, Type{DType::f32, a}.str().substr(3), Type{DType::f32, b}.str().substr(3)));
    out[out.size() - 1 - i] = x1 ? y : y1 ? x : x.is_unknown() ? y : x;
  }
  return out;
}

Value broadcast_to(Value v, const Shape &shape) {
  if (same(v.shape(), shape)) return v;
  if (v.shape().size() < shape.size()) {
    Shape grown(shape.size() - v.shape().size(), Dim(1));
    grown.insert(grown.end(), v.shape().begin(), v.shape().end());
    v = reshape(v, grown);
  }
  return expand(v, shape);
}

Value elementwise(Graph &g, Op op, std::vector<Operand> operands) {
  const OpInfo &row = info(op);
  DType dtype = DType::f32;
  Shape shape;
  bool any = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    Value v = operands[i].value;
    if (!v) continue;
    shape = any ? broadcast(shape, v.shape(), std::string(row.name), g.location) : v.shape();
    any = true;
    if (!(op == Op::select && i == 0)) dtype = v.dtype();
  }
  Values values;
  for (Operand &o : operands) values.push_back(o.value ? broadcast_to(o.value, shape) : g.splat({dtype, shape}, o.number));
  return g.make(op, std::move(values));
}

Value elementwise(Op op, std::vector<Operand> operands) {
  for (Operand &o : operands)
    if (o.value) return elementwise(o.value.graph(), op, operands);
  TRELLIS_CHECK(false, "an elementwise op of numbers alone names no graph");
}

Value select(Value c, Operand yes, Operand no) {
  if (!yes.value && !no.value) { TRELLIS_CHECK(false, "select of two numbers has no dtype"); }
  return elementwise(Op::select, {c, yes, no});
}
Value cast(Value x, DType to) { return x.dtype() == to ? x : x.graph().make(Op::cast, {x}, {{Attr::dtype, to}}); }

Value reshape(Value x, Shape shape) { return same(x.shape(), shape) ? x : x.graph().make(Op::reshape, {x}, {{Attr::shape, std::move(shape)}}); }
Value permute(Value x, std::vector<int64_t> perm) { return x.graph().make(Op::permute, {x}, {{Attr::perm, std::move(perm)}}); }
Value transpose(Value x) {
  std::vector<int64_t> perm(size_t(x.rank()));
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = int64_t(i);
  TRELLIS_CHECK(perm.size() >= 2, "transpose of rank below 2");
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return permute(x, perm);
}
Value expand(Value x, Shape shape) { return same(x.shape(), shape) ? x : x.graph().make(Op::expand, {x}, {{Attr::shape, std::move(shape)}}); }
Value slice(Value x, std::vector<int64_t> start, std::vector<int64_t> limit, std::vector<int64_t> step) {
  Attrs a{{Attr::start, std::move(start)}, {Attr::limit, std::move(limit)}};
  if (!step.empty()) a.set(Attr::step, std::move(step));
  return x.graph().make(Op::slice, {x}, std::move(a));
}
Value pad(Value x, std::vector<int64_t> lo, std::vector<int64_t> hi, std::vector<int64_t> interior, Value fill) {
  Attrs a{{Attr::lo, std::move(lo)}, {Attr::hi, std::move(hi)}};
  if (!interior.empty()) a.set(Attr::interior, std::move(interior));
  return x.graph().make(Op::pad, {x, fill ? fill : x.graph().scalar(x.dtype(), 0)}, std::move(a));
}
Value window(Value x, std::vector<int64_t> size, std::vector<int64_t> stride, std::vector<int64_t> dilation) {
  Attrs a{{Attr::size, std::move(size)}};
  if (!stride.empty()) a.set(Attr::stride, std::move(stride));
  if (!dilation.empty()) a.set(Attr::dilation, std::move(dilation));
  return x.graph().make(Op::window, {x}, std::move(a));
}
Value iota(Graph &g, Type type, int64_t axis) {
  return g.make(Op::iota, {}, {{Attr::dtype, type.dtype}, {Attr::shape, std::move(type.shape)}, {Attr::axis, axis}});
}
Value reduce(Value x, std::string_view kind, std::vector<int64_t> axes, bool keep) {
  if (axes.empty())
    for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  Attrs a{{Attr::kind, std::string(kind)}, {Attr::axes, std::move(axes)}};
  if (keep) a.set(Attr::keep, true);
  return x.graph().make(Op::reduce, {x}, std::move(a));
}
Value dot(Value a, Value b) { return a.graph().make(Op::dot, {a, b}); }
Value conv(Value x, Value w, const ConvOptions &o) {
  Attrs a;
  auto put = [&](Attr name, const std::vector<int64_t> &v) { if (!v.empty()) a.set(name, v); };
  put(Attr::stride, o.stride), put(Attr::lo, o.lo), put(Attr::hi, o.hi), put(Attr::dilation, o.dilation), put(Attr::input_dilation, o.input_dilation);
  if (o.groups != 1) a.set(Attr::groups, o.groups);
  return x.graph().make(Op::conv, {x, w}, std::move(a));
}

} // namespace trellis

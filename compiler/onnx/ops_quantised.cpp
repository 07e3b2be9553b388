// Quantised operators of com.microsoft, which ONNX Runtime's quantiser writes. Products are exact in i32; the others
// dequantise, compute in f32 and quantise.
#include "compiler/onnx/products.h"
#include "compiler/onnx/windows.h"
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

// Operands i, i + 1, i + 2: elements, scale, zero point, each of one element or one an entry of the axis.
Value real(Step &s, int i, int64_t axis = 0) {
  Value y = cast(centred(s, s.in(i), s.opt(i + 2), axis), DType::f32);
  return y * cast(along(s, s.in(i + 1), y, axis), DType::f32);
}
// By operands i and i + 1: scale and zero point. Without one the result is of `otherwise`.
Value whole(Step &s, Value y, int i, DType otherwise) {
  return quantised(s, y, s.in(i), s.opt(i + 1), 0, s.has(i + 1) ? s.in(i + 1).dtype() : otherwise);
}
Value whole(Step &s, Value y, int i) { return whole(s, y, i, s.in(0).dtype()); }

// With channels_last: f between moving them to the front and back.
Value channels_first(Step &s, Value x, Value (*f)(Step &, Value)) {
  if (!s.i("channels_last", 0)) return f(s, x);
  s.require(x.rank() >= 3, "needs axes behind the channels");
  Ints first{0, x.rank() - 1}, last{0};
  for (int k = 1; k + 1 < x.rank(); ++k) first.push_back(k), last.push_back(k + 1);
  last.push_back(1);
  return permute(f(s, permute(x, first)), last);
}

Value pool(Step &s, Value x) { return average_pool(s, x); }
Value pool_all(Step &, Value x) {
  Ints axes;
  for (int k = 2; k < x.rank(); ++k) axes.push_back(k);
  return axes.empty() ? x : mean(x, axes, true);
}

} // namespace

static Values add(Step &s) { return {whole(s, real(s, 0) + real(s, 3), 6)}; }
static Values mul(Step &s) { return {whole(s, real(s, 0) * real(s, 3), 6)}; }
static Values sigmoid_of(Step &s) { return {whole(s, sigmoid(real(s, 0)), 3)}; }
static Values leaky(Step &s) {
  return {whole(s, elementwise(Op::leaky_relu, {real(s, 0)}, {{Attr::alpha, s.f("alpha", 0.01)}}), 3)};
}
static Values average(Step &s) { return {whole(s, channels_first(s, real(s, 0), pool), 3)}; }
static Values global_average(Step &s) { return {whole(s, channels_first(s, real(s, 0), pool_all), 3)}; }

// 'opset' says whether the axes behind 'axis' are one.
static Values softmax_of(Step &s) {
  Value x = real(s, 0);
  int64_t axis = s.axis(s.i("axis", s.i("opset", 13) < 13 ? 1 : -1), x.rank()), columns = 1;
  if (s.i("opset", 13) >= 13) return {whole(s, softmax(x, axis), 3)};
  for (int64_t k = axis; k < x.rank(); ++k) columns *= x.shape()[size_t(k)].value();
  s.require(columns > 0, "an axis has no elements");
  return {whole(s, reshape(softmax(reshape(x, {x.type().size() / columns, columns}), 1), x.shape()), 3)};
}

static Values concat_of(Step &s) { // Y's scale and zero point stand first
  s.require(s.inputs() >= 5 && (s.inputs() - 2) % 3 == 0, fmt::format("{} operands", s.inputs()));
  Values parts;
  for (int i = 2; i < s.inputs(); i += 3) parts.push_back(real(s, i));
  return {whole(s, concat(parts, s.axis(s.need_i("axis"), parts[0].rank())), 0, s.in(2).dtype())};
}
static Values where(Step &s) { return {whole(s, select(s.in(0), real(s, 1), real(s, 4)), 7, s.in(1).dtype())}; }
static Values reduce_mean(Step &s) {
  Value x = real(s, 0);
  Ints axes = s.ints("axes");
  if (axes.empty())
    for (int k = 0; k < x.rank(); ++k) axes.push_back(k);
  return {whole(s, mean(x, s.axes(axes, x.rank()), s.i("keepdims", 1) != 0), 3)};
}

static Values gemm(Step &s) {
  Value a = s.in(0), b = s.in(3);
  s.require(a.rank() == 2 && b.rank() == 2,
            fmt::format("needs matrices, but has {} and {}", a.type().str(), b.type().str()));
  bool turned = s.i("transB", 0) != 0;
  a = centred(s, a, s.opt(2), 0), b = centred(s, b, s.opt(5), turned ? 0 : 1);
  Value y = dot(s.i("transA", 0) ? transpose(a) : a, turned ? transpose(b) : b);
  if (s.has(6)) y = y + s.in(6);
  y = cast(y, DType::f32) *
      (cast(along(s, s.in(1), y, 0), DType::f32) * cast(along(s, s.in(4), y, 1), DType::f32) * s.f("alpha", 1));
  return {s.has(7) ? whole(s, y, 7) : y};
}

static Value scaled(Step &s, Value y, Value a_scale, Value b_scale, Value bias) {
  y = cast(y, DType::f32) * (cast(along(s, a_scale, y, -1), DType::f32) * cast(along(s, b_scale, y, -1), DType::f32));
  return bias ? y + cast(bias, DType::f32) : y;
}
static Values matmul_to_float(Step &s) {
  Value y = product(s, centred(s, s.in(0), s.opt(4), -2), centred(s, s.in(1), s.opt(5), -1));
  return {cast(scaled(s, y, s.in(2), s.in(3), s.opt(6)), s.in(2).dtype())};
}
static Values dynamic_matmul(Step &s) {
  DynamicallyQuantised a = quantise_dynamically(s.in(0));
  Value y = product(s, centred(s, a.x, a.zero, -2), centred(s, s.in(1), s.opt(3), -1));
  return {scaled(s, y, a.scale, s.in(2), s.opt(4))};
}

void add_quantised(Recipes &r) {
  auto on = [&](std::string_view name, Recipe recipe) { r.on(name, 1, recipe, "com.microsoft"); };
  on("QLinearAdd", add), on("QLinearMul", mul), on("QLinearSigmoid", sigmoid_of), on("QLinearLeakyRelu", leaky);
  on("QLinearAveragePool", average), on("QLinearGlobalAveragePool", global_average), on("QLinearSoftmax", softmax_of);
  on("QLinearConcat", concat_of), on("QLinearWhere", where), on("QLinearReduceMean", reduce_mean), on("QGemm", gemm);
  on("MatMulIntegerToFloat", matmul_to_float), on("DynamicQuantizeMatMul", dynamic_matmul);
}

} // namespace trellis::onnx

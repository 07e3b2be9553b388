// Fused operators of com.microsoft, which ONNX Runtime's optimiser writes.
#include "compiler/onnx/products.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

constexpr const char *kMicrosoft = "com.microsoft";

// The activation at the end of a product, with its parameters in the order of the operator's attributes.
Value activated(Step &s, Value x, const std::vector<double> &given) {
  std::string name = s.s("activation", "");
  auto parameter = [&](size_t k, double otherwise) { return k < given.size() ? given[k] : otherwise; };
  if (name.empty()) return x;
  if (name == "Relu") return relu(x);
  if (name == "Tanh") return tanh(x);
  if (name == "Sigmoid") return sigmoid(x);
  if (name == "LeakyRelu") return elementwise(Op::leaky_relu, {x}, {{Attr::alpha, parameter(0, 0.01)}});
  if (name == "Elu") return elementwise(Op::elu, {x}, {{Attr::alpha, parameter(0, 1)}});
  if (name == "Softplus") return softplus(x);
  if (name == "Clip") return clamp(x, parameter(0, -INFINITY), parameter(1, INFINITY));
  if (name == "HardSigmoid") return clamp(x * parameter(0, 0.2) + parameter(1, 0.5), 0, 1);
  if (name == "HardSwish") return x * clamp(x * parameter(0, 1.0 / 6) + parameter(1, 0.5), 0, 1);
  s.fail(fmt::format("activation {} is not supported", quote_name(name)));
}
std::vector<double> named_parameters(Step &s) {
  std::vector<double> out;
  for (const char *name : {"activation_alpha", "activation_beta", "activation_gamma"})
    if (s.attr(name)) out.push_back(s.f(name, 0));
  return out;
}

} // namespace

static Values fused_conv(Step &s) {
  Value y = convolve(s, s.in(0), s.in(1), s.opt(2));
  return {activated(s, s.has(3) ? y + s.in(3) : y, s.floats("activation_params"))};
}

static Values fused_gemm(Step &s) {
  Value a = s.in(0), b = s.in(1);
  s.require(a.rank() == 2 && b.rank() == 2,
            fmt::format("needs matrices, but has {} and {}", a.type().str(), b.type().str()));
  Value y = dot(s.i("transA", 0) ? transpose(a) : a, s.i("transB", 0) ? transpose(b) : b);
  if (double alpha = s.f("alpha", 1); alpha != 1) y = y * alpha;
  if (double beta = s.f("beta", 1); s.has(2) && beta != 0) y = y + (beta == 1 ? s.in(2) : s.in(2) * beta);
  return {activated(s, y, named_parameters(s))};
}

// transBatch: [M, batch..., K] is meant as [batch..., M, K]; then trans swaps the last two axes.
static Values fused_matmul(Step &s) {
  auto arranged = [&](Value v, const char *batch, const char *swap) {
    if (s.i(batch, 0) && v.rank() > 2) {
      Ints perm;
      for (int k = 1; k + 1 < v.rank(); ++k) perm.push_back(k);
      perm.push_back(0), perm.push_back(v.rank() - 1);
      v = permute(v, perm);
    }
    return s.i(swap, 0) && v.rank() >= 2 ? transpose(v) : v;
  };
  Value y = product(s, arranged(s.in(0), "transBatchA", "transA"), arranged(s.in(1), "transBatchB", "transB"));
  if (double alpha = s.f("alpha", 1); alpha != 1) y = y * alpha;
  return {activated(s, y, named_parameters(s))};
}

static Values exact_gelu(Step &s) { return {gelu(s.in(0))}; }
static Values bias_gelu(Step &s) { return {gelu(s.in(0) + s.in(1))}; }
static Values fast_gelu(Step &s) { return {elementwise(Op::gelu_tanh, {s.has(1) ? s.in(0) + s.in(1) : s.in(0)})}; }
static Values quick_gelu(Step &s) { return {s.in(0) * sigmoid(s.in(0) * s.f("alpha", 1.702))}; }

// --- layer norms over the last axes of sums ---

namespace {
struct Normed {
  Value y, mean, inverse; ///< statistics in f32
};
Normed normed(Step &s, Value x, Value scale, Value bias, bool centre, int64_t axis) {
  double epsilon = s.f("epsilon", 1e-12);
  Ints axes;
  for (int64_t k = axis; k < x.rank(); ++k) axes.push_back(k);
  Shape tail(x.shape().begin() + axis, x.shape().end());
  auto fit = [&](Value v) { return v ? broadcast_to(cast(v, x.dtype()), tail) : v; };
  Value wide = cast(x, DType::f32);
  if (!centre) return {rms_norm(x, fit(scale), axis, epsilon), {}, rsqrt(mean(square(wide), axes, true) + epsilon)};
  return {layer_norm(x, fit(scale), fit(bias), axis, epsilon), mean(wide, axes, true),
          rsqrt(var(wide, axes, true) + epsilon)};
}
} // namespace

static Values skip_norm(Step &s) {
  bool centre = s.node.op_type() == "SkipLayerNormalization";
  s.require(s.in(0).rank() > 0, "a scalar has no norm");
  Value x = s.in(0), skip = s.in(1), sum = x + broadcast_to(skip, x.shape()), bias = s.opt(centre ? 4 : 3);
  if (bias) sum = sum + bias;
  Normed n = normed(s, sum, s.in(2), centre ? s.opt(3) : Value{}, centre, x.rank() - 1);
  return {n.y, n.mean, n.inverse, sum};
}
static Values simplified_norm(Step &s) {
  Value x = s.in(0);
  double epsilon = s.f("epsilon", 1e-5);
  int64_t axis = s.axis(s.i("axis", -1), x.rank());
  Ints axes;
  for (int64_t k = axis; k < x.rank(); ++k) axes.push_back(k);
  Value scale = broadcast_to(cast(s.in(1), x.dtype()), Shape(x.shape().begin() + axis, x.shape().end()));
  return {rms_norm(x, scale, axis, epsilon), rsqrt(mean(square(cast(x, DType::f32)), axes, true) + epsilon)};
}

static Values embedding_norm(Step &s) {
  Value ids = s.in(0), words = s.in(2), places = s.in(3);
  s.require(ids.rank() == 2 && words.rank() == 2 && places.rank() == 2, "needs ids of rank 2 and tables of rank 2");
  Dim b = ids.shape()[0], n = ids.shape()[1];
  s.require(s.has(8) || n.value() <= places.shape()[0].value(), "the sequence is longer than the table of positions");
  Value sum = gather(words, ids, 0);
  sum = sum + (s.has(8) ? gather(places, s.in(8), 0) : narrow(places, 0, 0, n.value()));
  if (s.has(1)) sum = sum + gather(s.in(4), s.in(1), 0);
  Value y = normed(s, sum, s.in(5), s.in(6), true, 2).y;
  Value length = s.has(7) ? reduce_over(cast(eq(s.in(7), 1), DType::i32), "sum", {1}) : s.g.splat({DType::i32, {b}}, 0);
  return {y, length, sum};
}

void add_fused(Recipes &r) {
  auto on = [&](std::string_view name, Recipe recipe) { r.on(name, 1, recipe, kMicrosoft); };
  on("FusedConv", fused_conv), on("FusedGemm", fused_gemm), on("FusedMatMul", fused_matmul),
      on("TransposeMatMul", fused_matmul);
  on("FusedMatMulActivation", fused_matmul), on("Gelu", exact_gelu), on("BiasGelu", bias_gelu),
      on("FastGelu", fast_gelu);
  on("QuickGelu", quick_gelu), on("SkipLayerNormalization", skip_norm),
      on("SkipSimplifiedLayerNormalization", skip_norm);
  on("EmbedLayerNormalization", embedding_norm);
  r.on("SimplifiedLayerNormalization", 1, simplified_norm); // written into the standard's domain
}

} // namespace trellis::onnx

#include "compiler/frontend/layers.h"
#include <cmath>
#include <fmt/format.h>

namespace trellis::nn {

using Ints = std::vector<int64_t>;

static void require_float(Build &b, Value x) {
  b.require(is_float(x.dtype()), fmt::format("the input is {}, but must be floating-point", x.type().str()));
}
static void require_rank(Build &b, Value x, int least, const char *form) {
  b.require(x.rank() >= least, fmt::format("the input is {}, but must be {}", x.type().str(), form));
}
static int64_t extent(Build &b, Value x, int axis) {
  Dim d = x.shape()[size_t(axis)];
  b.require(d.is_static(), fmt::format("the input is {}: the extent of axis {} must be known", x.type().str(), axis));
  return d.value();
}
static void require_positive(Build &b, std::string_view what, int64_t v) {
  b.require(v > 0, fmt::format("{} is {}, but must be above 0", what, v));
}

// --- dense and convolution
// ---------------------------------------------------------------------------------------

static Value build_dense(Build &b, int64_t features, const DenseOptions &o, Value x) {
  require_float(b, x);
  require_rank(b, x, 2, "[N, ..., features]");
  require_positive(b, "the number of features", features);
  int64_t in = extent(b, x, x.rank() - 1);
  Value w = b.param("weight", {x.dtype(), {in, features}}, o.init);
  Shape rows = x.shape();
  rows.pop_back();
  // `dot` has no broadcast batch: leading axes fold into one.
  rows.push_back(features);
  Value y = x.rank() == 2 ? dot(x, w) : reshape(dot(reshape(x, {Dim::unknown(), in}), w), rows);
  if (!o.bias) return y;
  std::string init = o.bias_init.empty() ? fmt::format("fan_in_uniform({})", in) : o.bias_init;
  return y + b.param("bias", {x.dtype(), {features}}, init);
}
Dense::Dense(int64_t features, DenseOptions o, At at)
    : Layer("Dense", [=](Build &b, Value x) { return build_dense(b, features, o, x); }, at) {}

// Padding of one axis. `same`: as many outputs as ceil(in / stride); the odd one goes to the end.
static std::pair<int64_t, int64_t> pad_axis(Build &b, bool same, int64_t lo, int64_t hi, Value x, int axis,
                                            int64_t kernel, int64_t stride, int64_t dilation) {
  if (!same) return {lo, hi};
  int64_t in = extent(b, x, axis), out = (in + stride - 1) / stride;
  int64_t total = std::max<int64_t>((out - 1) * stride + (kernel - 1) * dilation + 1 - in, 0);
  return {total / 2, total - total / 2};
}
struct Pads {
  Ints lo, hi;
};
static Pads pads_of(Build &b, const Padding &p, Value x, Size2 kernel, Size2 stride, Size2 dilation) {
  auto [top, bottom] = pad_axis(b, p.same, p.top, p.bottom, x, 2, kernel.h, stride.h, dilation.h);
  auto [left, right] = pad_axis(b, p.same, p.left, p.right, x, 3, kernel.w, stride.w, dilation.w);
  b.require(std::min({top, bottom, left, right}) >= 0, "padding must not be negative");
  return {{top, left}, {bottom, right}};
}
static void require_image(Build &b, Value x, Size2 kernel, Size2 stride) {
  require_float(b, x);
  b.require(x.rank() == 4, fmt::format("the input is {}, but must be [N, C, H, W]", x.type().str()));
  for (int64_t k : {kernel.h, kernel.w}) require_positive(b, "the kernel's size", k);
  for (int64_t s : {stride.h, stride.w}) require_positive(b, "the stride", s);
}

static Value build_conv(Build &b, int64_t channels, Size2 kernel, const Conv2dOptions &o, Value x) {
  require_image(b, x, kernel, o.stride);
  require_positive(b, "the number of channels", channels);
  for (int64_t d : {o.dilation.h, o.dilation.w}) require_positive(b, "the dilation", d);
  require_positive(b, "the number of groups", o.groups);
  int64_t in = extent(b, x, 1);
  b.require(in % o.groups == 0 && channels % o.groups == 0,
            fmt::format("{} groups do not divide {} channels in and {} out", o.groups, in, channels));
  Value w = b.param("weight", {x.dtype(), {channels, in / o.groups, kernel.h, kernel.w}}, o.init);
  auto [lo, hi] = pads_of(b, o.pad, x, kernel, o.stride, o.dilation);
  Value y = conv(x, w,
                 {.stride = {o.stride.h, o.stride.w},
                  .lo = lo,
                  .hi = hi,
                  .dilation = {o.dilation.h, o.dilation.w},
                  .input_dilation = {},
                  .groups = o.groups});
  if (!o.bias) return y;
  std::string init =
      o.bias_init.empty() ? fmt::format("fan_in_uniform({})", in / o.groups * kernel.h * kernel.w) : o.bias_init;
  return y + reshape(b.param("bias", {x.dtype(), {channels}}, init), {channels, 1, 1});
}
Conv2d::Conv2d(int64_t channels, Size2 kernel, Conv2dOptions o, At at)
    : Layer("Conv2d", [=](Build &b, Value x) { return build_conv(b, channels, kernel, o, x); }, at) {}

// --- activations
// -------------------------------------------------------------------------------------------------

static Layer::Emit pointwise(Op op, Attrs attrs = {}) {
  return [=](Build &b, Value x) {
    require_float(b, x);
    return elementwise(op, {x}, attrs);
  };
}
ReLU::ReLU(At at) : Layer("ReLU", pointwise(Op::relu), at) {}
LeakyReLU::LeakyReLU(double slope, At at) : Layer("LeakyReLU", pointwise(Op::leaky_relu, {{Attr::alpha, slope}}), at) {}
ELU::ELU(double alpha, At at) : Layer("ELU", pointwise(Op::elu, {{Attr::alpha, alpha}}), at) {}
GELU::GELU(At at) : Layer("GELU", pointwise(Op::gelu), at) {}
Sigmoid::Sigmoid(At at) : Layer("Sigmoid", pointwise(Op::sigmoid), at) {}
Tanh::Tanh(At at) : Layer("Tanh", pointwise(Op::tanh), at) {}
Softplus::Softplus(At at) : Layer("Softplus", pointwise(Op::softplus), at) {}
SiLU::SiLU(At at) : Layer("SiLU", pointwise(Op::silu), at) {}
Softmax::Softmax(int64_t axis, At at)
    : Layer("Softmax", [=](Build &b, Value x) { return require_float(b, x), softmax(x, axis); }, at) {}

// --- pooling
// -----------------------------------------------------------------------------------------------------

static trellis::PoolOptions pool_options(Build &b, Size2 kernel, const PoolOptions &o, Value x) {
  Size2 stride = o.stride.h == 0 && o.stride.w == 0 ? kernel : o.stride;
  require_image(b, x, kernel, stride);
  auto [lo, hi] = pads_of(b, o.pad, x, kernel, stride, 1);
  bool covers = std::max(lo[0], hi[0]) < kernel.h && std::max(lo[1], hi[1]) < kernel.w;
  b.require(covers, "padding must be smaller than the kernel");
  return {.size = {kernel.h, kernel.w},
          .stride = {stride.h, stride.w},
          .lo = lo,
          .hi = hi,
          .dilation = {},
          .count_pad = o.count_padding};
}
MaxPool::MaxPool(Size2 kernel, PoolOptions o, At at)
    : Layer("MaxPool", [=](Build &b, Value x) { return max_pool(x, pool_options(b, kernel, o, x)); }, at) {}
AvgPool::AvgPool(Size2 kernel, PoolOptions o, At at)
    : Layer("AvgPool", [=](Build &b, Value x) { return avg_pool(x, pool_options(b, kernel, o, x)); }, at) {}

static Ints pooled_axes(Build &b, Value x) {
  require_float(b, x);
  require_rank(b, x, 3, "[N, C, ...]");
  Ints axes;
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  return axes;
}
GlobalMaxPool::GlobalMaxPool(At at)
    : Layer("GlobalMaxPool", [](Build &b, Value x) { return reduce(x, "max", pooled_axes(b, x)); }, at) {}
GlobalAvgPool::GlobalAvgPool(At at)
    : Layer("GlobalAvgPool", [](Build &b, Value x) { return mean(x, pooled_axes(b, x)); }, at) {}

// --- normalisation, dropout, others
// ------------------------------------------------------------------------------

static Value build_batch_norm(Build &b, const BatchNormOptions &o, Value x) {
  require_float(b, x);
  require_rank(b, x, 2, "[N, C, ...]");
  b.require(o.epsilon > 0, fmt::format("epsilon is {}, but must be above 0", o.epsilon));
  b.require(o.momentum >= 0 && o.momentum <= 1, fmt::format("the momentum is {}, but must lie in [0, 1]", o.momentum));
  Type channels{x.dtype(), {extent(b, x, 1)}};
  Value weight = b.param("weight", channels, "one"), bias = b.param("bias", channels, "zero");
  Value mean = b.state("running_mean", channels, "zero"), var = b.state("running_var", channels, "one");
  return batch_norm_inference(x, weight, bias, mean, var, o.epsilon, o.momentum);
}
BatchNorm::BatchNorm(BatchNormOptions o, At at)
    : Layer("BatchNorm", [=](Build &b, Value x) { return build_batch_norm(b, o, x); }, at) {}

static Value build_layer_norm(Build &b, double epsilon, Value x) {
  require_float(b, x);
  require_rank(b, x, 1, "[..., features]");
  b.require(epsilon > 0, fmt::format("epsilon is {}, but must be above 0", epsilon));
  Type features{x.dtype(), {extent(b, x, x.rank() - 1)}};
  return layer_norm(x, b.param("weight", features, "one"), b.param("bias", features, "zero"), -1, epsilon);
}
LayerNorm::LayerNorm(double epsilon, At at)
    : Layer("LayerNorm", [=](Build &b, Value x) { return build_layer_norm(b, epsilon, x); }, at) {}

static Value build_dropout(Build &b, double rate, Value x) {
  require_float(b, x);
  b.require(rate >= 0 && rate < 1, fmt::format("the rate is {}, but must lie in [0, 1)", rate));
  return dropout(x, b.shared_state(std::string(kDropoutSeed), {DType::u64, {}}, "seed"), rate, b.next_stream());
}
Dropout::Dropout(double rate, At at)
    : Layer("Dropout", [=](Build &b, Value x) { return build_dropout(b, rate, x); }, at) {}

static Value build_flatten(Build &b, Value x) {
  require_rank(b, x, 1, "[N, ...]");
  int64_t elements = 1;
  for (int i = 1; i < x.rank(); ++i) elements *= extent(b, x, i);
  return reshape(x, {x.shape()[0], elements});
}
Flatten::Flatten(At at) : Layer("Flatten", build_flatten, at) {}

static Value build_embedding(Build &b, int64_t entries, int64_t features, const std::string &init, Value x) {
  b.require(is_integer(x.dtype()), fmt::format("the input is {}, but must hold integers", x.type().str()));
  require_positive(b, "the number of entries", entries);
  require_positive(b, "the number of features", features);
  return gather(b.param("weight", {b.dtype(), {entries, features}}, init), x);
}
Embedding::Embedding(int64_t entries, int64_t features, std::string init, At at)
    : Layer("Embedding", [=](Build &b, Value x) { return build_embedding(b, entries, features, init, x); }, at) {}

} // namespace trellis::nn

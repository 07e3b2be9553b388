// The layers. Images are [N, C, H, W]; features are the last axis elsewhere. Only N may be symbolic where a
// layer needs the extent of an axis.
//
// Weights: Dense [in, out] (the right operand of `dot`; torch's Linear holds its transpose), Conv2d
// [out, in / groups, kh, kw] as in torch. Initial values are torch's defaults unless an option says
// otherwise.
#pragma once
#include "compiler/frontend/layer.h"

namespace trellis::nn {

using At = std::source_location;

struct SamePadding {};
struct ValidPadding {};
/// As many outputs as inputs (over stride); the odd one is padded at the end.
inline constexpr SamePadding same;
inline constexpr ValidPadding valid;

/// Height and width; one number means both.
struct Size2 {
  int64_t h, w;
  constexpr Size2(int64_t both) : h(both), w(both) {}
  constexpr Size2(int64_t h, int64_t w) : h(h), w(w) {}
};

struct Padding {
  bool same = false;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  constexpr Padding(SamePadding) : same(true) {}
  constexpr Padding(ValidPadding) {}
  constexpr Padding(int64_t all) : Padding(all, all) {}
  constexpr Padding(int64_t y, int64_t x) : Padding(y, x, y, x) {}
  constexpr Padding(int64_t top, int64_t left, int64_t bottom, int64_t right)
      : top(top), left(left), bottom(bottom), right(right) {}
};

struct DenseOptions {
  bool bias = true;
  std::string init = "fan_in_uniform";
  std::string bias_init = ""; ///< empty: fan_in_uniform(in)
};
/// x w + b over the last axis.
struct Dense : Layer {
  explicit Dense(int64_t features, DenseOptions o = {}, At at = At::current());
};

struct Conv2dOptions {
  Size2 stride = 1;
  Padding pad = valid;
  Size2 dilation = 1;
  int64_t groups = 1;
  bool bias = true;
  std::string init = "fan_in_uniform";
  std::string bias_init = ""; ///< empty: fan_in_uniform(fan_in)
};
struct Conv2d : Layer {
  Conv2d(int64_t channels, Size2 kernel, Conv2dOptions o = {}, At at = At::current());
};

struct PoolOptions {
  Size2 stride = 0; ///< 0: the kernel's size
  Padding pad = valid;
  bool count_padding = true; ///< AvgPool: divide by the whole window, also where it covers padding
};
struct MaxPool : Layer {
  explicit MaxPool(Size2 kernel, PoolOptions o = {}, At at = At::current());
};
struct AvgPool : Layer {
  explicit AvgPool(Size2 kernel, PoolOptions o = {}, At at = At::current());
};
/// [N, C, ...] -> [N, C].
struct GlobalMaxPool : Layer {
  explicit GlobalMaxPool(At at = At::current());
};
struct GlobalAvgPool : Layer {
  explicit GlobalAvgPool(At at = At::current());
};

struct ReLU : Layer {
  explicit ReLU(At at = At::current());
};
struct LeakyReLU : Layer {
  explicit LeakyReLU(double slope = 0.01, At at = At::current());
};
struct ELU : Layer {
  explicit ELU(double alpha = 1, At at = At::current());
};
/// x Phi(x), exact (by erf).
struct GELU : Layer {
  explicit GELU(At at = At::current());
};
struct Sigmoid : Layer {
  explicit Sigmoid(At at = At::current());
};
struct Tanh : Layer {
  explicit Tanh(At at = At::current());
};
struct Softplus : Layer {
  explicit Softplus(At at = At::current());
};
/// x sigmoid(x).
struct SiLU : Layer {
  explicit SiLU(At at = At::current());
};
struct Softmax : Layer {
  explicit Softmax(int64_t axis = -1, At at = At::current());
};

struct BatchNormOptions {
  double momentum = 0.1; ///< weight of the batch in the running statistics
  double epsilon = 1e-5;
};
/// Normalises each channel (axis 1): weight, bias; running_mean and running_var are state. As emitted it uses
/// the running statistics; a training graph (training.h) uses the batch's and updates the running ones.
struct BatchNorm : Layer {
  explicit BatchNorm(BatchNormOptions o = {}, At at = At::current());
};
/// Normalises over the last axis.
struct LayerNorm : Layer {
  explicit LayerNorm(double epsilon = 1e-5, At at = At::current());
};
/// Zeroes elements with probability `rate` and scales the others by 1 / (1 - rate), in training graphs only.
/// The random bits come from the state "dropout.seed", which advances at every step.
struct Dropout : Layer {
  explicit Dropout(double rate = 0.5, At at = At::current());
};
/// [N, ...] -> [N, elements].
struct Flatten : Layer {
  explicit Flatten(At at = At::current());
};
/// Rows of a table [entries, features] at integer indices: [...] -> [..., features].
struct Embedding : Layer {
  Embedding(int64_t entries, int64_t features, std::string init = "normal(1)", At at = At::current());
};

} // namespace trellis::nn

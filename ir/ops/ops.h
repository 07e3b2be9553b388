// What the rows of ops.def name: element arithmetic, and bodies that are too long for a row.
#pragma once
#include "ir/graph.h"
#include <cmath>
#include <type_traits>

namespace trellis::ops {

// Two's complement arithmetic: overflow wraps, in the interpreter as in compiled code.
template <class T> T add(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(uint64_t(a) + uint64_t(b));
  else
    return a + b;
}
template <class T> T mul(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(uint64_t(a) * uint64_t(b));
  else
    return a * b;
}
template <class T> T neg(T a) {
  if constexpr (std::is_integral_v<T>)
    return T(-uint64_t(a));
  else
    return -a;
}
/// Integer division truncates; by zero gives 0; the least value by -1 wraps.
template <class T> T div(T a, T b) {
  if constexpr (!std::is_integral_v<T>)
    return a / b;
  else if (b == 0)
    return 0;
  else if (std::is_signed_v<T> && b == T(-1))
    return neg(a);
  else
    return a / b;
}
/// NaN if either is NaN; max(-0, +0) is +0.
template <class T> T max(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::isnan(a) || std::isnan(b) ? a + b : a == b ? (std::signbit(a) ? b : a) : a > b ? a : b;
  else
    return a > b ? a : b;
}
template <class T> T min(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::isnan(a) || std::isnan(b) ? a + b : a == b ? (std::signbit(a) ? a : b) : a < b ? a : b;
  else
    return a < b ? a : b;
}
template <class T> T abs(T a) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fabs(a);
  else
    return std::is_signed_v<T> && a < T(0) ? neg(a) : a;
}
/// Remainder of the truncated quotient: by zero gives 0.
template <class T> T rem(T a, T b) {
  if (b == 0 || (std::is_signed_v<T> && b == T(-1))) return 0;
  return a % b;
}
/// Elements narrower than T come extended, so a count between their width and T's needs no care here.
template <class T> T shl(T a, T n) { return uint64_t(n) >= 64 ? 0 : T(uint64_t(a) << n); }
template <class T> T shr(T a, T n) {
  return uint64_t(n) < 64 ? a >> n : std::is_signed_v<T> && a < 0 ? T(-1) : T(0);
}

inline constexpr double kTwoOverRootPi = 1.1283791670955126; // 2 / sqrt(pi)
inline constexpr double kRootHalf = 0.70710678118654752;
inline double alpha(const Node &n, double otherwise) {
  return n.attrs.get_or<double>(Attr::alpha, otherwise);
}

// source.cpp
void infer_input(Infer &), infer_constant(Infer &), infer_iota(Infer &);
void interpret_input(EvalContext &), interpret_constant(EvalContext &), interpret_iota(EvalContext &);
// movement.cpp
void infer_reshape(Infer &), infer_permute(Infer &), infer_expand(Infer &), infer_slice(Infer &),
    infer_pad(Infer &), infer_window(Infer &), infer_unwindow(Infer &), infer_concat(Infer &);
ReadMap map_reshape(const Node &, const std::vector<Index> &),
    map_permute(const Node &, const std::vector<Index> &),
    map_expand(const Node &, const std::vector<Index> &), map_slice(const Node &, const std::vector<Index> &),
    map_pad(const Node &, const std::vector<Index> &), map_window(const Node &, const std::vector<Index> &),
    map_unwindow(const Node &, const std::vector<Index> &),
    map_concat(const Node &, const std::vector<Index> &);
Values vjp_reshape(Vjp), vjp_permute(Vjp), vjp_expand(Vjp), vjp_slice(Vjp), vjp_pad(Vjp), vjp_window(Vjp),
    vjp_unwindow(Vjp), vjp_concat(Vjp);
// elementwise.cpp
void infer_select(Infer &), infer_cast(Infer &), infer_bitcast(Infer &);
void interpret_select(EvalContext &), interpret_cast(EvalContext &), interpret_bitcast(EvalContext &);
Values vjp_pow(Vjp);
// pointwise.cpp
Values expand_le(Expand), expand_bit_not(Expand), expand_gelu_tanh(Expand), expand_sinh(Expand),
    expand_cosh(Expand), expand_asinh(Expand), expand_acosh(Expand), expand_atanh(Expand);
// reduce.cpp
void infer_reduce(Infer &);
void interpret_reduce(EvalContext &);
Values vjp_reduce(Vjp);
// contraction.cpp
void infer_dot(Infer &), infer_conv(Infer &);
void interpret_dot(EvalContext &), interpret_conv(EvalContext &);
Values vjp_dot(Vjp), vjp_conv(Vjp);

/// Geometry of a conv node: x [N, G C, in...], w [G O, C, kernel...] -> [N, G O, out...].
struct ConvDims {
  int spatial = 0;
  int64_t batch = 0, groups = 1, in_channels = 0, out_channels = 0; ///< channels of one group
  std::vector<int64_t> in, kernel, out, stride, lo, hi, dilation,
      input_dilation; ///< one entry a spatial axis
};
ConvDims conv_dims(const Node &n);

} // namespace trellis::ops

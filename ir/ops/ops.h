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
/// Remainder of the truncated quotient, exact; of integers by zero it is 0.
template <class T> T rem(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    return std::fmod(a, b);
  else if (b == 0 || (std::is_signed_v<T> && b == T(-1)))
    return 0;
  else
    return a % b;
}
/// Elements narrower than T come extended, so a count between their width and T's needs no care here.
template <class T> T shl(T a, T n) { return uint64_t(n) >= 64 ? 0 : T(uint64_t(a) << n); }
template <class T> T shr(T a, T n) { return uint64_t(n) < 64 ? a >> n : std::is_signed_v<T> && a < 0 ? T(-1) : T(0); }

inline constexpr double kTwoOverRootPi = 1.1283791670955126; // 2 / sqrt(pi)
inline constexpr double kRootHalf = 0.70710678118654752;
inline constexpr double kTrigLimit = 131072; // see sin_large
inline double alpha(const Node &n, double otherwise) { return n.attrs.get_or<double>(Attr::alpha, otherwise); }

using Ints = std::vector<int64_t>;

/// The lines of a tensor along an axis.
struct AxisWalk {
  int64_t lines = 1, extent, inner = 1;
  AxisWalk(const std::vector<int64_t> &dims, int64_t axis) : extent(dims[size_t(axis)]) {
    for (size_t i = 0; i < dims.size(); ++i)
      if (i != size_t(axis)) lines *= dims[i], inner *= int64_t(i) > axis ? dims[i] : 1;
  }
  /// Offset of element i of a line.
  int64_t at(int64_t line, int64_t i) const { return (line / inner * extent + i) * inner + line % inner; }
};

/// Least and greatest element of an integer dtype or bool (u64: the bit pattern).
int64_t least_int(DType), most_int(DType);
/// The identity of max as a scalar: -inf or the least integer.
Value least(Graph &, DType);
/// Attribute `axes` made ascending and not negative; absent: all of them.
Ints canonical_axes(Infer &);
/// Shape of x without the axes, or with extents of 1 where attribute `keep` says so.
Shape reduced_shape(Infer &, const Ints &axes);
/// The inverse of a reduction's change of shape: y repeated along the axes.
Value spread(Value y, const Ints &axes, const Shape &to);
/// Over just these axes: none is no reduction.
Value sum_over(Value x, const Ints &axes);
Value mean_over(Value x, const Ints &axes, bool keep);
/// Number of each element along the axes, in row-major order, whatever it is along the others.
Value row_major_index(Graph &, const Shape &, const Ints &axes, DType);
/// first .. rank - 1, and 0 .. end - 1.
Ints axes_from(int64_t first, int rank), axes_before(int64_t end);

// source.cpp
void infer_input(Infer &), infer_constant(Infer &), infer_iota(Infer &);
void interpret_input(EvalContext &), interpret_constant(EvalContext &), interpret_iota(EvalContext &);
// movement.cpp
void infer_reshape(Infer &), infer_permute(Infer &), infer_expand(Infer &), infer_slice(Infer &), infer_pad(Infer &),
    infer_window(Infer &), infer_unwindow(Infer &), infer_concat(Infer &);
ReadMap map_reshape(const Node &, const std::vector<Index> &), map_permute(const Node &, const std::vector<Index> &),
    map_expand(const Node &, const std::vector<Index> &), map_slice(const Node &, const std::vector<Index> &),
    map_pad(const Node &, const std::vector<Index> &), map_window(const Node &, const std::vector<Index> &),
    map_unwindow(const Node &, const std::vector<Index> &), map_concat(const Node &, const std::vector<Index> &);
Values vjp_reshape(Vjp), vjp_permute(Vjp), vjp_expand(Vjp), vjp_slice(Vjp), vjp_pad(Vjp), vjp_window(Vjp),
    vjp_unwindow(Vjp), vjp_concat(Vjp);
// elementwise.cpp
void infer_select(Infer &), infer_cast(Infer &), infer_bitcast(Infer &);
void interpret_select(EvalContext &), interpret_cast(EvalContext &), interpret_bitcast(EvalContext &);
Values vjp_pow(Vjp);
/// Of sin_large and cos_large: `slope` is the derivative in x beyond the limit.
Values vjp_large(Vjp, Value slope);
// pointwise.cpp
Values expand_le(Expand), expand_bit_not(Expand), expand_gelu_tanh(Expand), expand_sinh(Expand), expand_cosh(Expand),
    expand_asinh(Expand), expand_acosh(Expand), expand_atanh(Expand);
// reduce.cpp
void infer_reduce(Infer &), infer_reducing(Infer &), infer_arg(Infer &);
void interpret_reduce(EvalContext &);
Values vjp_reduce(Vjp), vjp_logsumexp(Vjp);
Values expand_mean(Expand), expand_var(Expand), expand_logsumexp(Expand), expand_argmax(Expand), expand_argmin(Expand);
// cumulative.cpp
void infer_cumulative(Infer &);
void interpret_cumulative(EvalContext &);
Values vjp_cumulative(Vjp);
// indexed.cpp
void infer_gather(Infer &), infer_scatter(Infer &), infer_sort(Infer &);
void interpret_gather(EvalContext &), interpret_scatter(EvalContext &), interpret_sort(EvalContext &);
Values vjp_gather(Vjp), vjp_scatter(Vjp), vjp_sort(Vjp);
// contraction.cpp
void infer_dot(Infer &), infer_conv(Infer &);
void interpret_dot(EvalContext &), interpret_conv(EvalContext &);
Values vjp_dot(Vjp), vjp_conv(Vjp);
Values expand_dot(Expand), expand_conv(Expand);
// norm.cpp
void infer_softmax(Infer &), infer_layer_norm(Infer &), infer_batch_norm(Infer &), infer_batch_norm_inference(Infer &),
    infer_group_norm(Infer &);
Values expand_softmax(Expand), expand_log_softmax(Expand), expand_layer_norm(Expand), expand_rms_norm(Expand),
    expand_batch_norm(Expand), expand_batch_norm_inference(Expand), expand_group_norm(Expand);
Values vjp_softmax(Vjp), vjp_log_softmax(Vjp), vjp_layer_norm(Vjp), vjp_rms_norm(Vjp), vjp_batch_norm(Vjp);
// loss.cpp
void infer_cross_entropy(Infer &), infer_pair_loss(Infer &);
Values expand_cross_entropy(Expand), expand_mse(Expand), expand_bce(Expand);
Values vjp_cross_entropy(Vjp);
// pool.cpp
void infer_pool(Infer &);
Values expand_max_pool(Expand), expand_avg_pool(Expand);
// random.cpp
void infer_random_bits(Infer &), infer_random_real(Infer &), infer_dropout(Infer &);
Values expand_random_bits(Expand), expand_random_uniform(Expand), expand_random_normal(Expand), expand_dropout(Expand);
// attention.cpp
void infer_attention(Infer &);
Values expand_attention(Expand);
// control.cpp
void infer_cond(Infer &), infer_loop(Infer &), infer_scan(Infer &);
void interpret_cond(EvalContext &), interpret_loop(EvalContext &), interpret_scan(EvalContext &);
Values vjp_cond(Vjp), vjp_loop(Vjp), vjp_scan(Vjp);

/// Geometry of a conv node: x [N, G C, in...], w [G O, C, kernel...] -> [N, G O, out...].
struct ConvDims {
  int spatial = 0;
  int64_t batch = 0, groups = 1, in_channels = 0, out_channels = 0; ///< channels of one group
  std::vector<int64_t> in, kernel, out, stride, lo, hi, dilation,
      input_dilation; ///< one entry a spatial axis
};
ConvDims conv_dims(const Node &n);

} // namespace trellis::ops

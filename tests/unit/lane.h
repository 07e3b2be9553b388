// One number as the value type of passes/legalize_math.h: the same arithmetic without the IR.
#pragma once
#include "passes/legalize_math.h"
#include <bit>
#include <cmath>
#include <type_traits>

namespace trellis::test {

/// T: float, double, uint32_t, uint64_t or bool. Fused: fma rounds once.
template <class T, bool Fused> struct Lane {
  T v{};
  Lane() = default;
  template <class N>
    requires std::is_arithmetic_v<N>
  Lane(N n) : v(T(n)) {}
  template <class N> Lane(Lane, N n) : v(T(n)) {}
  /// The templates name both precisions in branches of which only one is taken.
  template <class S>
    requires(std::is_floating_point_v<S> && std::is_floating_point_v<T>)
  Lane(Lane<S, Fused> o) : v(T(o.v)) {}

  using Bits = Lane<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>, Fused>;
  using Real = Lane<std::conditional_t<sizeof(T) == 8, double, float>, Fused>;
  using Bool = Lane<bool, Fused>;

  friend Lane operator+(Lane a, Lane b) { return T(a.v + b.v); }
  friend Lane operator-(Lane a, Lane b) { return T(a.v - b.v); }
  friend Lane operator*(Lane a, Lane b) { return T(a.v * b.v); }
  friend Lane operator/(Lane a, Lane b) { return T(a.v / b.v); }
  friend Lane operator-(Lane a) { return T(-a.v); }
  friend Lane operator&(Lane a, Lane b) { return T(a.v & b.v); }
  friend Lane operator|(Lane a, Lane b) { return T(a.v | b.v); }
  friend Lane operator^(Lane a, Lane b) { return T(a.v ^ b.v); }
  friend Lane operator<<(Lane a, int n) { return T(a.v << n); }
  friend Lane operator>>(Lane a, int n) { return T(a.v >> n); }
  friend Bool lt(Lane a, Lane b) { return a.v < b.v; }
  friend Bool eq(Lane a, Lane b) { return a.v == b.v; }
  friend Lane select(Bool c, Lane a, Lane b) { return c.v ? a : b; }
  friend Lane floor(Lane a) { return std::floor(a.v); }
  friend Lane fma(Lane a, Lane b, Lane c) {
    if constexpr (Fused)
      return std::fma(a.v, b.v, c.v);
    else
      return a.v * b.v + c.v;
  }
  friend Bits bits(Lane a) { return std::bit_cast<decltype(Bits::v)>(a.v); }
  friend Real real(Lane a) { return std::bit_cast<decltype(Real::v)>(a.v); }
  friend bool is_f64(Lane) { return sizeof(T) == 8; }
  friend bool fused(Lane) { return Fused; }
  friend auto to_f64(Lane a) { return Lane<double, Fused>(a.v); }
  friend auto to_f32(Lane a) { return Lane<float, Fused>(a.v); }
  friend Lane sin_large(Lane x, Lane y) { return std::fabs(x.v) > 131072 ? Lane(std::sin(double(x.v))) : y; }
  friend Lane cos_large(Lane x, Lane y) { return std::fabs(x.v) > 131072 ? Lane(std::cos(double(x.v))) : y; }
};

} // namespace trellis::test

// Elementary functions as straight-line code over a value type V: range reduction and polynomials, no branch,
// no table look-up, so that they vectorise and fuse. `legalize` instantiates them on graph values; tests
// instantiate them on plain floats, which is the same arithmetic without the IR.
//
// Error against the exact result, in units in the last place, with and without a fused multiply-add; samples
// of 140 million f32 and 200 thousand f64 operands a function (promised: 2 for f32, 4 for f64):
//
//         exp  expm1  log  log1p  tanh  erf   sigmoid  sin   cos   atan  pow
//   f32   1.16  1.25  0.89  1.50  1.50  1.85   1.69    1.56  1.57  1.41  0.54
//   f64   1.1   1.5   0.9   1.5   1.6   2.4    1.6     2.2   2.2   1.1   1.3
//
// Signed zeros, infinities, NaN, subnormal operands and results are those of C99 Annex F.
//
// V is f32 or f64 and offers, found by argument-dependent look-up:
//   + - * / unary -     fma(a, b, c)    lt eq (to a bool B)    select(B, V, V)    & | on B
//   bits(V) -> U        real(U) -> V    & | ^ + - << >> on the unsigned integers U of V's width
//   floor(V)            is_f64(V)       fused(V): whether fma rounds once (else it is a product and a sum)
//   to_f64(V)           to_f32(V)
//   V(x, c)             the number c in x's type
//   sin_large(x, y)     sin(x), from elsewhere, where |x| > 2^17, else y; cos_large
// with numbers as operands beside values. Nothing may reassociate: (x + c) - c rounds x.
//
// Clamps are written as select(lt(limit, x), limit, x): that is one minps/maxps and keeps NaN.
#pragma once
#include "passes/legalize_tables.h"
#include <cstdint>
#include <limits>
#include <span>

namespace trellis::elementary {

/// What differs between f32 and f64. Constants are exact in the format.
struct Format {
  int fraction_bits, width, bias;
  uint64_t one, half_sqrt2;      ///< bits of 1 and of sqrt(1/2)
  double least_normal;           ///< smallest normal number
  double log2e, two_over_pi;     ///< nearest
  double ln2_hi, ln2_lo;         ///< ln2_hi times an exponent is exact; both rounded down, so that n = 0 keeps -0
  double pio2[3];                ///< pi/2 in three parts; multiples below 2^17 lose nothing that counts
  double atan_inf[2];            ///< pi/2, nearest and rest
  double exp_min, exp_max;       ///< beyond: 0 and infinity
  double expm1_min, tanh_max;    ///< beyond: -1 and 1
  double tanh_split, tanh_shift; ///< ln2/2, a little less; ln2/4
  double sigmoid_max;
  double erf_split, erf_max, erf_center;
  std::span<const double> exp, expm1, tanh, log, atan, sin, cos, erf_small, erf_large;

  /// Adding it rounds to an integer, which the low bits of the sum then hold.
  constexpr double round() const { return 1.5 * double(uint64_t(1) << fraction_bits); }
  constexpr uint64_t fraction() const { return (uint64_t(1) << fraction_bits) - 1; }
  constexpr uint64_t sign() const { return uint64_t(1) << (width - 1); }
};

inline constexpr Format kF32{
    .fraction_bits = 23,
    .width = 32,
    .bias = 127,
    .one = 0x3f800000,
    .half_sqrt2 = 0x3f3504f3,
    .least_normal = 0x1p-126,
    .log2e = 0x1.715476p0,
    .two_over_pi = 0x1.45f306p-1,
    .ln2_hi = 0x1.62e4p-1,
    .ln2_lo = 0x1.7f7d1cp-20,
    .pio2 = {0x1.921fb4p0, 0x1.4442dp-24, 0x1.84698ap-48},
    .atan_inf = {0x1.921fb6p0, -0x1.777a5cp-25},
    .exp_min = -104,
    .exp_max = 89,
    .expm1_min = -18,
    .tanh_max = 10,
    .tanh_split = 0x1.62cp-2,
    .tanh_shift = 0x1.62e43p-3,
    .sigmoid_max = 20,
    .erf_split = 1.2,
    .erf_max = 3.93,
    .erf_center = 2.56,
    .exp = tables::exp_f32,
    .expm1 = tables::expm1_f32,
    .tanh = tables::tanh_f32,
    .log = tables::log_f32,
    .atan = tables::atan_f32,
    .sin = tables::sin_f32,
    .cos = tables::cos_f32,
    .erf_small = tables::erf_small_f32,
    .erf_large = tables::erf_large_f32,
};

inline constexpr Format kF64{
    .fraction_bits = 52,
    .width = 64,
    .bias = 1023,
    .one = 0x3ff0000000000000,
    .half_sqrt2 = 0x3fe6a09e667f3bcd,
    .least_normal = 0x1p-1022,
    .log2e = 0x1.71547652b82fep0,
    .two_over_pi = 0x1.45f306dc9c883p-1,
    .ln2_hi = 0x1.62e42fefa2p-1,
    .ln2_lo = 0x1.9ef35793c7673p-41,
    .pio2 = {0x1.921fb544p0, 0x1.0b4611a6p-34, 0x1.3198a2e037073p-69},
    .atan_inf = {0x1.921fb54442d18p0, 0x1.1a62633145c07p-54},
    .exp_min = -746,
    .exp_max = 710,
    .expm1_min = -38,
    .tanh_max = 20,
    .tanh_split = 0x1.62cp-2,
    .tanh_shift = 0x1.62e42fefa39efp-3,
    .sigmoid_max = 40,
    .erf_split = 1.25,
    .erf_max = 5.95,
    .erf_center = 3.6,
    .exp = tables::exp_f64,
    .expm1 = tables::expm1_f64,
    .tanh = tables::tanh_f64,
    .log = tables::log_f64,
    .atan = tables::atan_f64,
    .sin = tables::sin_f64,
    .cos = tables::cos_f64,
    .erf_small = tables::erf_small_f64,
    .erf_large = tables::erf_large_f64,
};

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <class V> const Format &format(const V &x) { return is_f64(x) ? kF64 : kF32; }

// --- parts ---------------------------------------------------------------------------------------

template <class V> V at_most(V x, double limit) { return select(lt(limit, x), limit, x); }
template <class V> V at_least(V x, double limit) { return select(lt(x, limit), limit, x); }
template <class V> V abs_of(V x) { return real(bits(x) & (format(x).sign() - 1)); }
/// `magnitude` (not negative) with the sign of x.
template <class V> V with_sign_of(V magnitude, V x) { return real(bits(magnitude) | (bits(x) & format(x).sign())); }

/// c[0] x^n + ... + c[n].
template <class V> V horner(V x, std::span<const double> c) {
  V y = fma(x, c[0], c[1]);
  for (size_t i = 2; i < c.size(); ++i) y = fma(y, x, c[i]);
  return y;
}

/// x = n ln2 + r with n the nearest integer. The low bits of `t` hold n + offset.
template <class V> struct ExpReduced {
  V t, r;
};
template <class V> ExpReduced<V> reduce_exp(V x, double offset) {
  const Format &k = format(x);
  V t = fma(x, k.log2e, k.round() + offset);
  V n = t - (k.round() + offset);
  V r = fma(n, -k.ln2_lo, fma(n, -k.ln2_hi, x));
  return {t, r};
}
/// The float whose biased exponent stands in the low bits of `t`.
template <class V> V power_of_two(V t) { return real(bits(t) << format(t).fraction_bits); }

/// e^r for a reduced r.
template <class V> V exp_reduced(V r) { return fma(fma(horner(r, format(r).exp), r, 1.0), r, 1.0); }

// --- exponentials --------------------------------------------------------------------------------

/// e^x. The scale 2^n, n in [-150, 128], is split in two factors, so that only the last product rounds or
/// overflows: the low bits of t hold n + 2 bias; their half, as an exponent, is one factor and the rest the
/// other.
template <class V> V exp(V x) {
  const Format &k = format(x);
  auto [t, r] = reduce_exp(at_least(at_most(x, k.exp_max), k.exp_min), 2 * k.bias);
  auto b = bits(t);
  auto s1 = (b << (k.fraction_bits - 1)) & ~k.fraction();
  auto s2 = (b << k.fraction_bits) - s1;
  return exp_reduced(r) * real(s1) * real(s2);
}

/// e^x - 1 = 2 (s r + s - 1/2 + s r^2 q(r)) with s = 2^(n-1), which does not overflow. Summed so that where
/// 2^n - 1 cancels against r both are exact. Tiny x are their own result, which keeps -0 and subnormals.
template <class V> V expm1(V x) {
  const Format &k = format(x);
  auto [t, r] = reduce_exp(at_least(at_most(x, k.exp_max), k.expm1_min), k.bias - 1);
  V s = power_of_two(t);
  V h = fma(s, (r * r) * horner(r, k.expm1), fma(s, r, s - 0.5));
  return select(lt(abs_of(x), 0x1p-60), x, h + h);
}

/// tanh a = h / (1 + h) with h = (e^2a - 1) / 2 = A + B as in expm1, a = |x|. Below ln2 / 2 it is written
/// a + (B - a h) / (1 + h), a small correction to an exact term; the argument's fraction r is taken in
/// [0, ln2) so that there n = 0 and A = a.
template <class V> V tanh(V x) {
  const Format &k = format(x);
  V a = at_most(abs_of(x), k.tanh_max);
  const double offset = k.round() + k.bias - 1;
  V t = fma(a - k.tanh_shift, 2 * k.log2e, offset);
  V n = t - offset;
  V r = fma(n, -k.ln2_lo, fma(n, -k.ln2_hi, a + a));
  V s = power_of_two(t);
  V tail = (r * r) * horner(r, k.tanh);
  V head = fma(s, r, s - 0.5);
  V pivot = select(lt(a, k.tanh_split), a, 0.0);
  V h = fma(s, tail, head);
  V rest = fma(-pivot, h, fma(s, tail, head - pivot));
  return with_sign_of(pivot + rest / (h + 1.0), x);
}

/// 1 / (1 + e^-x) = i / ((i + 1) + expm1(-r)) with i = 2^n, x = n ln2 + r: the sum in parentheses is exact
/// (what it loses, where i is about 2^-24, goes to the other term). i is made 2^(fraction bits + 2) too
/// large, so that it is normal for every n in [-150, 32].
template <class V> V sigmoid(V x) {
  const Format &k = format(x);
  const int lift = k.fraction_bits + 2;
  const double unlift = 1.0 / double(uint64_t(1) << lift);
  auto [t, r] = reduce_exp(at_least(at_most(x, k.sigmoid_max), k.exp_min), k.bias + lift);
  V i = power_of_two(t);
  V unlifted = i * unlift;
  V c = unlifted + 1.0;
  V lost = unlifted - (c - 1.0);
  V d = c + fma(r * r, horner(-r, k.exp), lost - r);
  return i / d * unlift;
}

/// erf: an odd polynomial below erf_split; above, 1 - erfc, where erfc is the fourth power of a polynomial
/// (f32) or the exponential of one (f64).
template <class V> V erf(V x) {
  const Format &k = format(x);
  V a = abs_of(x);
  V low = fma(a, horner(a * a, k.erf_small), a);
  V q = horner(at_most(a, k.erf_max) - k.erf_center, k.erf_large);
  V high = x;
  if (is_f64(x)) {
    auto [t, r] = reduce_exp(q, k.bias);
    high = fma(-exp_reduced(r), power_of_two(t), 1.0);
  } else {
    V q2 = q * q;
    high = fma(-q2, q2, 1.0);
  }
  return with_sign_of(select(lt(a, k.erf_split), low, high), x);
}

// --- logarithms ----------------------------------------------------------------------------------

/// x = 2^e m with m in [sqrt(1/2), sqrt(2)), for a positive normal x.
template <class V, class U> struct LogReduced {
  U biased; ///< e + bias in the exponent field, fraction bits below
  V m;
};
template <class V> auto reduce_log(V x) {
  const Format &k = format(x);
  auto biased = bits(x) + (k.one - k.half_sqrt2);
  return LogReduced<V, decltype(biased)>{biased, real((biased & k.fraction()) + k.half_sqrt2)};
}
/// The exponent field of `biased` as a float, 2^fraction_bits too large.
template <class V, class U> V lifted_exponent(const LogReduced<V, U> &l) {
  const Format &k = format(l.m);
  return real((l.biased >> k.fraction_bits) | (uint64_t(k.bias + k.fraction_bits) << k.fraction_bits));
}
inline constexpr double exponent_lift(const Format &k) { return double(uint64_t(1) << k.fraction_bits) + k.bias; }

/// log(1 + f) + e ln2 for f in [sqrt(1/2) - 1, sqrt(2) - 1]. f64: s = f / (2 + f), log(1 + f) = 2 atanh(s),
/// as in FreeBSD's e_log.c.
template <class V> V log_of_parts(V f, V e) {
  const Format &k = format(f);
  V tail = f;
  if (is_f64(f)) {
    V s = f / (f + 2.0);
    V z = s * s;
    V half_square = f * f * 0.5;
    tail = fma(s, fma(z, horner(z, k.log), half_square), -half_square);
  } else {
    tail = (f * f) * fma(f, horner(f, k.log), -0.5);
  }
  return fma(e, k.ln2_hi, f + fma(e, k.ln2_lo, tail));
}
/// `r` = log u where u is positive and finite; the rest of the line otherwise.
template <class V> V log_special(V r, V u) {
  V positive = select(eq(u, kInf), u, r);
  return select(lt(0.0, u), positive, select(eq(u, 0.0), V(u, -kInf), kNan));
}

/// log x. Subnormal operands are made normal first.
template <class V> V log(V x) {
  const Format &k = format(x);
  auto small = lt(x, k.least_normal);
  auto l = reduce_log(select(small, x * double(uint64_t(1) << k.fraction_bits), x));
  V e = lifted_exponent(l) - select(small, V(x, exponent_lift(k) + k.fraction_bits), exponent_lift(k));
  return log_special(log_of_parts(l.m - 1.0, e), x);
}

/// log(1 + x). u = 1 + x rounds; what it lost, c, is given back to the reduced fraction: f = (m - 1) + 2^-e
/// c. The scale is 2^(1-e), halved afterwards, because e reaches 128.
template <class V> V log1p(V x) {
  const Format &k = format(x);
  V u = x + 1.0;
  V c = x - (u - 1.0);
  auto l = reduce_log(u);
  V scale = real((uint64_t(2 * k.bias + 1) << k.fraction_bits) - (l.biased & ~k.fraction()));
  V f = fma(c * scale, 0.5, l.m - 1.0);
  V e = lifted_exponent(l) - exponent_lift(k);
  return with_sign_of(log_special(log_of_parts(f, e), u), x);
}

// --- trigonometry --------------------------------------------------------------------------------

/// atan |x| = atan z, or pi/2 + atan(-1/|x|) beyond 1.
template <class V> V atan(V x) {
  const Format &k = format(x);
  V a = abs_of(x);
  auto beyond = lt(1.0, a);
  V z = select(beyond, -1.0, a) / select(beyond, a, 1.0);
  V w = z * z;
  V tail = fma(z * w, horner(w, k.atan), select(beyond, V(x, k.atan_inf[1]), 0.0));
  return with_sign_of(select(beyond, V(x, k.atan_inf[0]), 0.0) + (z + tail), x);
}

/// |x| = n pi/2 + r, n the nearest integer, in the low bits of `t`.
template <class V> struct TrigReduced {
  V t, r;
};
/// With a fused multiply-add f32 needs three parts of pi/2 (n times the first less |x| is exact); without one
/// the products round, so f32 goes through f64. The parts of f64 have 33 bits and are exact either way.
template <class V> TrigReduced<V> reduce_trig(V a) {
  const Format &k = format(a);
  V t = fma(a, k.two_over_pi, k.round());
  V n = t - k.round();
  if (!is_f64(a) && !fused(a)) {
    auto wide = to_f64(n);
    return {t, to_f32(fma(wide, -kF64.pio2[1], fma(wide, -kF64.pio2[0], to_f64(a))))};
  }
  return {t, fma(n, -k.pio2[2], fma(n, -k.pio2[1], fma(n, -k.pio2[0], a)))};
}
template <class V> V sin_reduced(V r, V w) { return fma(r * w, horner(w, format(r).sin), r); }
template <class V> V cos_reduced(V w) { return fma(w * w, horner(w, format(w).cos), fma(w, -0.5, 1.0)); }

template <class V> V sin(V x) {
  const Format &k = format(x);
  auto [t, r] = reduce_trig(abs_of(x));
  auto n = bits(t);
  V w = r * r;
  V y = select(eq(n & 1, 1), cos_reduced(w), sin_reduced(r, w));
  auto sign = ((n << (k.width - 2)) ^ bits(x)) & k.sign();
  return sin_large(x, real(bits(y) ^ sign));
}

template <class V> V cos(V x) {
  const Format &k = format(x);
  auto [t, r] = reduce_trig(abs_of(x));
  auto n = bits(t);
  V w = r * r;
  V y = select(eq(n & 1, 1), sin_reduced(r, w), cos_reduced(w));
  auto sign = ((n + 1) << (k.width - 2)) & k.sign();
  return cos_large(x, real(bits(y) ^ sign));
}

// --- powers --------------------------------------------------------------------------------------

/// hi + lo, |lo| at most an ulp of hi.
template <class V> struct Pair {
  V hi, lo;
};
/// a b exactly (Dekker's split into halves of 26 bits where there is no fused multiply-add).
template <class V> Pair<V> exact_product(V a, V b) {
  V p = a * b;
  if (fused(a)) return {p, fma(a, b, -p)};
  auto high = [](V v) {
    V c = v * 134217729.0;
    return c - (c - v);
  };
  V ah = high(a), bh = high(b);
  V al = a - ah, bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}
/// a + b exactly where |a| >= |b| or a = 0.
template <class V> Pair<V> exact_sum(V a, V b) {
  V s = a + b;
  return {s, b - (s - a)};
}

/// log2 of a positive finite f32, given and returned as f64: 37 bits.
template <class V> V log2_for_pow(V x) {
  auto l = reduce_log(x);
  V s = (l.m - 1.0) / (l.m + 1.0);
  return fma(s, horner(s * s, std::span<const double>(tables::log2_pow_f32)), lifted_exponent(l) - exponent_lift(kF64));
}

/// log x to about 2^-62, x in f64, positive and finite: 2 atanh(s), s = (m - 1) / (m + 1), in two parts.
template <class V> Pair<V> log_for_pow(V x) {
  const Format &k = kF64;
  auto small = lt(x, k.least_normal);
  auto l = reduce_log(select(small, x * 0x1p52, x));
  V e = lifted_exponent(l) - select(small, V(x, exponent_lift(k) + 52), exponent_lift(k));
  V f = l.m - 1.0;                    // exact
  auto d = exact_sum(V(x, 1.0), l.m); // m < sqrt(2): the error term is exact as m >= 1/2
  V inverse = 1.0 / d.hi;
  V s = f * inverse;
  auto back = exact_product(s, d.hi);
  V s_lo = (((f - back.hi) - back.lo) - s * d.lo) * inverse;
  auto z = exact_product(s, s);
  V z_lo = fma(s + s, s_lo, z.lo);
  // (log m - 2 s) / s = 2/3 z + z^2 q(z)
  auto third = exact_product(z.hi, V(x, 0x1.5555555555555p-1));
  V third_lo = fma(z_lo, 0x1.5555555555555p-1, fma(z.hi, 0x1.5555555555555p-55, third.lo));
  auto v = exact_sum(third.hi, (z.hi * z.hi) * horner(z.hi, std::span<const double>(tables::log_pow_f64)));
  V v_lo = v.lo + third_lo;
  auto sv = exact_product(s, v.hi);
  V sv_lo = fma(s, v_lo, fma(s_lo, v.hi, sv.lo));
  auto log_m = exact_sum(s + s, sv.hi);
  V log_m_lo = log_m.lo + (s_lo + s_lo + sv_lo);
  auto sum = exact_sum(e * k.ln2_hi, log_m.hi);
  return exact_sum(sum.hi, sum.lo + fma(e, k.ln2_lo, log_m_lo));
}

/// |x|^y for a positive finite |x| other than 1 and a finite y.
template <class V> V pow_magnitude(V a, V y) {
  // Beyond 2^80 every result but that of 1 is 0 or infinite.
  V limited = at_least(at_most(y, 0x1p80), -0x1p80);
  if (!is_f64(a)) {
    auto p = to_f64(limited) * log2_for_pow(to_f64(a));
    p = at_least(at_most(p, 130.0), -160.0);
    auto t = p + (kF64.round() + kF64.bias);
    auto r = p - (t - (kF64.round() + kF64.bias));
    return to_f32(horner(r, std::span<const double>(tables::exp2_pow_f32)) * power_of_two(t));
  }
  auto l = log_for_pow(a);
  auto p = exact_product(limited, l.hi);
  V p_lo = fma(limited, l.lo, p.lo);
  V x = at_least(at_most(p.hi, kF64.exp_max), kF64.exp_min);
  auto [t, r] = reduce_exp(x, 2 * kF64.bias);
  r = r + select(eq(x, p.hi), p_lo, 0.0);
  auto b = bits(t);
  auto s1 = (b << (kF64.fraction_bits - 1)) & ~kF64.fraction();
  auto s2 = (b << kF64.fraction_bits) - s1;
  return exp_reduced(r) * real(s1) * real(s2);
}

/// x^y with C99's special cases: 1 for x = 1 or y = 0, NaN of either aside; a negative finite x needs an
/// integer y, and an odd one gives its sign.
template <class V> V pow(V x, V y) {
  const Format &k = format(x);
  V a = abs_of(x);
  V half = y * 0.5;
  auto integer = eq(floor(y), y);
  auto odd = integer & lt(floor(half), half);
  V m = pow_magnitude(a, y);
  // |x| is 1, 0 or infinite.
  m = select(eq(a, 1.0), 1.0, m);
  V inverse = select(eq(a, 0.0), V(x, kInf), 0.0);
  m = select(eq(a, 0.0) | eq(a, kInf), select(lt(y, 0.0), inverse, a), m);
  m = real(bits(m) ^ (bits(select(odd, x, 0.0)) & k.sign()));
  m = select(lt(x, 0.0) & lt(-kInf, x), select(integer, m, kNan), m);
  // x + y is NaN where either is; elsewhere only for infinities of two signs, which are told apart.
  m = select(eq(x, x) & eq(y, y), m, x + y);
  return select(eq(x, 1.0) | eq(y, 0.0), 1.0, m);
}

} // namespace trellis::elementary

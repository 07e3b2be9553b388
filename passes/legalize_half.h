// Conversions of f16 in integer operations, for machines without instructions for them.
#pragma once
#include "passes/legalize_term.h"

namespace trellis {

/// Exact; a NaN stays one.
inline Term f16_to_f32(Term h) {
  Term u = convert(reinterpret(h, DType::u16), DType::u32);
  Term magnitude = u & 0x7fff;
  Term exponent_up = (magnitude << 13) + (112 << 23);
  Term inf_or_nan = exponent_up + (112 << 23);
  Term subnormal = bits(convert(reinterpret(magnitude, DType::i32), DType::f32) * 0x1p-24);
  Term wide = select(lt(magnitude, 0x400), subnormal, select(lt(0x7bff, magnitude), inf_or_nan, exponent_up));
  return real(wide | ((u & 0x8000) << 16));
}

/// Nearest even. Below the smallest normal f16 the addition of 1/2 rounds to its grid.
inline Term f32_to_f16(Term x) {
  Term u = bits(x);
  Term magnitude = u & 0x7fffffff;
  Term normal = (magnitude + ((magnitude >> 13) & 1) - ((112 << 23) - 0xfff)) >> 13;
  Term subnormal = bits(real(magnitude) + 0.5) - 0x3f000000;
  Term finite = select(lt(magnitude, 0x38800000), subnormal, normal);
  Term special = select(lt(0x7f800000, magnitude), Term(u, 0x7e00), 0x7c00);
  Term half = select(lt(0x477fffff, magnitude), special, finite) | ((u >> 16) & 0x8000);
  return reinterpret(convert(half, DType::u16), DType::f16);
}

/// Rounded to odd: towards zero, and the last bit set where anything was lost, so that a second rounding to
/// fewer bits gives what one would.
inline Term f64_to_f32_odd(Term x) {
  Term nearest = to_f32(x), back = to_f64(nearest);
  auto magnitude = [](Term v) { return real(bits(v) & 0x7fffffffffffffff); };
  Term too_far = lt(magnitude(x), magnitude(back));
  Term inexact = lt(back, x) | lt(x, back);
  Term towards_zero = bits(nearest) - convert(too_far, DType::u32);
  return real(towards_zero | convert(inexact, DType::u32));
}

} // namespace trellis

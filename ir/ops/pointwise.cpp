// Expansions of elementwise composites that are too long for the table.
#include "ir/build.h"
#include "ir/ops/ops.h"

namespace trellis::ops {

Values expand_le(Expand e) {
  Value x = e.x[0], y = e.x[1];
  return {is_float(x.dtype()) ? bit_or(lt(x, y), eq(x, y)) : bit_not(lt(y, x))};
}

Values expand_bit_not(Expand e) {
  Value x = e.x[0], ones = e.graph().constant(Tensor::scalar_int(x.dtype(), -1));
  return {bit_xor(x, ones)};
}

Values expand_gelu_tanh(Expand e) {
  constexpr double kRootTwoOverPi = 0.79788456080286536;
  Value x = e.x[0];
  return {x * 0.5 * (tanh((x + x * square(x) * 0.044715) * kRootTwoOverPi) + 1)};
}

static Value with_sign_of(Value magnitude, Value x) { return select(lt(x, 0), -magnitude, magnitude); }

// e^-a no longer counts beside e^a above this.
static double far(Value x) { return x.dtype() == DType::f16 ? 8 : 20; }
// x^2 + 1 = x^2 above this, and x^2 may overflow.
static double huge(Value x) { return x.dtype() == DType::f16 ? 0x1p7 : 0x1p60; }
static constexpr double kLog2 = 0.69314718055994531;

// With t = e^a - 1, exact near 0: sinh a = (t + t / (t + 1)) / 2. e^a overflows before its half does, hence
// e^(a/2).
Values expand_sinh(Expand e) {
  Value x = e.x[0], a = abs(x), t = expm1(a), h = exp(a * 0.5);
  Value y = select(lt(a, far(x)), (t + t / (t + 1)) * 0.5, h * 0.5 * h);
  return {with_sign_of(select(eq(x, 0), x, y), x)};
}
Values expand_cosh(Expand e) {
  Value h = exp(abs(e.x[0]) * 0.5);
  return {h * 0.5 * h + 0.5 / h / h};
}

// log1p keeps small x exact: log(a + sqrt(a^2 + 1)) = log1p(a + a^2 / (1 + sqrt(a^2 + 1))).
Values expand_asinh(Expand e) {
  Value x = e.x[0], a = abs(x), q = square(a);
  Value y = select(lt(a, huge(x)), log1p(a + q / (sqrt(q + 1) + 1)), log(a) + kLog2);
  return {with_sign_of(select(eq(x, 0), x, y), x)};
}
// With t = x - 1: log(x + sqrt(x^2 - 1)) = log1p(t + sqrt(t) sqrt(t + 2)), NaN below.
Values expand_acosh(Expand e) {
  Value x = e.x[0], t = x - 1;
  return {select(lt(x, huge(x)), log1p(t + sqrt(t) * sqrt(t + 2)), log(x) + kLog2)};
}
Values expand_atanh(Expand e) {
  Value x = e.x[0], a = abs(x);
  return {with_sign_of(select(eq(x, 0), x, log1p(a * 2 / (1.0 - a)) * 0.5), x)};
}

} // namespace trellis::ops

// Arithmetic. Floats: x + 0 is not x for -0.0, x * 0 is not 0 for NaN and infinity; neg, products and
// quotients by powers of two are exact while nothing overflows or goes below the normal range. Integers wrap,
// so their sums and products are exact in any order.
#include "ir/build.h"
#include "passes/rules/rules.h"
#include <cmath>

namespace trellis {

namespace {
const Pattern x = Pattern::variable(0), y = Pattern::variable(1), z = Pattern::variable(2), w = Pattern::variable(3);
const Pattern c = Pattern::constant(4), d = Pattern::constant(5);
constexpr auto exact = Exactness::exact;
constexpr auto finite = Exactness::finite;
constexpr auto inexact = Exactness::inexact;
constexpr auto any_dtype = Domain::any;
constexpr auto floats = Domain::floats;
constexpr auto integers = Domain::integers;
namespace p = pattern;

// 1 / c is exact and normal: c is a power of two, and neither it nor its inverse is subnormal or overflows.
bool has_exact_inverse(const Tensor &t) {
  if (!is_float(t.dtype())) return false;
  double v = t.get(0);
  int e;
  if (!std::isfinite(v) || std::abs(std::frexp(v, &e)) != 0.5) return false;
  int least = t.dtype() == DType::f64 ? -1022 : t.dtype() == DType::f16 ? -14 : -126;
  return e - 1 >= least && e - 1 <= -least;
}

int bits(DType t) { return t == DType::boolean ? 1 : 8 * size_of(t); }
// Every value of `a` is one of `b`.
bool holds(DType b, DType a) {
  if (a == b || a == DType::boolean) return true;
  if (b == DType::boolean) return false;
  if (is_float(a)) return is_float(b) && (b == DType::f64 || (b == DType::f32 && bits(a) == 16));
  int digits = bits(a) - is_signed_int(a);
  if (is_float(b)) return digits <= (b == DType::f64 ? 53 : b == DType::f32 ? 24 : b == DType::f16 ? 11 : 8);
  if (is_signed_int(a) && is_unsigned_int(b)) return false;
  return digits <= bits(b) - is_signed_int(b);
}

// cast(cast(x)): the inner one loses nothing, and the outer one treats its source as it would x. Floats
// become integers by saturation and integers by their low bits, so an integer that goes through a float must
// fit the last type.
Value cast_of_cast(const Match &m) {
  DType from = m[x].dtype(), middle = m.root.node->operands[0].dtype(), to = m.root.dtype();
  if (!holds(middle, from)) return {};
  if (!is_float(from) && is_float(middle) && !is_float(to) && to != DType::boolean && !holds(to, from)) return {};
  return cast(m[x], to);
}

Value number_over(const Match &m, const Pattern &divisor) {
  Value v = m[divisor];
  return v.graph().splat(v.type(), 1.0 / splat_of(v)->get(0));
}
} // namespace

const std::vector<Rule> &arith_rules() {
  static const std::vector<Rule> rules = {
      // --- one spelling ---
      {"sub", p::sub(x, y), x + -y},
      {"gt", p::gt(x, y), p::lt(y, x)},
      {"ge", p::ge(x, y), p::le(y, x)},
      {"square", p::square(x), x * x},
      {"reciprocal", p::reciprocal(x), 1 / x},
      {"clamp", p::clamp(x, y, z), p::min(p::max(x, y), z)},

      // --- neutral elements ---
      {"add-zero", x + -0.0, x},
      {"add-plus-zero", x + 0.0, x, finite, floats},
      {"mul-one", x * 1, x},
      {"div-one", x / 1, x},
      {"mul-zero", x * 0, 0, exact, integers},
      {"mul-zero-float", x * 0, 0, finite, floats},
      {"fma-zero", p::fma(x, y, -0.0), x * y},
      {"fma-one", p::fma(x, 1, y), x + y},

      // --- signs: out of products, into constants ---
      {"neg-neg", -(-x), x},
      {"mul-minus-one", x * -1, -x},
      {"neg-mul-const", -(x * c), [](const Match &m) { return m[x] * -m[c]; }},
      {"mul-neg-const", -x * c, [](const Match &m) { return m[x] * -m[c]; }},
      {"neg-div-const", -(c / x), [](const Match &m) { return -m[c] / m[x]; }, exact, floats},
      {"mul-neg-neg", -x * -y, x * y},
      {"mul-neg", -x * y, -(x * y)},
      {"div-neg-neg", -x / -y, x / y, exact, floats},
      {"div-neg", -x / y, -(x / y), exact, floats},
      {"div-by-neg", x / -y, -(x / y), exact, floats},
      {"add-self-neg", x + -x, 0, exact, integers},
      {"add-self-neg-float", x + -x, 0, finite, floats},

      // --- constants gather on the right ---
      {"div-power-of-two", x / Pattern::constant(4, has_exact_inverse),
       [](const Match &m) { return m[x] * number_over(m, c); }, exact, floats},
      {"div-const", x / c, [](const Match &m) { return m[x] * number_over(m, c); }, inexact, floats},
      {"add-add-const", (x + c) + d, x + (c + d), exact, integers},
      {"add-add-const-float", (x + c) + d, x + (c + d), inexact, floats},
      {"mul-mul-const", (x * c) * d, x * (c * d), exact, integers},
      {"mul-mul-const-float", (x * c) * d, x * (c * d), inexact, floats},
      {"factor", x * y + x * z, x * (y + z), exact, integers},
      {"factor-float", x * y + x * z, x * (y + z), inexact, floats},
      {"div-self", x / x, 1, inexact, floats},
      {"div-div", (x / y) / z, x / (y * z), inexact, floats},

      // --- extremes and choices ---
      {"max-self", p::max(x, x), x},
      {"min-self", p::min(x, x), x},
      {"max-max", p::max(p::max(x, y), y), p::max(x, y)},
      {"min-min", p::min(p::min(x, y), y), p::min(x, y)},
      {"max-max-const", p::max(p::max(x, c), d), p::max(x, p::max(c, d))},
      {"min-min-const", p::min(p::min(x, c), d), p::min(x, p::min(c, d))},
      {"max-least", p::max(x, -INFINITY), x, exact, floats},
      {"min-largest", p::min(x, INFINITY), x, exact, floats},
      {"lt-self", p::lt(x, x), 0},
      {"eq-self", p::eq(x, x), 1, exact, any_dtype, [](const Match &m) { return !is_float(m[x].dtype()); }},
      {"select-same", p::select(x, y, y), y},
      {"select-true", p::select(1, x, y), x},
      {"select-false", p::select(0, x, y), y},
      {"select-bool", p::select(x, 1, 0), x, exact, any_dtype,
       [](const Match &m) { return m.root.dtype() == DType::boolean; }},
      {"select-select-yes", p::select(x, p::select(x, y, z), w), p::select(x, y, w)},
      {"select-select-no", p::select(x, y, p::select(x, z, w)), p::select(x, y, w)},

      // --- casts ---
      {"cast-same", p::cast(x), [](const Match &m) { return m[x].dtype() == m.root.dtype() ? m[x] : Value{}; }},
      {"cast-cast", p::cast(p::cast(x)), cast_of_cast},
  };
  return rules;
}

} // namespace trellis

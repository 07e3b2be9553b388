// Counter-based random numbers: a function of the seed, the stream and the position of the element, so that
// results depend on no order, and equal graphs draw equal numbers.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <array>
#include <fmt/format.h>

namespace trellis::ops {

static void check_random(Infer &c, const Shape &shape) {
  const Type &seed = c.operands.back().type();
  c.require(seed.rank() == 0 && (seed.dtype == DType::u64 || seed.dtype == DType::i64),
            fmt::format("the seed is {}, but must be a u64 or i64 scalar", seed.str()));
  int64_t stream = c.attrs.i_or(Attr::stream, 0);
  c.require(stream >= 0 && stream <= INT32_MAX,
            fmt::format("'stream' is {}, but must lie in 0 to {}", stream, INT32_MAX));
  if (stream == 0) c.attrs.erase(Attr::stream);
  c.require(!is_static(shape) || element_count(shape) <= UINT32_MAX, "more than 2^32 - 1 elements");
}

void infer_random_bits(Infer &c) {
  const Shape &shape = c.attrs.get<Shape>(Attr::shape);
  check_random(c, shape);
  DType t = c.attrs.get<DType>(Attr::dtype);
  c.require(t == DType::u32 || t == DType::u64, fmt::format("'dtype' is {}, but must be u32 or u64", name(t)));
  c.result(t, shape);
}
void infer_random_real(Infer &c) {
  const Shape &shape = c.attrs.get<Shape>(Attr::shape);
  check_random(c, shape);
  DType t = c.attrs.get<DType>(Attr::dtype);
  c.require(is_float(t), fmt::format("'dtype' is {}, but must be floating-point", name(t)));
  c.result(t, shape);
}
void infer_dropout(Infer &c) {
  c.require(is_float(c.x().dtype), fmt::format("operand 1 is {}, but must be floating-point", c.x().str()));
  check_random(c, c.x().shape);
  double rate = c.attrs.get<double>(Attr::rate);
  c.require(rate >= 0 && rate < 1, fmt::format("'rate' is {}, but must lie in [0, 1)", rate));
  c.result(c.x().dtype, c.x().shape);
}

using Words = std::array<Value, 2>;

static Value rotate(Value x, int by) { return bit_or(shl(x, by), shr(x, 32 - by)); }

// Threefry-2x32 with 13 rounds, the fewest that pass the BigCrush battery (Salmon, Moraes, Dror, Shaw:
// Parallel Random Numbers: As Easy as 1, 2, 3; SC 2011). Counter: (element, stream); key: the seed.
static Words threefry(Value seed, const Shape &shape, int64_t stream) {
  static constexpr int kRotations[] = {13, 15, 26, 6, 17, 29, 16, 24};
  constexpr int kRounds = 13;
  Graph &g = seed.graph();
  seed = bitcast(seed, DType::u64);
  Value k0 = cast(seed, DType::u32), k1 = cast(shr(seed, 32), DType::u32);
  Value k2 = bit_xor(bit_xor(k0, k1), double(0x1BD11BDA));
  const Value keys[] = {k0, k1, k2};
  Value x0 = row_major_index(g, shape, axes_before(int64_t(shape.size())), DType::u32) + broadcast_to(k0, shape);
  Value x1 = broadcast_to(k1 + double(stream), shape);
  for (int round = 0; round < kRounds; ++round) {
    x0 = x0 + x1;
    x1 = bit_xor(rotate(x1, kRotations[round % 8]), x0);
    if (round % 4 != 3) continue;
    int i = round / 4 + 1;
    x0 = x0 + broadcast_to(keys[i % 3], shape);
    x1 = x1 + broadcast_to(keys[(i + 1) % 3] + double(i), shape);
  }
  return {x0, x1};
}

static int64_t stream_of(const Node &n) { return n.attrs.i_or(Attr::stream, 0); }
static Value wide(Words w) { return bit_or(shl(cast(w[1], DType::u64), 32), cast(w[0], DType::u64)); }

Values expand_random_bits(Expand e) {
  Words w = threefry(e.x[0], e.node.type().shape, stream_of(e.node));
  return {e.node.type().dtype == DType::u64 ? wide(w) : w[0]};
}

// The top bits, as many as the significand holds, times 2^-bits: [0, 1), evenly spaced, exact.
static Value unit(Value bits, DType t) {
  int digits = t == DType::f64 ? 53 : t == DType::f32 ? 24 : t == DType::f16 ? 11 : 8;
  bool is64 = bits.dtype() == DType::u64;
  Value top = bitcast(shr(bits, (is64 ? 64 : 32) - digits), is64 ? DType::i64 : DType::i32);
  return cast(top, t) * std::ldexp(1.0, -digits);
}

Values expand_random_uniform(Expand e) {
  const Type &t = e.node.type();
  Words w = threefry(e.x[0], t.shape, stream_of(e.node));
  return {unit(t.dtype == DType::f64 ? wide(w) : w[0], t.dtype)};
}

// Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v). f64 needs more bits than one counter gives: a second one,
// with the top bit of the stream set.
Values expand_random_normal(Expand e) {
  const Type &t = e.node.type();
  DType real = t.dtype == DType::f64 ? DType::f64 : DType::f32;
  int64_t stream = stream_of(e.node);
  Words w = threefry(e.x[0], t.shape, stream);
  Value u, v;
  if (real == DType::f64)
    u = unit(wide(w), real), v = unit(wide(threefry(e.x[0], t.shape, stream + (int64_t(1) << 31))), real);
  else
    u = unit(w[0], real), v = unit(w[1], real);
  constexpr double kTwoPi = 6.2831853071795865;
  return {cast(sqrt(log(1.0 - u) * -2) * cos(v * kTwoPi), t.dtype)};
}

Values expand_dropout(Expand e) {
  Value x = e.x[0];
  double rate = e.node.attrs.get<double>(Attr::rate);
  if (rate == 0) return {x};
  Value drop = lt(threefry(e.x[1], x.shape(), stream_of(e.node))[0], std::floor(rate * 0x1p32));
  return {select(drop, 0, x * (1 / (1 - rate)))};
}

} // namespace trellis::ops

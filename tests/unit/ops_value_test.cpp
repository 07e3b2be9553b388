// What rows compute, against mathematics and published vectors; the edge cases that the table promises.
#include "tests/unit/ops_values.h"

namespace trellis {
namespace {

TEST(Value, UnaryFunctionsAgreeWithTheLibrary) {
  struct Row {
    Op op;
    double (*f)(double);
  };
  const Row rows[] = {
      {Op::abs, [](double x) { return std::fabs(x); }},
      {Op::exp, [](double x) { return std::exp(x); }},
      {Op::expm1, [](double x) { return std::expm1(x); }},
      {Op::log, [](double x) { return std::log(x); }},
      {Op::log1p, [](double x) { return std::log1p(x); }},
      {Op::sin, [](double x) { return std::sin(x); }},
      {Op::cos, [](double x) { return std::cos(x); }},
      {Op::tan, [](double x) { return std::tan(x); }},
      {Op::atan, [](double x) { return std::atan(x); }},
      {Op::tanh, [](double x) { return std::tanh(x); }},
      {Op::erf, [](double x) { return std::erf(x); }},
      {Op::sqrt, [](double x) { return std::sqrt(x); }},
      {Op::floor, [](double x) { return std::floor(x); }},
      {Op::ceil, [](double x) { return std::ceil(x); }},
      {Op::trunc, [](double x) { return std::trunc(x); }},
      {Op::round, [](double x) { return std::nearbyint(x); }},
      {Op::asin, [](double x) { return std::asin(x); }},
      {Op::acos, [](double x) { return std::acos(x); }},
      {Op::sinh, [](double x) { return std::sinh(x); }},
      {Op::cosh, [](double x) { return std::cosh(x); }},
      {Op::asinh, [](double x) { return std::asinh(x); }},
      {Op::acosh, [](double x) { return std::acosh(x); }},
      {Op::atanh, [](double x) { return std::atanh(x); }},
      {Op::reciprocal, [](double x) { return 1 / x; }},
      {Op::rsqrt, [](double x) { return 1 / std::sqrt(x); }},
      {Op::square, [](double x) { return x * x; }},
      {Op::sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {Op::softplus, [](double x) { return x > 40 ? x : std::log1p(std::exp(x)); }},
      {Op::gelu, [](double x) { return x * (0.5 * (1 + std::erf(x * std::sqrt(0.5)))); }},
      {Op::relu, [](double x) { return std::isnan(x) ? x
                                       : x > 0       ? x
                                                     : 0; }},
  };
  const Reals points{-kInf, -1e300, -800, -30,    -2.5, -1.5, -1,  -0.9, -0.5, -1e-9, -0.0,  0.0,  1e-9, 0.3,
                     0.5,   0.99,   1,    1.0001, 1.5,  2,    2.5, 3.5,  30,   800,   1e300, kInf, kNaN};
  for (const Row &r : rows) {
    Graph g;
    Reals want;
    for (double x : points) want.push_back(r.f(x));
    // tan at 1e300 is a quotient of two values that the library rounds.
    expect_close(g, elementwise(r.op, {real(g, points)}), want, 1e-13);
  }
}

TEST(Value, HyperbolicFunctionsDoNotOverflowEarly) {
  Graph g;
  Value x = real(g, {88.9, -88.9}, DType::f32);
  expect_close(g, elementwise(Op::sinh, {x}), {std::sinh(double(88.9f)), -std::sinh(double(88.9f))}, 2e-6);
  expect_close(g, elementwise(Op::cosh, {x}), {std::cosh(double(88.9f)), std::cosh(double(88.9f))}, 2e-6);
  Value big = real(g, {1e30, 1e-20}, DType::f32);
  expect_close(g, elementwise(Op::asinh, {big}), {std::asinh(double(1e30f)), double(1e-20f)}, 1e-6);
  Value half = real(g, {11.5, 1000}, DType::f16);
  expect_close(g, elementwise(Op::sinh, {half}), {std::sinh(11.5), kInf}, 1e-2);
  expect_close(g, elementwise(Op::acosh, {half}), {std::acosh(11.5), std::acosh(1000.0)}, 1e-2);
}

TEST(Value, RoundGoesToEven) {
  Graph g;
  expect_close(g, round(real(g, {0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994})), {0, 2, 2, -0.0, -2, 0});
}

TEST(Value, MaxAndMinOrderZerosAndKeepNaN) {
  Graph g;
  Value a = real(g, {0.0, -0.0, kNaN, 1, -kInf}), b = real(g, {-0.0, 0.0, 1, kNaN, kInf});
  expect_close(g, max(a, b), {0.0, 0.0, kNaN, kNaN, kInf});
  expect_close(g, min(a, b), {-0.0, -0.0, kNaN, kNaN, -kInf});
}

TEST(Value, ComparisonsWithNaN) {
  Graph g;
  Value a = real(g, {1, 2, kNaN, -0.0, kInf}), b = real(g, {2, 2, kNaN, 0.0, kNaN});
  EXPECT_EQ(ints(g, lt(a, b)), (Ints{1, 0, 0, 0, 0}));
  EXPECT_EQ(ints(g, le(a, b)), (Ints{1, 1, 0, 1, 0}));
  EXPECT_EQ(ints(g, gt(a, b)), (Ints{0, 0, 0, 0, 0}));
  EXPECT_EQ(ints(g, ge(a, b)), (Ints{0, 1, 0, 1, 0}));
  EXPECT_EQ(ints(g, eq(a, b)), (Ints{0, 1, 0, 1, 0}));
  EXPECT_EQ(ints(g, ne(a, b)), (Ints{1, 0, 1, 0, 1}));
  EXPECT_EQ(ints(g, is_nan(b)), (Ints{0, 0, 1, 0, 1}));
  EXPECT_EQ(ints(g, is_inf(a)), (Ints{0, 0, 0, 0, 1}));
  EXPECT_EQ(ints(g, is_finite(a)), (Ints{1, 1, 0, 1, 0}));
  Value u = whole(g, DType::u64, {-1, 1}), v = whole(g, DType::u64, {1, -1});
  EXPECT_EQ(ints(g, lt(u, v)), (Ints{0, 1})) << "-1 is the greatest u64";
  EXPECT_EQ(ints(g, le(u, v)), (Ints{0, 1}));
}

TEST(Value, PowEdges) {
  Graph g;
  Value x = real(g, {0, kNaN, 1, -2, -2, 0, -0.0, kInf, 2}), y = real(g, {0, 0, kNaN, 3, 0.5, -1, -3, -1, -1});
  expect_close(g, pow(x, y), {1, 1, 1, -8, kNaN, kInf, -kInf, 0.0, 0.5});
}

TEST(Value, IntegersWrapAndDivideByZeroIsZero) {
  Graph g;
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  Value a = whole(g, DType::i64, {kLeast, kLeast, 7, -7, 7, kLeast}), b = whole(g, DType::i64, {-1, 0, 0, 2, -2, 1});
  EXPECT_EQ(ints(g, elementwise(Op::div, {a, b})), (Ints{kLeast, 0, 0, -3, -3, kLeast}));
  EXPECT_EQ(ints(g, rem(a, b)), (Ints{0, 0, 0, -1, 1, 0}));
  EXPECT_EQ(ints(g, abs(a))[0], kLeast);
  EXPECT_EQ(ints(g, -a)[0], kLeast);
  Value c = whole(g, DType::i8, {-128, 127, 100}), d = whole(g, DType::i8, {-1, 1, 100});
  EXPECT_EQ(ints(g, elementwise(Op::div, {c, d})), (Ints{-128, 127, 1}));
  EXPECT_EQ(ints(g, c + d), (Ints{127, -128, -56}));
  EXPECT_EQ(ints(g, c * d), (Ints{-128, 127, 16}));
  EXPECT_EQ(ints(g, abs(c)), (Ints{-128, 127, 100}));
  Value u = whole(g, DType::u64, {-1, -1}), v = whole(g, DType::u64, {2, 10});
  EXPECT_EQ(ints(g, elementwise(Op::div, {u, v})), (Ints{std::numeric_limits<int64_t>::max(), 1844674407370955161}));
  EXPECT_EQ(ints(g, rem(u, v)), (Ints{1, 5}));
}

TEST(Value, RemaindersOfFloatsAreExact) {
  Graph g;
  // 1e10 = 0.1 n + r of the double nearest to 0.1, by rational arithmetic.
  Value x = real(g, {5.5, -5.5, -6, 1e10, 1e300, 15e-324, 3, kInf, 1, kNaN}),
        y = real(g, {-2, 2, 3, 0.1, 7, 10e-324, kInf, 2, 0, 1});
  expect_close(g, rem(x, y), {1.5, -1.5, -0.0, 0.09999944488848769, 1, 5e-324, 3, kNaN, kNaN, kNaN});
}

TEST(Value, ShiftsByTheWidthOrMore) {
  Graph g;
  for (DType t : {DType::i8, DType::i16, DType::i32, DType::i64}) {
    int64_t w = 8 * size_of(t);
    Value x = whole(g, t, {-3, -3, -3, 5, -3, -3}), n = whole(g, t, {1, w - 1, w, w, 100, -1});
    EXPECT_EQ(ints(g, shr(x, n)), (Ints{-2, -1, -1, 0, -1, -1})) << name(t);
    int64_t least = w == 64 ? std::numeric_limits<int64_t>::min() : -(int64_t(1) << (w - 1));
    EXPECT_EQ(ints(g, shl(x, n)), (Ints{-6, least, 0, 0, 0, 0})) << name(t);
  }
  for (DType t : {DType::u8, DType::u16, DType::u32, DType::u64}) {
    int64_t w = 8 * size_of(t);
    Value x = whole(g, t, {-1, -1, -1}), n = whole(g, t, {w - 1, w, w + 1});
    EXPECT_EQ(ints(g, shr(x, n)), (Ints{1, 0, 0})) << name(t);
    EXPECT_EQ(ints(g, shl(whole(g, t, {3, 3, 3}), n)),
              (Ints{w == 64 ? std::numeric_limits<int64_t>::min() : int64_t(1) << (w - 1), 0, 0}))
        << name(t);
  }
}

TEST(Value, BitsAndLogic) {
  Graph g;
  Value a = whole(g, DType::boolean, {0, 0, 1, 1}), b = whole(g, DType::boolean, {0, 1, 0, 1});
  EXPECT_EQ(ints(g, bit_and(a, b)), (Ints{0, 0, 0, 1}));
  EXPECT_EQ(ints(g, bit_or(a, b)), (Ints{0, 1, 1, 1}));
  EXPECT_EQ(ints(g, bit_xor(a, b)), (Ints{0, 1, 1, 0}));
  EXPECT_EQ(ints(g, bit_not(a)), (Ints{1, 1, 0, 0}));
  EXPECT_EQ(ints(g, bit_not(whole(g, DType::u8, {0, 0xF0}))), (Ints{255, 15}));
  EXPECT_EQ(ints(g, bit_not(whole(g, DType::i64, {0, -1}))), (Ints{-1, 0}));
  EXPECT_EQ(ints(g, bitcast(real(g, {1, -0.0}, DType::f32), DType::u32)), (Ints{0x3F800000, 0x80000000}));
  EXPECT_EQ(reals(g, bitcast(whole(g, DType::i16, {0x3C00}), DType::f16)), (Reals{1}));
}

TEST(Value, Casts) {
  Graph g;
  Value x = real(g, {-1.9, 300, kNaN, kInf, -kInf, 1e30});
  EXPECT_EQ(ints(g, cast(x, DType::i8)), (Ints{-1, 127, 0, 127, -128, 127}));
  EXPECT_EQ(ints(g, cast(x, DType::u8)), (Ints{0, 255, 0, 255, 0, 255}));
  EXPECT_EQ(ints(g, cast(x, DType::boolean)), (Ints{1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(ints(g, cast(whole(g, DType::i32, {300, -1}), DType::u8)), (Ints{44, 255}));
  EXPECT_EQ(reals(g, cast(whole(g, DType::u64, {-1}), DType::f64)), (Reals{0x1p64}));
  EXPECT_EQ(reals(g, cast(whole(g, DType::i64, {(int64_t(1) << 24) + 1}), DType::f32)), (Reals{0x1p24}));
}

TEST(Value, SignAndClamp) {
  Graph g;
  expect_close(g, sign(real(g, {-3, -0.0, 0.0, 5, kNaN, -kInf})), {-1, -0.0, 0.0, 1, kNaN, -1});
  EXPECT_EQ(ints(g, sign(whole(g, DType::u8, {0, 200}))), (Ints{0, 1}));
  expect_close(g, clamp(real(g, {-3, 0.5, 7, kNaN}), 0, 1), {0, 0.5, 1, kNaN});
}

TEST(Value, Activations) {
  Graph g;
  Value x = real(g, {-4, -1, 0, 1, 4});
  expect_close(g, elementwise(Op::leaky_relu, {x}), {-0.04, -0.01, 0, 1, 4});
  expect_close(g, elementwise(Op::elu, {x}), {std::expm1(-4), std::expm1(-1), 0, 1, 4});
  expect_close(g, elementwise(Op::hard_sigmoid, {x}), {0.0, 1 / 3.0, 0.5, 2 / 3.0, 1});
  expect_close(g, elementwise(Op::hard_swish, {x}), {-0.0, -1 / 3.0, 0, 2 / 3.0, 4});
  expect_close(g, silu(x),
               {-4 / (1 + std::exp(4)), -1 / (1 + std::exp(1)), 0, 1 / (1 + std::exp(-1)), 4 / (1 + std::exp(-4))});
  // gelu_tanh(1) from its definition.
  expect_close(g, elementwise(Op::gelu_tanh, {real(g, {1})}), {0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * 1.044715))});
}

// --- movement ---

TEST(Value, WindowAndItsTranspose) {
  Graph g;
  Value x = iota(g, {DType::i32, {7}}, 0);
  EXPECT_EQ(ints(g, window(x, {3}, {2})), (Ints{0, 1, 2, 2, 3, 4, 4, 5, 6}));
  // How often each element is shown, for every geometry: unwindow of ones, counted one by one.
  for (int64_t n = 1; n <= 9; ++n)
    for (int64_t size = 1; size <= 4; ++size)
      for (int64_t stride = 1; stride <= 4; ++stride)
        for (int64_t dilation = 1; dilation <= 3; ++dilation) {
          int64_t span = (size - 1) * dilation + 1;
          if (span > n) continue;
          int64_t windows = (n - span) / stride + 1;
          Ints want(size_t(n), 0), values;
          for (int64_t o = 0; o < windows; ++o)
            for (int64_t k = 0; k < size; ++k)
              want[size_t(o * stride + k * dilation)] += o * 10 + k + 1, values.push_back(o * 10 + k + 1);
          Graph h;
          Value w = whole(h, DType::i64, {windows, size}, values);
          EXPECT_EQ(ints(h, unwindow(w, {n}, {size}, {stride}, {dilation})), want)
              << fmt::format("{} {} {} {}", n, size, stride, dilation);
        }
}

TEST(Value, SlicesPadsAndParts) {
  Graph g;
  Value x = iota(g, {DType::i32, {6}}, 0);
  EXPECT_EQ(ints(g, slice(x, {4}, {-1}, {-2})), (Ints{4, 2, 0}));
  EXPECT_EQ(ints(g, slice(x, {3}, {3})), Ints{});
  EXPECT_EQ(ints(g, flip(x, {0})), (Ints{5, 4, 3, 2, 1, 0}));
  EXPECT_EQ(ints(g, pad(slice(x, {1}, {4}), {1}, {2}, {1}, whole(g, DType::i32, {}, {9}))),
            (Ints{9, 1, 9, 2, 9, 3, 9, 9}));
  EXPECT_EQ(ints(g, pad(x, {-2}, {-1})), (Ints{2, 3, 4}));
  EXPECT_EQ(ints(g, concat({slice(x, {4}, {6}), slice(x, {2}, {2}), slice(x, {0}, {1})}, 0)), (Ints{4, 5, 0}));
  Value m = reshape(x, {2, 3});
  EXPECT_EQ(ints(g, tile(m, {2, 2})), (Ints{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5}));
  EXPECT_EQ(ints(g, stack({m, m + 10}, -1)), (Ints{0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15}));
  Values parts = split(m, {1, 2}, 1);
  EXPECT_EQ(ints(g, parts[0]), (Ints{0, 3}));
  EXPECT_EQ(ints(g, parts[1]), (Ints{1, 2, 4, 5}));
}

// --- reductions ---

TEST(Value, ReductionsOfNothing) {
  Graph g;
  Value x = real(g, Ints{2, 0}, Reals{});
  expect_close(g, reduce(x, "sum", {1}), {0, 0});
  expect_close(g, reduce(x, "prod", {1}), {1, 1});
  expect_close(g, reduce(x, "max", {1}), {-kInf, -kInf});
  expect_close(g, reduce(x, "min", {1}), {kInf, kInf});
  expect_close(g, mean(x, {1}), {kNaN, kNaN});
  expect_close(g, logsumexp(x, {1}), {-kInf, -kInf});
  EXPECT_EQ(ints(g, reduce(whole(g, DType::i8, {0}, {}), "max", {0})), (Ints{-128}));
  EXPECT_EQ(ints(g, reduce(whole(g, DType::u16, {0}, {}), "min", {0})), (Ints{65535}));
  EXPECT_EQ(ints(g, any(whole(g, DType::boolean, {0}, {}))), (Ints{0}));
  EXPECT_EQ(ints(g, all(whole(g, DType::boolean, {0}, {}))), (Ints{1}));
  EXPECT_EQ(reals(g, softmax(x)), Reals{});
  EXPECT_EQ(reals(g, exp(x)), Reals{});
  expect_close(g, dot(x, real(g, Ints{0, 3}, Reals{})), {0, 0, 0, 0, 0, 0});
  EXPECT_EQ(reals(g, cumulative(x, "sum", 1)), Reals{});
  EXPECT_EQ(reals(g, sort(x, 1).values), Reals{});
}

TEST(Value, MeanVarianceNorms) {
  Graph g;
  Value x = real(g, {2, 3}, {1, 2, 6, -1, 0, 1});
  expect_close(g, mean(x, {1}), {3, 0.0});
  expect_close(g, var(x, {1}), {14 / 3.0, 2 / 3.0});
  expect_close(g, mean(x), {1.5});
  expect_close(g, l1_norm(x, {0}), {2, 2, 7});
  expect_close(g, l2_norm(x, {1}), {std::sqrt(41), std::sqrt(2)});
  EXPECT_EQ(sum(x, {-1}, true).type().str(), "f64[2, 1]");
}

TEST(Value, LogsumexpOfExtremes) {
  Graph g;
  Value x = real(g, {4, 2}, {1000, 1000, -kInf, -kInf, kInf, 0, kNaN, 0});
  expect_close(g, logsumexp(x, {1}), {1000 + std::log(2), -kInf, kInf, kNaN});
}

TEST(Value, ArgmaxTakesTheFirst) {
  Graph g;
  Value x = real(g, {4, 3}, {1, 3, 3, -kInf, -kInf, -kInf, 5, kNaN, kNaN, 2, 1, 1});
  EXPECT_EQ(ints(g, argmax(x, 1)), (Ints{1, 0, 1, 0}));
  EXPECT_EQ(ints(g, argmin(x, 1)), (Ints{0, 0, 1, 1}));
  EXPECT_EQ(argmax(x, 0, true).type().str(), "i64[1, 3]");
  Graph h;
  EXPECT_THROW(argmax(h.input("x", {DType::f32, {2, 0}}), 1), CompileError);
}

TEST(Value, Cumulative) {
  Graph g;
  Value x = real(g, {3, -1, 4, 2});
  expect_close(g, cumulative(x, "sum", 0), {3, 2, 6, 8});
  expect_close(g, cumulative(x, "sum", 0, true), {0, 3, 2, 6});
  expect_close(g, cumulative(x, "sum", 0, false, true), {8, 5, 6, 2});
  expect_close(g, cumulative(x, "prod", 0, true, true), {-8, 8, 2, 1});
  expect_close(g, cumulative(x, "max", 0, true), {-kInf, 3, 3, 4});
  expect_close(g, cumulative(x, "min", 0), {3, -1, -1, -1});
  expect_close(g, cumulative(real(g, {1, kNaN, 2}), "max", 0), {1, kNaN, kNaN});
  EXPECT_EQ(ints(g, cumulative(whole(g, DType::u8, {200, 100}), "sum", 0)), (Ints{200, 44}));
  EXPECT_EQ(ints(g, cumulative(whole(g, DType::i64, {2, 2}, {1, 2, 3, 4}), "sum", 0)), (Ints{1, 2, 4, 6}));
}

// --- indexed ---

TEST(Value, GatherReadsZeroOutOfRange) {
  Graph g;
  Value x = real(g, {3, 2}, {1, 2, 3, 4, 5, 6});
  expect_close(g, gather(x, whole(g, DType::i32, {2, 2}, {2, -1, 3, 0}), 0), {5, 6, 0, 0, 0, 0, 1, 2});
  expect_close(g, gather(x, whole(g, DType::u8, {1}), 1), {2, 4, 6});
  expect_close(g, gather(x, whole(g, DType::i64, {}, {1}), 0), {3, 4});
  expect_close(g, take_along(x, whole(g, DType::i64, {3, 1}, {1, 0, 1}), 1), {2, 3, 6});
}

TEST(Value, ScatterAppliesInOrderAndDropsOutOfRange) {
  Graph g;
  Value base = real(g, {1, 2, 3}), at = whole(g, DType::i64, {1, 5, 1, -1, 0});
  Value u = real(g, {10, 20, 30, 40, 7});
  expect_close(g, scatter(base, at, u, 0, "set"), {7, 30, 3});
  expect_close(g, scatter(base, at, u, 0, "sum"), {8, 42, 3});
  expect_close(g, scatter(base, at, u, 0, "prod"), {7, 600, 3});
  expect_close(g, scatter(base, at, u, 0, "max"), {7, 30, 3});
  expect_close(g, scatter(base, at, u, 0, "min"), {1, 2, 3});
}

TEST(Value, SortIsStableWithNaNLast) {
  Graph g;
  Value x = real(g, {2, kNaN, -0.0, 0.0, -kInf, 2, kNaN});
  Sorted up = sort(x, 0), down = sort(x, 0, true);
  expect_close(g, up.values, {-kInf, -0.0, 0.0, 2, 2, kNaN, kNaN});
  EXPECT_EQ(ints(g, up.indices), (Ints{4, 2, 3, 0, 5, 1, 6}));
  expect_close(g, down.values, {2, 2, -0.0, 0.0, -kInf, kNaN, kNaN});
  EXPECT_EQ(ints(g, down.indices), (Ints{0, 5, 2, 3, 4, 1, 6}));
  EXPECT_EQ(ints(g, sort(whole(g, DType::u64, {-1, 1, 0}), 0).values), (Ints{0, 1, -1}));
  EXPECT_EQ(ints(g, top_k(whole(g, DType::i32, {2, 3}, {1, 3, 2, 9, 7, 8}), 2, 1).indices), (Ints{1, 2, 0, 2}));
}

TEST(Value, OneHot) {
  Graph g;
  expect_close(g, one_hot(whole(g, DType::i64, {1, 3, -1}), 3, DType::f32), {0, 1, 0, 0, 0, 0, 0, 0, 0});
}

// --- contraction ---

TEST(Value, ConvolutionByHand) {
  Graph g;
  Value x = real(g, {1, 1, 5}, {1, 2, 3, 4, 5}), w = real(g, {1, 1, 2}, {10, 1});
  expect_close(g, conv(x, w), {12, 23, 34, 45});
  expect_close(g, conv(x, w, {.stride = {2}, .lo = {1}, .hi = {}, .dilation = {}, .input_dilation = {}}), {1, 23, 45});
  expect_close(g, conv(x, w, {.stride = {}, .lo = {}, .hi = {}, .dilation = {3}, .input_dilation = {}}), {14, 25});
  // 1 0 2 0 3 0 4 0 5
  expect_close(g, conv(x, w, {.stride = {}, .lo = {}, .hi = {}, .dilation = {}, .input_dilation = {2}}),
               {10, 2, 20, 3, 30, 4, 40, 5});
  expect_close(g, conv(x, w, {.stride = {}, .lo = {-1}, .hi = {-2}, .dilation = {}, .input_dilation = {}}), {23});
}

TEST(Value, IntegerContractionsWrap) {
  Graph g;
  Value a = whole(g, DType::i8, {1, 2}, {100, 100}), b = whole(g, DType::i8, {2, 1}, {2, 1});
  EXPECT_EQ(ints(g, dot(a, b)), (Ints{44}));
}

// --- networks ---

TEST(Value, SoftmaxDoesNotOverflow) {
  Graph g;
  double e = std::exp(-1.0);
  Value x = real(g, {2, 2}, {1000, 999, -kInf, 0});
  expect_close(g, softmax(x), {1 / (1 + e), e / (1 + e), 0.0, 1});
  expect_close(g, log_softmax(x), {-std::log1p(e), -1 - std::log1p(e), -kInf, 0.0});
  expect_close(g, softmax(real(g, {2, 2}, {0, 0, std::log(3), 0}), 0), {0.25, 0.5, 0.75, 0.5});
}

TEST(Value, CrossEntropy) {
  Graph g;
  Value x = real(g, {3, 2}, {0, 0, std::log(3), 0, 0, std::log(7)});
  expect_close(g, cross_entropy(x, whole(g, DType::i64, {0, 0, 1})),
               {(std::log(2) + std::log(4 / 3.0) + std::log(8 / 7.0)) / 3});
  expect_close(g, cross_entropy(x, whole(g, DType::i32, {0, -1, 1}), -1), {(std::log(2) + std::log(8 / 7.0)) / 2});
  expect_close(g, cross_entropy(x, whole(g, DType::u8, {0, 9, 1})), {(std::log(2) + std::log(8 / 7.0)) / 3});
  expect_close(g, cross_entropy(x, whole(g, DType::i64, {5, 5, 5}), 5), {kNaN});
}

TEST(Value, MeanLosses) {
  Graph g;
  expect_close(g, mse(real(g, {1, 2, 3}), real(g, {1, 4, 0})), {13 / 3.0});
  expect_close(g, bce_with_logits(real(g, {0, 2}), real(g, {1, 0.25})),
               {(std::log(2) + std::log1p(std::exp(2)) - 0.5) / 2});
  expect_close(g, bce_with_logits(real(g, {1000, -1000}), real(g, {0, 1})), {1000});
}

TEST(Value, Normalisations) {
  Graph g;
  Value x = real(g, {1, 4}, {1, 2, 3, 6}), scale = real(g, {1, 2, 1, 1}), bias = real(g, {0, 0, 10, 0});
  double r = 1 / std::sqrt(3.5);
  expect_close(g, layer_norm(x, scale, bias, -1, 0), {-2 * r, -2 * r, 10.0, 3 * r});
  expect_close(g, rms_norm(x, {}, -1, 0),
               {1 / std::sqrt(12.5), 2 / std::sqrt(12.5), 3 / std::sqrt(12.5), 6 / std::sqrt(12.5)});
  Value y = real(g, {2, 2, 1}, {1, 10, 3, 30}), s = real(g, {2, 1}), b = real(g, {0, 5});
  BatchNorm n = batch_norm(y, s, b, 0);
  expect_close(g, n.y, {-2, 4, 2, 6});
  expect_close(g, n.mean, {2, 20});
  expect_close(g, n.var, {1, 100});
  expect_close(g, batch_norm_inference(y, s, b, real(g, {1, 0}), real(g, {4, 25}), 0), {0.0, 7, 2, 11});
  Value z = real(g, {1, 4, 1}, {1, 3, 10, 30}), one = real(g, {1, 1, 1, 2}), none = real(g, {0, 0, 0, 1});
  expect_close(g, group_norm(z, one, none, 2, 0), {-1, 1, -1, 3});
}

TEST(Value, Pools) {
  Graph g;
  Value x = real(g, {1, 5}, {-1, -2, -3, -4, -5});
  PoolOptions o{.size = {3}, .stride = {2}, .lo = {1}, .hi = {1}, .dilation = {}};
  expect_close(g, max_pool(x, o), {-1, -2, -4});
  expect_close(g, avg_pool(x, o), {-1.5, -3, -4.5});
  o.count_pad = true;
  expect_close(g, avg_pool(x, o), {-1, -3, -3});
  EXPECT_EQ(ints(g, max_pool(whole(g, DType::i8, {1, 2}, {-128, -100}),
                             {.size = {2}, .stride = {}, .lo = {1}, .hi = {}, .dilation = {}})),
            (Ints{-128, -100}));
}

TEST(Value, Attention) {
  Graph g;
  Value q = real(g, {2, 1}, {0, 0}), k = real(g, {2, 1}, {1, 2}), v = real(g, {2, 1}, {10, 30});
  expect_close(g, attention(q, k, v), {20, 20});
  expect_close(g, attention(q, k, v, {.mask = {}, .causal = true, .scale = {}}), {10, 20});
  Value mask = whole(g, DType::boolean, {1, 2}, {0, 1});
  expect_close(g, attention(q, k, v, {.mask = mask, .causal = false, .scale = {}}), {30, 30});
  Value one = real(g, {1, 1}, {1});
  expect_close(g, attention(one, k, v, {.mask = {}, .causal = false, .scale = std::log(3)}), {10 * 0.25 + 30 * 0.75});
}

} // namespace
} // namespace trellis

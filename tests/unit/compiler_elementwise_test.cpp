// Every pointwise row of the table, compiled against interpreted: all dtypes that it takes, odd sizes, special values.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/eval.h"
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

// Ordinary values with the special ones among them, in an order that differs by operand.
Tensor values(DType t, int64_t n, int operand) {
  static const double kFloats[] = {0.5,   -0.0,   1.0,   -1.0,  INFINITY, -INFINITY, NAN,   3.25,      -2.75,
                                   1e-40, -1e-40, 88.0,  -88.0, 1e10,     0.0,       -1e10, 0.9999999, 1.5,
                                   2.5,   -0.5,   1e-20, 7.0,   -3.0,     65504.,    0.1,   -0.3};
  static const int64_t kInts[] = {0,  1,   -1, 2, 7,  -8,        127,       -128,      31,       33,
                                  64, 255, 3,  5, -3, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX};
  Tensor x(t, {n});
  for (int64_t i = 0; i < n; ++i)
    if (is_float(t))
      x.set(i, kFloats[size_t(i * (2 * operand + 1) + 3 * operand) % std::size(kFloats)]);
    else
      x.set_int(i, t == DType::boolean ? (i + operand) % 3 == 0
                                       : kInts[size_t(i * (2 * operand + 1) + 5 * operand) % std::size(kInts)]);
  return x;
}

double ulp(DType t, double v) {
  int bits = t == DType::f64 ? 52 : t == DType::f32 ? 23 : t == DType::f16 ? 10 : 7;
  int least = t == DType::f64 ? -1022 : t == DType::f16 ? -14 : -126;
  return std::ldexp(1.0, std::max(std::ilogb(std::fabs(v) + 1e-300), least) - bits);
}

// A composite is one rounding of a formula here, several there: where it cancels, its terms bound the difference.
void expect_same(const Tensor &got, const Tensor &want, double ulps, bool composite, const std::string &what) {
  ASSERT_EQ(got.dtype(), want.dtype()) << what;
  for (int64_t i = 0; i < want.size(); ++i) {
    if (!is_float(want.dtype())) {
      EXPECT_EQ(got.get_int(i), want.get_int(i)) << what << " element " << i;
      continue;
    }
    double x = got.get(i), y = want.get(i);
    if (std::isnan(y)) {
      EXPECT_TRUE(std::isnan(x)) << what << " element " << i << ": " << x;
    } else if (std::isinf(y) || std::isinf(x)) {
      EXPECT_EQ(x, y) << what << " element " << i;
    } else {
      EXPECT_LE(std::fabs(x - y), ulps * ulp(want.dtype(), composite ? std::max(std::fabs(y), 0.25) : y))
          << what << " element " << i << ": " << x << " for " << y;
      if (y == 0 && x == 0 && ulps == 0) { EXPECT_EQ(std::signbit(x), std::signbit(y)) << what << " element " << i; }
    }
  }
}

bool attributes_needed(const OpInfo &row) {
  for (const AttrSpec &s : row.attrs)
    if (s.required) return true;
  return false;
}

class Pointwise : public testing::TestWithParam<Op> {};

TEST_P(Pointwise, CompiledIsInterpreted) {
  const OpInfo &row = info(GetParam());
  for (DType t : {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8, DType::i32, DType::i64, DType::u8,
                  DType::u32, DType::u64, DType::boolean}) {
    Graph g;
    std::vector<Tensor> inputs;
    bool defined = true;
    for (int64_t n : {1, 3, 7, 17, 65}) {
      std::string suffix = std::to_string(n);
      Values operands;
      std::vector<Tensor> data;
      for (int i = 0; i < row.arity; ++i) {
        DType own = GetParam() == Op::select && i == 0 ? DType::boolean : t;
        data.push_back(values(own, n, i));
        operands.push_back(g.input("x" + suffix + "_" + std::to_string(i), data.back().type()));
      }
      Value y;
      try {
        y = g.make(GetParam(), operands);
      } catch (const CompileError &) {
        defined = false;
        break;
      }
      g.outputs.push_back({"y" + suffix, y});
      inputs.insert(inputs.end(), data.begin(), data.end());
    }
    if (!defined) continue;
    std::vector<Tensor> want = evaluate(g, inputs);
    std::vector<Tensor> got = Session(compile(g)).run(inputs);
    bool exact = row.kind == OpKind::elementwise && row.eval.i;
    for (size_t i = 0; i < want.size(); ++i)
      expect_same(got[i], want[i],
                  exact                            ? 0
                  : t == DType::f64                ? 6
                  : is_float(t) && size_of(t) == 2 ? 2
                                                   : 4,
                  row.kind == OpKind::composite,
                  fmt::format("{} of {}, {} elements", row.name, name(t), want[i].size()));
  }
}

std::vector<Op> pointwise_rows() {
  std::vector<Op> out;
  for (int i = 0; i < kOpCount; ++i) {
    const OpInfo &row = info(Op(i));
    if ((row.kind == OpKind::elementwise || row.pointwise) && !attributes_needed(row) && row.arity > 0)
      out.push_back(Op(i));
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Table, Pointwise, testing::ValuesIn(pointwise_rows()),
                         [](const auto &p) { return std::string(name(p.param)); });

// Values with two users each, one after another: no walk may take every way through them.
TEST(CompiledDiamonds, OneBehindAnother) {
  Graph g;
  Value x = g.input("x", {DType::f32, {9}}), first = exp(x), v = x;
  for (int k = 0; k < 60; ++k) v = sin(v) + cos(v);
  g.outputs = {{"a", first}, {"b", v}};
  Tensor in(DType::f32, {9});
  for (int64_t i = 0; i < 9; ++i) in.set(i, double(i) / 4 - 1);
  std::vector<Tensor> inputs{in}, want = evaluate(g, inputs), got = Session(compile(g)).run(inputs);
  for (size_t k = 0; k < 2; ++k)
    for (int64_t i = 0; i < 9; ++i) EXPECT_NEAR(got[k].get(i), want[k].get(i), 1e-4 * std::abs(want[k].get(i)));
}

} // namespace
} // namespace trellis

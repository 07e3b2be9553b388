#include "compiler/frontend/init.h"
#include "compiler/frontend/philox.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;

// Known answers of the reference implementation (Random123, kat_vectors: philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  uint32_t f = 0xffffffff;
  EXPECT_EQ(philox({f, f, f, f}, {f, f}), (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamsDependOnSeedAndName) {
  RandomStream a(0, "w"), b(0, "v"), c(1, "w"), again(0, "w");
  EXPECT_EQ(a.bits(5), again.bits(5));
  EXPECT_NE(a.bits(5), b.bits(5));
  EXPECT_NE(a.bits(5), c.bits(5));
  EXPECT_NE(a.bits(4), a.bits(5));
}

// The quantile is the inverse of the distribution: Phi(x) = erfc(-x / sqrt 2) / 2.
TEST(Philox, NormalQuantileInvertsTheDistribution) {
  for (double p : {1e-16, 1e-12, 3e-9, 1e-5, 0.001, 0.02, 0.074, 0.076, 0.3, 0.5, 0.6, 0.924, 0.926, 0.99, 0.999999}) {
    double x = normal_quantile(p);
    EXPECT_NEAR(std::erfc(-x / std::sqrt(2.0)) / 2 / p, 1, 1e-13) << p;
  }
  EXPECT_EQ(normal_quantile(0.5), 0);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 4e-15);
  EXPECT_EQ(normal_quantile(0.25), -normal_quantile(0.75));
}

static std::pair<double, double> moments(const Tensor &t) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < t.size(); ++i) sum += t.get(i), squares += t.get(i) * t.get(i);
  double mean = sum / double(t.size());
  return {mean, std::sqrt(squares / double(t.size()) - mean * mean)};
}
static double extreme(const Tensor &t) {
  double m = 0;
  for (int64_t i = 0; i < t.size(); ++i) m = std::max(m, std::fabs(t.get(i)));
  return m;
}

struct Case {
  const char *init;
  Type type;
  double deviation, bound; ///< bound 0: none
};

TEST(Init, MomentsAndBounds) {
  Type dense{DType::f32, {300, 200}}, conv{DType::f32, {64, 32, 5, 5}}, wide{DType::f64, {100, 400}};
  // Uniform in +-b has the deviation b / sqrt 3.
  auto uniform = [](double b) { return b / std::sqrt(3.0); };
  Case cases[] = {
      {"normal(0.02)", dense, 0.02, 0},
      {"uniform(-0.5, 0.5)", dense, uniform(0.5), 0.5},
      {"he_normal", dense, std::sqrt(2.0 / 300), 0},
      {"he_uniform", dense, uniform(std::sqrt(6.0 / 300)), std::sqrt(6.0 / 300)},
      {"glorot_normal", dense, std::sqrt(2.0 / 500), 0},
      {"glorot_uniform", wide, uniform(std::sqrt(6.0 / 500)), std::sqrt(6.0 / 500)},
      {"fan_in_uniform", dense, uniform(1 / std::sqrt(300.0)), 1 / std::sqrt(300.0)},
      {"fan_in_uniform", conv, uniform(1 / std::sqrt(800.0)), 1 / std::sqrt(800.0)},
      {"glorot_normal", conv, std::sqrt(2.0 / (800 + 1600)), 0},
      {"fan_in_uniform(100)", {DType::f32, {50000}}, uniform(0.1), 0.1},
  };
  for (const Case &c : cases) {
    Tensor t = initial_value(c.init, c.type, "w", 7);
    auto [mean, deviation] = moments(t);
    double n = double(t.size());
    EXPECT_NEAR(mean, 0, 5 * c.deviation / std::sqrt(n)) << c.init;
    EXPECT_NEAR(deviation / c.deviation, 1, 5 / std::sqrt(n)) << c.init;
    if (c.bound > 0) {
      EXPECT_LE(extreme(t), c.bound * (1 + 1e-6)) << c.init;
      EXPECT_GT(extreme(t), c.bound * 0.99) << c.init;
    }
  }
  auto [mean, deviation] = moments(initial_value("normal(3, 0.5)", {DType::f64, {10000}}, "w", 1));
  EXPECT_NEAR(mean, 3, 0.025);
  EXPECT_NEAR(deviation, 0.5, 0.025);
}

TEST(Init, Constants) {
  Type type{DType::f32, {3}};
  EXPECT_EQ(initial_value("zero", type, "b", 0).get(2), 0);
  EXPECT_EQ(initial_value("one", type, "b", 0).get(2), 1);
  EXPECT_EQ(initial_value("constant(-2.5)", type, "b", 0).get(0), -2.5);
  EXPECT_EQ(initial_value("constant(7)", {DType::i64, {2}}, "n", 0).get_int(1), 7);
}

static std::string error_of(const char *init, Type type) {
  try {
    parse_init(init, type, {std::make_shared<const std::string>("net.trl"), 3, 5, ""});
  } catch (const CompileError &e) { return e.what(); }
  return "";
}

TEST(Init, ErrorsNameThePlaceAndTheRemedy) {
  Type w{DType::f32, {2, 3}}, b{DType::f32, {3}};
  EXPECT_NE(error_of("he_norml", w).find("net.trl:3:5: error: initialiser 'he_norml': unknown: give 'zero'"),
            std::string::npos);
  EXPECT_NE(error_of("normal", w).find("takes 1 or 2 arguments, 0 given"), std::string::npos);
  EXPECT_NE(error_of("normal(x)", w).find("'x' is not a number"), std::string::npos);
  EXPECT_NE(error_of("normal(1", w).find("')' is missing"), std::string::npos);
  EXPECT_NE(error_of("normal(-1)", w).find("negative"), std::string::npos);
  EXPECT_NE(error_of("uniform(1, 0)", w).find("empty"), std::string::npos);
  EXPECT_NE(error_of("he_normal", b).find("has no fans"), std::string::npos);
  EXPECT_NE(error_of("he_normal(0)", b).find("above 0"), std::string::npos);
  EXPECT_NE(error_of("normal(1)", {DType::i32, {3}}).find("floating-point"), std::string::npos);
  EXPECT_NE(error_of("normal(inf)", w).find("not finite"), std::string::npos);
  EXPECT_NE(error_of("zero(1)", w).find("takes 0 arguments, 1 given"), std::string::npos);
  EXPECT_NE(error_of("", w).find("no initialiser"), std::string::npos);
  EXPECT_NE(error_of("zero", {DType::f32, {Dim::symbol("N")}}).find("not fixed"), std::string::npos);
}

// Optimisers against their definitions in torch's documentation, step by step in plain arithmetic.
#include "compiler/frontend/optimiser.h"
#include "frontend_session.h"
#include "ir/verify.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;
using trellis::testing::TestSession;

static const double kGradients[5][3] = {
    {0.5, -2, 0.01}, {0.25, 1, -0.03}, {-4, 0, 0.02}, {1e-3, 3, 1}, {0.125, -0.5, 7}};
static const double kStart[3] = {1, -0.5, 0.25};

// Five steps of `text` on three parameters of that dtype.
static std::vector<double> run(const std::string &text, DType dtype) {
  Graph g;
  Value p = g.input("p", {dtype, {3}}, "param", "zero"), grad = g.input("g", {dtype, {3}});
  add_optimiser(parse_optimiser(text), {p}, {grad});
  verify(g);
  TestSession s;
  s.state["p"] = Tensor::of<double>(dtype, {3}, kStart);
  s.initialise(g);
  for (const auto &step : kGradients) s.run(g, {{"g", Tensor::of<double>(dtype, {3}, step)}});
  std::vector<double> out;
  for (int i = 0; i < 3; ++i) out.push_back(s.state["p"].get(i));
  return out;
}

// The same by a function (p, g, t, i) -> p; t counts from 1.
template <class F> static std::vector<double> reference(F step) {
  std::vector<double> p(kStart, kStart + 3);
  for (int t = 1; t <= 5; ++t)
    for (size_t i = 0; i < 3; ++i) p[i] = step(p[i], kGradients[t - 1][i], t, i);
  return p;
}

static void expect_equal(const std::string &text, const std::vector<double> &want) {
  std::vector<double> f64 = run(text, DType::f64), f32 = run(text, DType::f32), bf16 = run(text, DType::bf16);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(f64[i], want[i], 1e-13 * std::max(1.0, std::fabs(want[i]))) << text;
    EXPECT_NEAR(f32[i], want[i], 2e-6 * std::max(1.0, std::fabs(want[i]))) << text;
    EXPECT_NEAR(bf16[i], want[i], 3e-2 * std::max(1.0, std::fabs(want[i]))) << text;
  }
}

TEST(Optimiser, Sgd) {
  expect_equal("sgd:lr=0.1", reference([](double p, double g, int, size_t) { return p - 0.1 * g; }));
  expect_equal("sgd:lr=0.1,weight_decay=0.2",
               reference([](double p, double g, int, size_t) { return p - 0.1 * (g + 0.2 * p); }));
  double b[3] = {};
  expect_equal("sgd:lr=0.1,momentum=0.9",
               reference([&](double p, double g, int, size_t i) { return p - 0.1 * (b[i] = 0.9 * b[i] + g); }));
  double n[3] = {};
  expect_equal("sgd:lr=0.1,momentum=0.9,nesterov=true,weight_decay=0.01",
               reference([&](double p, double g, int, size_t i) {
                 g += 0.01 * p;
                 n[i] = 0.9 * n[i] + g;
                 return p - 0.1 * (g + 0.9 * n[i]);
               }));
}

static auto adam(double lr, double b1, double b2, double eps, double l2, double decoupled) {
  return [=, m = std::vector<double>(3), v = std::vector<double>(3)](double p, double g, int t, size_t i) mutable {
    p *= 1 - lr * decoupled;
    g += l2 * p;
    m[i] = b1 * m[i] + (1 - b1) * g;
    v[i] = b2 * v[i] + (1 - b2) * g * g;
    double mean = m[i] / (1 - std::pow(b1, t)), square = v[i] / (1 - std::pow(b2, t));
    return p - lr * mean / (std::sqrt(square) + eps);
  };
}
TEST(Optimiser, Adam) {
  expect_equal("adam", reference(adam(1e-3, 0.9, 0.999, 1e-8, 0, 0)));
  expect_equal("adam:lr=0.01,beta1=0.8,beta2=0.99,eps=1e-3,weight_decay=0.1",
               reference(adam(0.01, 0.8, 0.99, 1e-3, 0.1, 0)));
  expect_equal("adamw:lr=0.01", reference(adam(0.01, 0.9, 0.999, 1e-8, 0, 0.01)));
  expect_equal("adamw:lr=0.01,beta2=0.99,weight_decay=0.1", reference(adam(0.01, 0.9, 0.99, 1e-8, 0, 0.1)));
}

TEST(Optimiser, AdamsCorrectionNeitherCancelsNorDrifts) {
  Graph g;
  Value p = g.input("p", {DType::f32, {}}, "param", "zero"), grad = g.input("g", {DType::f32, {}});
  add_optimiser(parse_optimiser("adam"), {p}, {grad});
  TestSession s;
  s.initialise(g);
  for (int t = 1; t <= 2000; ++t) {
    s.run(g, {{"g", Tensor::scalar(DType::f32, 1)}});
    if (t == 1 || t == 10 || t == 2000) {
      EXPECT_NEAR(s.state["adam.c2"].get(0) / -std::expm1(t * std::log(0.999)), 1, 1e-13);
    }
  }
  // With a constant gradient of 1 every step is lr / (1 + eps).
  EXPECT_NEAR(s.state["p"].get(0), -2.0, 1e-4);
}

TEST(Optimiser, RmsProp) {
  std::vector<double> s(3), a(3), b(3);
  expect_equal("rmsprop:lr=0.05", reference([&](double p, double g, int, size_t i) {
                 s[i] = 0.99 * s[i] + 0.01 * g * g;
                 return p - 0.05 * g / (std::sqrt(s[i]) + 1e-8);
               }));
  s = {0, 0, 0};
  expect_equal("rmsprop:lr=0.05,alpha=0.9,momentum=0.5,centered=true,eps=0.01,weight_decay=0.1",
               reference([&](double p, double g, int, size_t i) {
                 g += 0.1 * p;
                 s[i] = 0.9 * s[i] + 0.1 * g * g;
                 a[i] = 0.9 * a[i] + 0.1 * g;
                 b[i] = 0.5 * b[i] + g / (std::sqrt(s[i] - a[i] * a[i]) + 0.01);
                 return p - 0.05 * b[i];
               }));
}

TEST(Optimiser, ClipsTheNormOfAllGradientsTogether) {
  expect_equal("sgd:lr=0.1,clip=0.5", [] {
    std::vector<double> p(kStart, kStart + 3);
    for (const auto &g : kGradients) {
      double norm = std::sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
      for (size_t i = 0; i < 3; ++i) p[i] -= 0.1 * g[i] * std::min(1.0, 0.5 / (norm + 1e-6));
    }
    return p;
  }());
  Graph g;
  Value p = g.input("p", {DType::f64, {1}}, "param", "zero"), q = g.input("q", {DType::f64, {1}}, "param", "zero");
  Value gp = g.input("gp", {DType::f64, {1}}), gq = g.input("gq", {DType::f64, {1}});
  add_optimiser(parse_optimiser("sgd:lr=1,clip=1"), {p, q}, {gp, gq});
  TestSession s;
  s.initialise(g);
  double three = 3, four = 4;
  s.run(g, {{"gp", Tensor::of<double>(DType::f64, {1}, {&three, 1})},
            {"gq", Tensor::of<double>(DType::f64, {1}, {&four, 1})}});
  EXPECT_NEAR(s.state["p"].get(0), -3 / (5 + 1e-6), 1e-15);
  EXPECT_NEAR(s.state["q"].get(0), -4 / (5 + 1e-6), 1e-15);
}

TEST(Schedule, GraphAndFormulaAgree) {
  struct Case {
    const char *text;
    std::vector<std::pair<int64_t, double>> want;
  };
  Case cases[] = {
      {"sgd:lr=0.5", {{0, 0.5}, {1000, 0.5}}},
      {"sgd:lr=0.5,warmup=4", {{0, 0.125}, {1, 0.25}, {3, 0.5}, {9, 0.5}}},
      {"sgd:lr=0.5,schedule=step,every=10,gamma=0.1", {{0, 0.5}, {9, 0.5}, {10, 0.05}, {29, 0.005}}},
      {"sgd:lr=0.5,schedule=cosine,steps=100,min_lr=0.1", {{0, 0.5}, {50, 0.3}, {100, 0.1}, {500, 0.1}}},
      {"sgd:lr=0.5,schedule=cosine,steps=110,warmup=10", {{0, 0.05}, {9, 0.5}, {10, 0.5}, {60, 0.25}, {110, 0}}},
  };
  for (const Case &c : cases) {
    OptimiserOptions o = parse_optimiser(c.text);
    for (auto [step, want] : c.want) {
      Graph g;
      Value t = g.input("t", {DType::f64, {}});
      g.outputs.push_back({"lr", learning_rate(o.schedule, o.lr, t)});
      EXPECT_NEAR(evaluate(g, std::vector{Tensor::scalar(DType::f64, double(step))})[0].get(0), want, 1e-15)
          << c.text << " " << step;
      EXPECT_NEAR(learning_rate(o.schedule, o.lr, step), want, 1e-15) << c.text << " " << step;
    }
  }
}

TEST(Schedule, AdvancesWithTheSteps) {
  double rate = 0;
  expect_equal("sgd:lr=1,warmup=10",
               reference([&](double p, double g, int t, size_t) { return rate = t / 10.0, p - rate * g; }));
}

static std::string error_of(const char *text) {
  try {
    parse_optimiser(text);
  } catch (const CompileError &e) { return e.what(); }
  return "";
}
TEST(Optimiser, Errors) {
  auto mentions = [](const char *text, const char *part) {
    EXPECT_NE(error_of(text).find(part), std::string::npos) << error_of(text);
  };
  mentions("adm:lr=1", "'adm' is unknown: give sgd, adam, adamw or rmsprop");
  mentions("adam:momentum=0.9",
           "adam has no option 'momentum': give 'lr', 'beta1', 'beta2', 'eps', 'weight_decay', 'clip'");
  mentions("sgd:lr=fast", "lr: 'fast' is not a number");
  mentions("sgd:lr=-1", "lr=-1 is out of range");
  mentions("sgd:lr=nan", "'nan' is not a number");
  mentions("sgd:lr=1e999", "not a number");
  mentions("sgd:lr", "'lr' is not of the form key=value");
  mentions("sgd:", "not of the form key=value");
  mentions("sgd:lr=1,lr=2", "'lr' is given twice");
  mentions("sgd:nesterov=true", "needs a momentum");
  mentions("sgd:nesterov=maybe,momentum=1", "neither 'true' nor 'false'");
  mentions("adam:beta1=1", "out of range");
  mentions("adam:schedule=step", "needs every=STEPS");
  mentions("adam:schedule=cosine,steps=5,warmup=5", "above warmup");
  mentions("adam:schedule=poly", "'poly' is unknown: give 'constant', 'step' or 'cosine'");
  mentions("adam:schedule=step,every=2.5", "whole number");
  mentions("", "'' is unknown");
}

#include "ir/build.h"
#include "ir/eval.h"
#include "ir/vjp.h"
#include "passes/autodiff.h"
#include "passes/pass.h"
#include <gtest/gtest.h>

using namespace trellis;

namespace {
constexpr Type kF64{DType::f64, {}};

std::string error_of(const std::function<void()> &f) {
  try {
    f();
  } catch (const CompileError &e) { return e.what(); }
  return "no error";
}

TEST(Autodiff, AbsentWhereThereIsNoPath) {
  Graph g;
  Value x = g.input("x", kF64), z = g.input("z", kF64);
  Values d = gradients(x * x, {x, z});
  EXPECT_TRUE(d[0]);
  EXPECT_FALSE(d[1]);
  EXPECT_TRUE(dense(d[1], z).is(g.scalar(DType::f64, 0)));
}

TEST(Autodiff, ProductRule) {
  Graph g;
  Value x = g.input("x", kF64), w = g.input("w", kF64);
  Values d = gradients(x * w, {x, w});
  Value one = g.scalar(DType::f64, 1);
  EXPECT_TRUE(d[0].is(one * w));
  EXPECT_TRUE(d[1].is(one * x));
}

TEST(Autodiff, TotalAndPartial) {
  Graph g;
  Value x = g.input("x", kF64), a = exp(x), y = a * a, one = g.scalar(DType::f64, 1);
  EXPECT_TRUE(gradients(y, {a, x})[1]);
  Values partial = pull_back({{y, one}}, {a, x}, true);
  EXPECT_TRUE(partial[0]);
  EXPECT_FALSE(partial[1]);
}

TEST(Autodiff, WalksOnlyBetween) {
  Graph g;
  Value x = g.input("x", kF64), w = g.input("w", kF64), far = exp(exp(exp(x)));
  Value y = far * w;
  size_t before = g.node_count();
  Values d = gradients(y, {w});
  EXPECT_TRUE(d[0].is(g.scalar(DType::f64, 1) * far));
  EXPECT_LE(g.node_count(), before + 3); // the seed and both sides of the product rule
}

TEST(Autodiff, Errors) {
  Graph g;
  Value x = g.input("x", {DType::f64, {3}}), n = g.input("n", {DType::i32, {}});
  EXPECT_NE(error_of([&] { gradients(x * x, {x}); }).find("must have one element"), std::string::npos);
  EXPECT_NE(error_of([&] { gradients(n * n, {n}); }).find("must be floating-point"), std::string::npos);
  EXPECT_NE(error_of([&] { gradients(sum(x), {n}); }).find("integers and bools"), std::string::npos);
  Value steps = sum(cast(lt(x, 0), DType::f64));
  EXPECT_FALSE(gradients(steps, {x})[0]);
  EXPECT_NE(error_of([&] { check_differentiable(steps, x); }).find("only through 'lt'"), std::string::npos);
  EXPECT_EQ(error_of([&] { check_differentiable(steps + sum(x), x); }), "no error");
  EXPECT_EQ(error_of([&] { check_differentiable(sum(x), g.input("z", kF64)); }), "no error");
}

TEST(Autodiff, JvpHoldsNoSeed) {
  Graph g;
  Value x = g.input("x", {DType::f64, {3}}), t = g.input("t", {DType::f64, {3}});
  Value along = jvp(exp(x) * x / 3.0, {x}, {t});
  g.outputs.push_back({"along", along});
  EXPECT_EQ(along.type(), x.type());
  for (const Node *n : g.reachable()) EXPECT_TRUE(n->op != Op::input || n == x.node || n == t.node);
}

// f(x) = sum(exp(a x) / (1 + x^2)) for fixed a: derivatives along t by central differences.
TEST(Autodiff, DirectionalAndSecondDerivatives) {
  Graph g;
  Type type{DType::f64, {3}};
  Value x = g.input("x", type), t = g.input("t", type);
  Value y = exp(x * 0.7) / (x * x + 1.0), f = sum(y * y);
  g.outputs = {{"y", y}, {"gradient", gradients(f, {x})[0]}, {"jvp", jvp(y, {x}, {t})}, {"hvp", hvp(f, {x}, {t})[0]}};
  std::vector<double> at{0.3, -1.2, 2.1}, along{1.5, -0.25, 0.5};
  auto run = [&](double step) {
    std::vector<double> moved;
    for (size_t i = 0; i < 3; ++i) moved.push_back(at[i] + step * along[i]);
    return evaluate(
        g, {{"x", Tensor::of<double>(DType::f64, {3}, moved)}, {"t", Tensor::of<double>(DType::f64, {3}, along)}});
  };
  const double h = 1e-5;
  std::vector<Tensor> here = run(0), up = run(h), down = run(-h);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(here[2].get(i), (up[0].get(i) - down[0].get(i)) / (2 * h), 1e-8);
    EXPECT_NEAR(here[3].get(i), (up[1].get(i) - down[1].get(i)) / (2 * h), 1e-8);
  }
}

TEST(Autodiff, GradPassNamesItsOutputs) {
  auto g = std::make_unique<Graph>();
  Value x = g->input("x", {DType::f32, {4}}), w = g->input("w", {DType::f32, {4}}, "param");
  g->input("v", {DType::f32, {}}, "param"); // unused: its gradient is an exact zero
  g->outputs.push_back({"loss", sum(x * w)});
  run_passes(g, split_passes("grad, dce"));
  ASSERT_EQ(g->outputs.size(), 3u);
  EXPECT_EQ(g->outputs[1].name, "grad.w");
  EXPECT_EQ(g->outputs[2].name, "grad.v");
  EXPECT_EQ(g->outputs[1].value.type(), (Type{DType::f32, {4}}));
  EXPECT_EQ(g->outputs[2].value.type(), (Type{DType::f32, {}}));
  EXPECT_NE(error_of([&] { run_passes(g, {"grad(loss)"}); }).find("'grad.w' already"), std::string::npos);
}

TEST(Autodiff, UnknownPassesAreNamed) {
  auto g = std::make_unique<Graph>();
  EXPECT_NE(error_of([&] { run_passes(g, {"simplfy"}); }).find("there is no pass 'simplfy'; the passes are: grad, "),
            std::string::npos);
  EXPECT_NE(error_of([&] { run_passes(g, {"dce(x)"}); }).find("takes no arguments"), std::string::npos);
  EXPECT_NE(error_of([&] { run_passes(g, {"grad(x"}); }).find("is not a pass"), std::string::npos);
}
} // namespace

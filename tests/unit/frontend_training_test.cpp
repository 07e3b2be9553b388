#include "compiler/frontend/layers.h"
#include "compiler/frontend/losses.h"
#include "compiler/frontend/training.h"
#include "frontend_session.h"
#include "ir/bind.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "ir/verify.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;
using trellis::testing::TestSession;

static Tensor tensor(std::vector<int64_t> dims, std::vector<double> values, DType t = DType::f64) {
  return Tensor::of<double>(t, std::move(dims), values);
}
static TrainingOptions sgd(std::string loss, double lr = 0.1) {
  TrainingOptions o;
  o.loss = std::move(loss), o.optimiser.lr = lr, o.gradients = o.logits = true;
  return o;
}
static std::string error_of(const Graph &g, const TrainingOptions &o) {
  try {
    make_training_graph(g, o);
  } catch (const CompileError &e) { return e.what(); }
  return "";
}
static bool mentions(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }
static std::string outputs_of(const Graph &g) {
  std::string out;
  for (const NamedValue &o : g.outputs) out += o.name + " " + o.value.type().str() + ";";
  return out;
}

TEST(Training, LinearRegressionStepByHand) {
  auto model = parse(R"(trellis 1
graph @line(%x: f64[3, 2]) {
  param %w : f64[2, 1] init(zero)
  %y = dot %x, %w
  return %y
})");
  auto g = make_training_graph(*model, sgd("mse"));
  verify(*g);
  EXPECT_EQ(outputs_of(*g), "loss f64[];logits f64[3, 1];grad.w f64[2, 1];");
  TestSession s;
  s.initialise(*g);
  auto out = s.run(*g, {{"x", tensor({3, 2}, {1, 2, 3, 4, 5, 6})}, {"target", tensor({3, 1}, {1, 0, 2})}});
  // w = 0: loss = (1 + 0 + 4) / 3, gradient = 2 / 3 X^T (0 - t) = -2 / 3 (1 + 10, 2 + 12).
  EXPECT_NEAR(out["loss"].get(0), 5.0 / 3, 1e-15);
  EXPECT_NEAR(out["grad.w"].get(0), -22.0 / 3, 1e-14);
  EXPECT_NEAR(out["grad.w"].get(1), -28.0 / 3, 1e-14);
  EXPECT_NEAR(s.state["w"].get(1), 2.8 / 3, 1e-15);
}

TEST(Losses, Values) {
  Graph g;
  Value z = g.input("z", {DType::f64, {2, 3}}), label = g.input("label", {DType::i64, {2}});
  Value p = g.input("p", {DType::f64, {2}}), t = g.input("t", {DType::f64, {2}});
  g.outputs = {{"ce", cross_entropy_loss(z, label)},
               {"bce", bce_loss(p, t)},
               {"logits", bce_with_logits_loss(p, t)},
               {"mse", mse_loss(p, t)},
               {"correct", count_correct(z, label)}};
  Tensor labels(DType::i64, {2});
  labels.set_int(0, 2), labels.set_int(1, 0);
  auto out =
      evaluate(g, std::vector{tensor({2, 3}, {1, 2, 3, 5, 5, 1}), labels, tensor({2}, {0.25, 0}), tensor({2}, {1, 0})});
  double e = std::exp(1.0), first = std::log(1 + 1 / e + 1 / (e * e)), second = std::log(2 + std::exp(-4.0));
  EXPECT_NEAR(out[0].get(0), (first + second) / 2, 1e-15);
  EXPECT_NEAR(out[1].get(0), -std::log(0.25) / 2, 1e-15);
  EXPECT_NEAR(out[2].get(0), (std::log1p(std::exp(0.25)) - 0.25 + std::log(2.0)) / 2, 1e-15);
  EXPECT_NEAR(out[3].get(0), 0.75 * 0.75 / 2, 1e-15);
  EXPECT_EQ(out[4].get_int(0), 2); // the first of equal logits counts
}

TEST(Losses, BceKeepsLogarithmsAboveMinus100) {
  Graph g;
  Value p = g.input("p", {DType::f64, {1}}), t = g.input("t", {DType::f64, {1}});
  g.outputs = {{"bce", bce_loss(p, t)}};
  EXPECT_EQ(evaluate(g, std::vector{tensor({1}, {0}), tensor({1}, {1})})[0].get(0), 100);
  EXPECT_EQ(evaluate(g, std::vector{tensor({1}, {1}), tensor({1}, {1})})[0].get(0), 0);
}

TEST(Training, BatchNormUsesTheBatchAndMovesTheRunningStatistics) {
  using namespace nn;
  auto model = build_graph(nn::BatchNorm({.momentum = 0.25}), {DType::f64, {3, 2}});
  TrainingOptions o = sgd("mse", 0);
  auto train = make_training_graph(*model, o);
  auto eval = make_evaluation_graph(*model, o);
  verify(*train);
  TestSession s;
  s.initialise(*train);
  std::map<std::string, Tensor> data{{"x", tensor({3, 2}, {1, 10, 2, 10, 6, 10})},
                                     {"target", tensor({3, 2}, {0, 0, 0, 0, 0, 0})}};
  auto out = s.run(*train, data);
  // Column 0: mean 3, population variance 14 / 3, with n - 1: 7. Column 1 is constant.
  double r = 1 / std::sqrt(14.0 / 3 + 1e-5);
  EXPECT_NEAR(out["logits"].get(0), -2 * r, 1e-14);
  EXPECT_NEAR(out["logits"].get(4), 3 * r, 1e-14);
  EXPECT_NEAR(out["logits"].get(1), 0, 1e-14);
  EXPECT_NEAR(s.state["batchnorm.running_mean"].get(0), 0.25 * 3, 1e-15);
  EXPECT_NEAR(s.state["batchnorm.running_mean"].get(1), 0.25 * 10, 1e-15);
  EXPECT_NEAR(s.state["batchnorm.running_var"].get(0), 1 + 0.25 * (7 - 1), 1e-14);
  EXPECT_NEAR(s.state["batchnorm.running_var"].get(1), 0.75, 1e-15);
  EXPECT_TRUE(eval->updates.empty());
  EXPECT_NEAR(s.run(*eval, data)["logits"].get(4), (6 - 0.75) / std::sqrt(2.5 + 1e-5), 1e-14);
}

TEST(Training, BatchNormLayerUsedTwiceUpdatesTwice) {
  nn::BatchNorm norm;
  auto model = nn::build_graph(norm >> norm, {DType::f64, {2, 1}});
  auto train = make_training_graph(*model, sgd("mse", 0));
  verify(*train);
  TestSession s;
  s.initialise(*train);
  s.run(*train, {{"x", tensor({2, 1}, {1, 3})}, {"target", tensor({2, 1}, {0, 0})}});
  // Means: 2, then 0. Variances with n - 1: 2, then 2 / (1 + eps).
  EXPECT_NEAR(s.state["0.running_mean"].get(0), 0.1 * 2 * 0.9, 1e-15);
  EXPECT_NEAR(s.state["0.running_var"].get(0), (0.9 + 0.2) * 0.9 + 0.2, 1e-5);
}

TEST(Training, DropoutDropsInTrainingAlone) {
  auto model = nn::build_graph(nn::Dropout(0.25) >> nn::Dropout(0.25) >> nn::Dense(1, {.bias = false, .init = "one"}),
                               {DType::f64, {100, 100}});
  auto train = make_training_graph(*model, sgd("mse", 0));
  auto predict = make_inference_graph(*model);
  verify(*train);
  EXPECT_FALSE(predict->find_input("dropout.seed"));
  TestSession s;
  s.initialise(*train, 5);
  uint64_t seed = uint64_t(s.state["dropout.seed"].get_int(0));
  std::map<std::string, Tensor> data{{"x", tensor({100, 100}, std::vector<double>(10000, 1))},
                                     {"target", tensor({100, 1}, std::vector<double>(100, 0))}};
  auto total = [](const Tensor &t) {
    double sum = 0;
    for (int64_t i = 0; i < t.size(); ++i) sum += t.get(i);
    return sum;
  };
  EXPECT_EQ(total(s.run(*predict, data)["y"]), 10000);
  Tensor first = s.run(*train, data)["logits"], second = s.run(*train, data)["logits"];
  // Each element is 16 / 9 with probability 9 / 16, if the two layers draw apart: deviation sqrt(7) / 3 an
  // element.
  EXPECT_NEAR(total(first), 10000, 5 * std::sqrt(7.0) / 3 * 100);
  EXPECT_FALSE(first == second);
  EXPECT_EQ(uint64_t(s.state["dropout.seed"].get_int(0)), seed + 2);
}

TEST(Training, FindsTheLogitsBehindALoss) {
  auto model = parse(R"(trellis 1
graph @net(%x: f32[2, 3], %label: i64[2]) {
  param %w : f32[3, 4] init(zero)
  %z = dot %x, %w
  %loss = cross_entropy %z, %label
  return %loss
})");
  TrainingOptions o;
  o.logits = true;
  auto train = make_training_graph(*model, o);
  verify(*train);
  EXPECT_EQ(outputs_of(*train), "loss f32[];correct i64[];logits f32[2, 4];");
  auto eval = make_evaluation_graph(*model, {});
  verify(*eval);
  EXPECT_EQ(outputs_of(*eval), "logits f32[2, 4];loss f32[];correct i64[];");
  auto predict = make_inference_graph(*model);
  verify(*predict);
  EXPECT_EQ(outputs_of(*predict), "logits f32[2, 4];");
  EXPECT_FALSE(predict->find_input("label"));
  EXPECT_TRUE(predict->find_input("w"));
}

TEST(Training, ProgramsOfSeveralBatchesShareTheirState) {
  auto model = nn::build_graph(nn::Dense(2), {DType::f32, {Dim::symbol("N"), 3}});
  TrainingOptions o = sgd("mse");
  o.optimiser = parse_optimiser("adam:clip=1");
  auto full = make_training_graph(*bind_dims(*model, {{"N", 4}}), o),
       rest = make_training_graph(*bind_dims(*model, {{"N", 1}}), o);
  std::vector<NamedTensor> state = initial_state(*full, 3);
  EXPECT_EQ(match_state(*rest, state, "checkpoint").size(), state.size());
  std::vector<std::string> names;
  for (const NamedTensor &t : state) names.push_back(t.name);
  EXPECT_EQ(names, (std::vector<std::string>{"dense.weight", "dense.bias", "adam.c1", "adam.c2", "adam.m.dense.weight",
                                             "adam.v.dense.weight", "adam.m.dense.bias", "adam.v.dense.bias"}));
}

TEST(Training, CheckpointsOfOtherModelsAreRefused) {
  auto model = nn::build_graph(nn::Dense(2), {DType::f32, {1, 3}}),
       other = nn::build_graph(nn::Dense(2), {DType::f32, {1, 4}});
  auto state = initial_state(*model, 0);
  auto error = [&](const Graph &g, std::vector<NamedTensor> s) {
    try {
      match_state(g, s, "net.safetensors");
    } catch (const CompileError &e) { return std::string(e.what()); }
    return std::string();
  };
  EXPECT_TRUE(mentions(error(*other, state), "net.safetensors: error: holds another model than 'model': "
                                             "'dense.weight' is f32[3, 2], but must be f32[4, 2]"));
  EXPECT_TRUE(mentions(error(*model, {state[0]}), "'dense.bias' (f32[2]) is missing"));
  state.push_back({"extra", Tensor(DType::f32, {1})});
  EXPECT_TRUE(mentions(error(*model, state), "'extra', which the model has not"));
}

TEST(Training, Errors) {
  auto dense = nn::build_graph(nn::Dense(2), {DType::f32, {4, 3}});
  EXPECT_TRUE(
      mentions(error_of(*dense, sgd("")), "no scalar output to train on (outputs: 'y' (f32[4, 2])): name a loss"));
  EXPECT_TRUE(mentions(error_of(*dense, sgd("hinge")), "loss 'hinge' is unknown: give 'cross_entropy'"));
  TrainingOptions o = sgd("mse");
  o.output = "z";
  EXPECT_TRUE(mentions(error_of(*dense, o), "no output 'z': its outputs are 'y'"));
  auto open = nn::build_graph(nn::Dense(2), {DType::f32, {Dim::symbol("N"), 3}});
  EXPECT_TRUE(mentions(error_of(*open, sgd("mse")), "'x' has the type f32[N, 3]: bind every dim first"));
  auto relu = nn::build_graph(nn::ReLU(), {DType::f32, {4, 3}});
  EXPECT_TRUE(mentions(error_of(*relu, sgd("mse")), "no parameters to train"));
  auto taken = parse("trellis 1\ngraph @t(%x: f32[2, 3], %target: f32[1]) {\n  param %w : f32[3, 1] "
                     "init(zero)\n  %y = dot %x, %w\n  return %y\n}\n",
                     "t.trl");
  EXPECT_TRUE(mentions(error_of(*taken, sgd("mse")), "t.trl:2"));
  EXPECT_TRUE(mentions(error_of(*taken, sgd("mse")), "the name 'target' is needed"));
  auto stuck = parse("trellis 1\ngraph @t(%x: f32[]) {\n  param %w : f32[] init(zero)\n  %y = floor %w\n  %z "
                     "= add %x, %y\n  return %z\n}\n",
                     "t.trl");
  EXPECT_TRUE(mentions(error_of(*stuck, sgd("")), "t.trl:4:"));
  EXPECT_TRUE(mentions(error_of(*stuck, sgd("")), "no derivative"));
  auto two = parse("trellis 1\ngraph @t(%x: f32[]) {\n  param %w : f32[] init(zero)\n  %y = mul %x, %w\n  "
                   "return %y, %w\n}\n");
  EXPECT_TRUE(mentions(error_of(*two, sgd("")), "several scalar outputs"));
}

TEST(Examples, TrainGraphsOfTheTexts) {
  for (const char *name : {"perceptron", "mlp", "lenet"}) {
    auto model = parse_file(std::string(TRELLIS_SOURCE_DIR "/examples/") + name + ".trl");
    auto bound = bind_dims(*model, {{"N", 2}});
    TrainingOptions o;
    o.optimiser = parse_optimiser("adam");
    auto train = make_training_graph(*bound, o);
    verify(*train);
    EXPECT_EQ(outputs_of(*train), "loss f32[];correct i64[];") << name;
    EXPECT_EQ(train->updates.size(), 2 + 3 * inputs_of_role(*train, "param").size()) << name;
    for (const NamedTensor &t : initial_state(*train, 0)) EXPECT_TRUE(t.tensor) << t.name;
    EXPECT_EQ(print(*parse(print(*train))), print(*train)) << name;
  }
}

// Training steps of every layer, loss and optimiser: compiled code against the interpreter.
#include "compiler/frontend/layers.h"
#include "compiler/frontend/philox.h"
#include "compiler/frontend/training.h"
#include "frontend_compiled.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;
using trellis::testing::CompiledExecutor;
using trellis::testing::TestSession;

static Tensor random_data(const Type &type, const std::string &name, int64_t below) {
  Tensor t(type.dtype, dims_of(type.shape));
  RandomStream random(11, name);
  for (int64_t i = 0; i < t.size(); ++i) {
    if (is_float(type.dtype))
      t.set(i, below ? double(random.bits(uint64_t(i)) % 2) : random.normal(uint64_t(i)));
    else
      t.set_int(i, int64_t(random.bits(uint64_t(i)) % uint64_t(below)));
  }
  return t;
}

static void expect_close(const Tensor &got, const Tensor &want, double tolerance, const std::string &what) {
  ASSERT_EQ(got.type().str(), want.type().str()) << what;
  double largest = 0, error = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::fabs(want.get(i)));
    double e = std::fabs(got.get(i) - want.get(i));
    error = e <= error ? error : e; // keeps NaN
  }
  EXPECT_LE(error, tolerance * std::max(largest, 1.0)) << what;
}

struct Case {
  const char *name;
  nn::Layer model;
  Type input;
  const char *loss, *optimiser;
};

// Three steps with gradients, then an evaluation; outputs and state agree.
static void expect_equal(const Case &c) {
  SCOPED_TRACE(c.name);
  auto model = nn::build_graph(c.model, c.input);
  TrainingOptions o;
  o.loss = c.loss, o.optimiser = parse_optimiser(c.optimiser), o.gradients = o.logits = true;
  auto step = make_training_graph(*model, o), check = make_evaluation_graph(*model, o);
  bool classes = o.loss == "cross_entropy";
  Value target = step->find_input(classes ? "label" : "target");
  int64_t labels = classes ? model->outputs[0].value.shape().back().value() : o.loss == "mse" ? 0 : 2;
  std::map<std::string, Tensor> data{
      {"x", random_data(c.input, "x", is_float(c.input.dtype) ? 0 : 7)},
      {std::string(name_of_input(target)), random_data(target.type(), "target", labels)}};
  TestSession want, got;
  got.execute = CompiledExecutor();
  for (TestSession *s : {&want, &got}) s->initialise(*step, 3);
  double tolerance = c.input.dtype == DType::f64 ? 1e-11 : 1e-4;
  for (int i = 0; i < 4; ++i) {
    const Graph &g = i < 3 ? *step : *check;
    auto a = want.run(g, data), b = got.run(g, data);
    for (const auto &[name, tensor] : a)
      expect_close(b.at(name), tensor, tolerance, name + " at step " + std::to_string(i));
    for (const auto &[name, tensor] : want.state)
      expect_close(got.state.at(name), tensor, tolerance, name + " after step " + std::to_string(i));
  }
}

// No bias stands before a batch norm: its gradient is rounding noise, which adaptive optimisers blow up.
TEST(Compiled, EveryLayerTrainsAsInterpreted) {
  using namespace nn;
  Type images{DType::f32, {3, 2, 9, 10}}, rows{DType::f32, {5, 7}}, words{DType::i64, {3, 4}}, wide{DType::f64, {6, 7}};
  Case cases[] = {
      {"conv", Conv2d(4, 3, {.stride = 2, .pad = nn::same}) >> Flatten() >> Dense(3), images, "cross_entropy",
       "sgd:momentum=0.9,nesterov=true"},
      {"grouped", Conv2d(4, 3, {.dilation = {2, 1}, .groups = 2}) >> ReLU() >> Flatten() >> Dense(3), images,
       "cross_entropy", "adam"},
      {"pools", Conv2d(4, 3) >> MaxPool(2) >> AvgPool(2, {.stride = 1, .pad = 1}) >> GlobalAvgPool() >> Dense(3),
       images, "cross_entropy", "adamw"},
      {"uneven pools",
       MaxPool(3, {.stride = 2, .pad = 1}) >> Conv2d(3, 1) >>
           AvgPool(3, {.stride = 2, .pad = 1, .count_padding = false}) >> GlobalMaxPool(),
       images, "mse", "sgd"},
      {"batch norm",
       Conv2d(3, 3, {.bias = false}) >> nn::BatchNorm() >> ReLU() >> Flatten() >> Dense(4, {.bias = false}) >>
           nn::BatchNorm(),
       images, "mse", "rmsprop:momentum=0.9,centered=true"},
      {"layer norm", LayerNorm() >> Dense(8) >> GELU() >> Dense(5), rows, "cross_entropy",
       "adam:clip=0.1,weight_decay=0.1"},
      {"dropout", Dense(64) >> Dropout(0.3) >> Dense(4) >> Dropout(0.1), rows, "mse", "sgd:lr=0.1"},
      {"embedding", Embedding(7, 5) >> residual(Dense(5) >> Tanh()) >> Dense(3), words, "cross_entropy",
       "adam:schedule=cosine,steps=10,warmup=2"},
      {"activations",
       Dense(6) >> LeakyReLU() >> Dense(6) >> ELU() >> Dense(6) >> Softplus() >> Dense(6) >> SiLU() >> Dense(6) >>
           Softmax(),
       rows, "mse", "adam"},
      {"branches", (Dense(4) >> Sigmoid()) + (Dense(4) >> Tanh()), rows, "bce_with_logits",
       "sgd:schedule=step,every=2"},
      {"concatenate", concatenate({Dense(4), Dense(3) >> GELU(), ReLU()}) >> Dense(2) >> Sigmoid(), rows, "bce",
       "adam"},
      {"shared", clone(Dense(7) >> SiLU(), 2) >> Dense(3), wide, "cross_entropy", "adam:lr=0.01"},
      {"double", LayerNorm() >> Dense(9) >> GELU() >> nn::BatchNorm() >> Dropout(0.2) >> Dense(4) >> Softmax(), wide,
       "mse", "adamw:clip=1"},
  };
  for (const Case &c : cases) expect_equal(c);
}

// LeNet on the built-in digits: layers chain into a model, the model becomes one training program, the
// program is compiled and run. Usage: lenet [training samples] [epochs]
#include "compiler/compile.h"
#include "compiler/data/digits.h"
#include "compiler/frontend/layers.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/trainer.h"
#include "compiler/frontend/training.h"
#include "ir/bind.h"
#include "ir/diag.h"
#include <cstdio>
#include <cstdlib>

using namespace trellis::nn;
using trellis::NamedTensor;

// One call of a compiled step or evaluation.
static trellis::StepResult call(trellis::Session &session, const Tensor &x, const Tensor &label) {
  trellis::StepResult result;
  NamedTensor inputs[] = {{"x", x}, {"label", label}};
  for (const NamedTensor &out : session.run(inputs)) {
    if (out.name == "loss") result.loss = out.tensor.get(0);
    if (out.name == "correct") result.correct = out.tensor.get_int(0);
  }
  return result;
}

static void train(int64_t samples, int epochs) {
  constexpr int64_t kBatch = 64;
  auto model = Conv2d(6, 5, {.pad = same}).named("conv1") >> ReLU() >> MaxPool(2) >> Conv2d(16, 5).named("conv2") >>
               ReLU() >> MaxPool(2) >> Flatten() >> Dense(120).named("fc1") >> ReLU() >> Dense(84).named("fc2") >>
               ReLU() >> Dense(10).named("fc3");
  auto graph = build_graph(model, {DType::f32, {Dim::symbol("N"), 1, 28, 28}}, "lenet");
  auto bound = trellis::bind_dims(*graph, {{"N", kBatch}});

  trellis::TrainingOptions options;
  options.loss = "cross_entropy";
  options.optimiser = trellis::parse_optimiser("adam:lr=0.001");
  auto step_graph = trellis::make_training_graph(*bound, options);
  trellis::Session step(trellis::compile(*step_graph)),
      check(trellis::compile(*trellis::make_evaluation_graph(*bound, options)));
  for (const NamedTensor &t : trellis::initial_state(*step_graph, 1)) step.set_state(t.name, t.tensor);

  auto run_in = [](trellis::Session &session) {
    return [&session](int64_t) -> trellis::Step {
      return [&session](const Tensor &x, const Tensor &label) { return call(session, x, label); };
    };
  };
  trellis::Dataset digits = trellis::make_digits(samples, 1), held_out = trellis::make_digits(10 * kBatch, 2);
  trellis::Trainer trainer({.batch = kBatch, .epochs = epochs, .drop_last = true}, run_in(step), run_in(check));
  trainer.on_epoch = [&](const trellis::EpochReport &report) {
    for (Value p : trellis::inputs_of_role(*graph, "param")) {
      std::string name(trellis::name_of_input(p));
      check.set_state(name, step.state(name));
    }
    trellis::Score test = trainer.evaluate(held_out);
    std::printf("epoch %d  loss %.4f  accuracy %.2f %%  test accuracy %.2f %%\n", report.epoch + 1, report.train.loss,
                100 * report.train.accuracy, 100 * test.accuracy);
    return true;
  };
  trainer.run(digits);
}

int main(int argc, char **argv) {
  try {
    train(argc > 1 ? std::atoll(argv[1]) : 6400, argc > 2 ? std::atoi(argv[2]) : 2);
  } catch (const trellis::CompileError &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

#include "compiler/tools/program_args.h"
#include "compiler/frontend/state.h"
#include <fmt/format.h>

namespace trellis {

void ProgramArgs::declare(CLI::App &app) {
  app.add_flag("--train", train_, "one step of training: forward, gradient and update");
  app.add_option("--loss", loss_,
                 "with --train: cross_entropy, mse, bce or bce_with_logits of the first output; default: the "
                 "model's own scalar output")
      ->type_name("NAME");
  app.add_option("--optimizer", optimiser_, "with --train: e.g. adam:lr=0.001 or sgd:lr=0.01,momentum=0.9")
      ->type_name("SPEC")
      ->capture_default_str();
}

void ProgramArgs::declare_inference(CLI::App &app) {
  app.add_flag("--inference", inference_,
               "what the model's loss is made of, without the loss and its target");
}

void ProgramArgs::apply(std::unique_ptr<Graph> &g) const {
  if (train_ && inference_) throw CompileError("--train and --inference exclude each other");
  if (inference_) g = make_inference_graph(*g);
  if (!train_) {
    if (!loss_.empty()) throw CompileError("--loss needs --train");
    return;
  }
  TrainingOptions o;
  o.loss = loss_, o.optimiser = parse_optimiser(optimiser_);
  g = make_training_graph(*g, o);
}

DataInputs data_inputs(const Graph &g) {
  Values data = inputs_of_role(g, "data");
  std::string names;
  for (Value v : data)
    names += fmt::format("{}'{}' ({})", names.empty() ? "" : ", ", name_of_input(v), v.type().str());
  auto is_target = [](Value v) { return name_of_input(v) == "label" || name_of_input(v) == "target"; };
  if (data.size() == 1) return {data[0], {}};
  if (data.size() == 2)
    return is_target(data[0]) && !is_target(data[1]) ? DataInputs{data[1], data[0]}
                                                     : DataInputs{data[0], data[1]};
  throw CompileError(g.location,
                     fmt::format("@{} has the inputs {}: expected one of samples and one of targets", g.name,
                                 names.empty() ? "none" : names));
}

} // namespace trellis

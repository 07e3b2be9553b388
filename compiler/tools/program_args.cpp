#include "compiler/tools/program_args.h"

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
  app.add_flag("--inference", inference_, "what the model's loss is made of, without the loss and its target");
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

} // namespace trellis

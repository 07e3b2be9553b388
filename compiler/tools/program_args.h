// Which program of a model a verb compiles: the graph as it stands, the one that predicts, or the one that
// trains.
#pragma once
#include "compiler/frontend/training.h"
#include "compiler/tools/model.h"

namespace trellis {

/// --train, --loss, --optimizer and, for `compile`, --inference.
class ProgramArgs {
public:
  void declare(CLI::App &app);
  void declare_inference(CLI::App &app);
  bool train() const { return train_; }
  /// How the model has to be read for it.
  Reading reading() const { return train_ || inference_ ? Reading::trainable : Reading::exact; }
  /// Leaves `g`, whose dims are bound, as the program that was asked for.
  void apply(std::unique_ptr<Graph> &g) const;

private:
  bool train_ = false, inference_ = false;
  std::string loss_, optimiser_ = "sgd:lr=0.01";
};

} // namespace trellis

// From a model to the programs that train and judge it. Every function makes a new graph of `model`, whose
// dims are bound; names of inputs stay, so that the programs for several batch sizes share one set of
// parameters and state.
//
// A model is written once, as for inference: batch_norm uses running statistics, dropout does nothing. A
// training program takes the training forms: batch_norm uses the statistics of the batch and updates the
// running ones, dropout drops. Parameters are the inputs of role `param`.
#pragma once
#include "compiler/frontend/optimiser.h"
#include "ir/graph.h"
#include <memory>
#include <string>

namespace trellis {

struct LossOptions {
  /// A name of losses.h, applied to the output: "cross_entropy" adds the data input "label", others "target".
  /// Empty: the model has one floating-point scalar output, which is the loss.
  std::string loss;
  /// The output that the loss is made of, where the model has several; empty: the first.
  std::string output;
};

struct TrainingOptions : LossOptions {
  OptimiserOptions optimiser;
  bool logits = false;    ///< also return the output that the loss was made of
  bool gradients = false; ///< also return "grad.PARAM"
};

/// One step: forward, gradient, update. Outputs "loss", with cross-entropy "correct" (positions whose label
/// has the largest logit, i64), then what the options ask for. Throws a located CompileError where the loss
/// is no scalar or does not depend on a parameter by derivatives.
std::unique_ptr<Graph> make_training_graph(const Graph &model, const TrainingOptions &options);

/// Outputs "logits" (the output that the loss is made of, if it is found), "loss" and "correct"; changes no
/// state.
std::unique_ptr<Graph> make_evaluation_graph(const Graph &model, const LossOptions &options);

/// The model for prediction: where its only output is a loss, what the loss is made of, without the target
/// input: "logits" of a cross-entropy, the "prediction" of mse and bce_with_logits. Else as it is. Updates and
/// what only they need are left out.
std::unique_ptr<Graph> make_inference_graph(const Graph &model);

} // namespace trellis

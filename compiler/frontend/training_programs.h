// The compiled programs of a training run: a step and an evaluation for each batch size that is met.
#pragma once
#include "compiler/frontend/programs.h"
#include "compiler/frontend/trainer.h"

namespace trellis {

/// Of a model or a training graph: the data input that samples go to, and the one of targets (null: there is
/// none). The target is called "label" or "target", or is the second of two. Throws where this does not say.
struct DataInputs {
  Value sample, target;
};
DataInputs data_inputs(const Graph &g);

class TrainingPrograms {
public:
  struct Options {
    TrainingOptions training;
    CompileOptions compile;
    Bindings dims; ///< but the batch's
    int threads = 1;
  };

  /// Throws where `model` has not one input of samples and at most one of targets.
  /// `model` must outlive this.
  TrainingPrograms(const Model &model, Options options);

  /// 0: the model says `N`; else the only batch size that it has.
  int64_t fixed_batch() const { return fixed_; }
  /// The step's graph, for types and names.
  std::unique_ptr<Graph> training_graph(int64_t batch) const;
  std::unique_ptr<Graph> evaluation_graph(int64_t batch) const;

  /// One compiled step; `model` and this object must outlive it.
  Step training_step(int64_t batch) { return step(ProgramForm::training, batch); }
  Step evaluation_step(int64_t batch) { return step(ProgramForm::evaluation, batch); }

  /// All values that a step keeps: before the first one these are the programs' beginning.
  void set_state(std::vector<NamedTensor> values) { programs_.set_state(std::move(values)); }
  std::vector<NamedTensor> state() { return programs_.state(); }

private:
  Bindings dims(int64_t batch) const;
  Step step(ProgramForm form, int64_t batch);

  Bindings dims_;
  Programs programs_;
  std::string sample_; // the input's name
  std::string symbol_;
  int64_t fixed_ = 0;
};

} // namespace trellis

// The compiled programs of a training run: a step and an evaluation for each batch size that is met, all on
// one set of parameters and state.
#pragma once
#include "compiler/compile.h"
#include "compiler/frontend/trainer.h"
#include "compiler/frontend/training.h"
#include "compiler/tools/program_args.h"
#include <map>

namespace trellis {

class TrainingPrograms {
public:
  struct Options {
    TrainingOptions training;
    CompileOptions compile;
    Bindings dims; ///< but the batch's
    int threads = 1;
  };

  /// Throws where `model` has not one input of samples and at most one of targets.
  TrainingPrograms(const Graph &model, Options options);

  /// 0: the model says `N`; else the only batch size that it has.
  int64_t fixed_batch() const { return fixed_; }
  /// The step's graph, for types and names.
  std::unique_ptr<Graph> training_graph(int64_t batch) const;
  std::unique_ptr<Graph> evaluation_graph(int64_t batch) const;

  /// One compiled step; `model` and this object must outlive it.
  Step training_step(int64_t batch);
  Step evaluation_step(int64_t batch);

  /// All values that a step keeps: before the first one these are the programs' beginning.
  void set_state(std::vector<NamedTensor> values);
  std::vector<NamedTensor> state();

private:
  /// A session and the buffers of its outputs. Programs choose layouts of their own, so state moves between
  /// sessions as dense tensors, and only when another one needs it.
  struct Program {
    std::unique_ptr<Session> session;
    std::vector<Tensor> inputs, outputs;
    int sample = 0, target = -1, loss = -1, correct = -1;
    uint64_t version = 0; ///< of the state that it holds
  };
  Program make(const Graph &g) const;
  std::unique_ptr<Graph> bound(int64_t batch) const;
  void refresh(Program &p);
  void gather();
  static StepResult run(Program &p, const Tensor &inputs, const Tensor &targets);

  const Graph &model_;
  Options options_;
  std::string symbol_;
  int64_t fixed_ = 0;
  std::map<int64_t, Program> training_, evaluation_;
  std::vector<NamedTensor> values_; ///< state as dense tensors, as of `gathered_`
  uint64_t version_ = 1, gathered_ = 1;
  Program *newest_ = nullptr; ///< holds `version_`; null: values_ does
};

} // namespace trellis

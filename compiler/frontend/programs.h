// The compiled programs of one model: one for each form and binding of its dims that is asked for, made when
// it is first met, all on one set of parameters and state.
//
// Programs choose layouts of their own, so state moves between sessions as dense tensors, and only when
// another session needs it.
#pragma once
#include "compiler/compile.h"
#include "compiler/frontend/model_file.h"
#include "compiler/frontend/training.h"
#include "ir/bind.h"
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace trellis {

/// model: the graph as it stands; evaluation: the loss, nothing changes.
enum class ProgramForm : uint8_t { model, inference, training, evaluation };

class Programs {
public:
  struct Options {
    TrainingOptions training; ///< its loss serves evaluation, too
    CompileOptions compile;
    int threads = 1;   ///< that run
    uint64_t seed = 0; ///< of values that nobody set
  };

  /// A session, and whose state it holds.
  struct Program {
    std::unique_ptr<Session> session;
    bool updates = false; ///< a run changes state
    uint64_t version = 0; ///< of the state that it holds
  };

  Programs(Binder model, Options options) : model_(std::move(model)), options_(std::move(options)) {}

  const Options &options() const { return options_; }
  /// Drops all programs; values stay.
  void set_options(Options options);

  /// What is compiled for that form.
  std::unique_ptr<Graph> graph(ProgramForm form, const Bindings &dims) const;
  /// Compiles it, or finds it. What its parameters and state lack in values begins as their `init` says.
  Program &get(ProgramForm form, const Bindings &dims);

  /// Makes the session hold the newest state: before each run.
  void refresh(Program &p);
  /// After each run that succeeded.
  void ran(Program &p);

  /// All values, as dense tensors; those of another optimiser, too, if it was changed.
  const std::vector<NamedTensor> &state();
  /// Replaces all.
  void set_state(std::vector<NamedTensor> values);
  /// Replaces or adds these.
  void merge_state(std::vector<NamedTensor> values);

private:
  void gather();

  Binder model_;
  Options options_;
  std::map<std::pair<ProgramForm, Bindings>, Program> programs_;
  std::vector<NamedTensor> values_; ///< as of `gathered_`
  uint64_t version_ = 1, gathered_ = 1;
  Program *newest_ = nullptr; ///< holds `version_`; null: values_ does
};

} // namespace trellis

// --carry, and running a model over a sequence of inputs.
#pragma once
#include "compiler/frontend/carry.h"
#include <CLI/CLI.hpp>
#include <functional>

namespace trellis {

class StreamArgs {
public:
  void declare(CLI::App &app);
  bool any() const { return !carries_.empty(); }
  std::vector<Carry> carries() const;
  /// Makes the inputs that --carry names state.
  void apply(std::unique_ptr<Graph> &g) const;

private:
  std::vector<std::string> carries_;
};

/// Inputs of a run: some with a leading axis of steps.
struct Sequence {
  std::map<std::string, Tensor> fixed, stepped;
  int64_t steps = 1;
  bool single() const { return stepped.empty(); }
};

/// Tells inputs with one dim more than the model's, which are sequences, from the others, by the inputs of `g`. Throws
/// where sequences differ in length.
Sequence split_steps(const Graph &g, std::map<std::string, Tensor> given);

/// Calls `step` with each step's inputs, in order, and stacks the results along a leading axis; those that `last` names
/// come from the last step.
std::vector<NamedTensor>
run_steps(const Sequence &s, const std::function<std::vector<NamedTensor>(const std::map<std::string, Tensor> &)> &step,
          const std::function<bool(const std::string &)> &last);

} // namespace trellis

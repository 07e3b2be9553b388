// Runs graphs that share parameters and state, by an executor: the interpreter, or compiled code.
#pragma once
#include "compiler/frontend/state.h"
#include "ir/eval.h"
#include <functional>
#include <map>

namespace trellis::testing {

/// Inputs in the order of the graph; gives the outputs and, through the pointer, the successors of updates.
using Executor = std::function<std::vector<Tensor>(const Graph &, const std::vector<Tensor> &, std::vector<Tensor> *)>;

inline std::vector<Tensor> interpret(const Graph &g, const std::vector<Tensor> &inputs, std::vector<Tensor> *next) {
  return evaluate(g, inputs, next);
}

struct TestSession {
  Executor execute = interpret;
  std::map<std::string, Tensor> state; ///< values of parameters and state

  /// Gives initial values to what has none yet.
  void initialise(const Graph &g, uint64_t seed = 0) {
    for (NamedTensor &t : initial_state(g, seed)) state.emplace(t.name, std::move(t.tensor));
  }
  std::map<std::string, Tensor> run(const Graph &g, const std::map<std::string, Tensor> &data) {
    std::vector<Tensor> inputs, next;
    for (Value v : g.inputs()) {
      std::string name(name_of_input(v));
      inputs.push_back(role_of(v) == "data" ? data.at(name) : state.at(name));
    }
    std::vector<Tensor> outputs = execute(g, inputs, &next);
    for (size_t i = 0; i < g.updates.size(); ++i) state[std::string(name_of_input(g.updates[i].state))] = next[i];
    std::map<std::string, Tensor> named;
    for (size_t i = 0; i < outputs.size(); ++i) named[g.outputs[i].name] = outputs[i];
    return named;
  }
};

} // namespace trellis::testing

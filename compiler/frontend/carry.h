// Stateful models that ask for last call's state as an input: an output tied to an input of the next call.
#pragma once
#include "compiler/frontend/model_file.h"

namespace trellis {

struct Carry {
  std::string output, input;
};

/// A copy of `g` in which each input is state, zero at first, whose successor is the output, which stays an output.
/// Throws a located CompileError where there is no such output or data input, or their types differ.
std::unique_ptr<Graph> carry(const Graph &g, const std::vector<Carry> &carries);

/// The same for all that is compiled of a model from now on; of an open model for every binding.
void carry(Model &m, const std::vector<Carry> &carries);

} // namespace trellis

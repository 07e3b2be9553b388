// Symbolic dims become numbers.
#pragma once
#include "ir/graph.h"
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trellis {

using Bindings = std::map<std::string, int64_t>;

/// The symbols of the inputs' dims, in order of appearance.
std::vector<std::string> symbols(const Graph &g);

/// A copy of `g` with every symbol replaced and every shape inferred anew; its names, outputs and updates are
/// kept. Throws CompileError where a symbol has no number, a number is negative or of no symbol of `g`, a
/// shape does not fit, or an unknown dim (?) is left.
std::unique_ptr<Graph> bind_dims(const Graph &g, const Bindings &dims);

/// What tensors of these types, by input name, say about the symbols; throws CompileError where they
/// contradict each other or an input's type. Inputs that are not named say nothing.
Bindings bindings_of(const Graph &g, const std::map<std::string, Type> &inputs);

/// A copy of `g` in which these data inputs are constants. Throws CompileError where `g` has no such input, or a tensor does
/// not of its type, which a symbolic one never is.
std::unique_ptr<Graph> with_constants(const Graph &g, const std::map<std::string, Tensor> &constants);

} // namespace trellis

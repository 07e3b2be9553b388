// The reference interpreter: what every op means, read from the table. Also the constant folder and the
// tests' oracle.
#pragma once
#include "ir/graph.h"
#include <map>
#include <string>
#include <vector>

namespace trellis {

/// The results of one node. Element arithmetic is done in double or 64-bit integers and rounded to the dtype.
std::vector<Tensor> evaluate_node(const Node &n, const std::vector<Tensor> &operands);

/// What a composite stands for: a graph whose inputs are its operands, and whose outputs its results.
std::unique_ptr<Graph> expansion_of(const Node &n);

/// The outputs of `g`, in their order; every dim must be bound (bind.h). `updates`, where given, gets the
/// successors of parameters and state, in the order of g.updates. Throws CompileError where an input is
/// missing, not known or not of its type.
std::vector<Tensor> evaluate(const Graph &g, const std::map<std::string, Tensor> &inputs,
                             std::vector<Tensor> *updates = nullptr);
/// The same with inputs by position in g.inputs(): bodies of control ops.
std::vector<Tensor> evaluate(const Graph &g, const std::vector<Tensor> &inputs, std::vector<Tensor> *updates = nullptr);

} // namespace trellis

// The invariants of a graph, checked against the table.
#pragma once
#include "ir/graph.h"

namespace trellis {

/// Throws CompileError with everything that does not hold, each at its node's location:
/// - operands come before their users and are of the same graph;
/// - the shape rule, run anew, gives the types that the node has and finds its attributes canonical;
/// - operands of commutative ops are in order, equal nodes are one;
/// - bodies are whole graphs of their own, without parameters, state or updates;
/// - inputs and outputs have names of their own, and an update ties a parameter or state, once, to a value of
/// its type.
void verify(const Graph &g);

} // namespace trellis

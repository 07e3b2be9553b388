// Reverse accumulation over the table's `vjp` column.
#pragma once
#include "ir/graph.h"

namespace trellis {

/// A value and the cotangent that arrives at it from outside.
struct Cotangent {
  Value of, dy;
};

/// Cotangents of `wrt`, given those of some results: walks the nodes between them from the last to the first,
/// asks each row's `vjp` (a row without one but with `expand` is differentiated through its expansion) and
/// adds what meets, in the order of the walk. A null Value where nothing flows: dense zeros are never made.
/// The nodes are made in the same graph, at the location of the node that they are the derivative of.
///
/// `stop` ends the walk at `wrt`: partial derivatives, as for the inputs of a body or the operands of a node.
/// Without it a value of `wrt` also passes its cotangent on, and the derivatives are total ones.
///
/// Integer and bool values carry no cotangent. Throws a located CompileError at a row that is not
/// differentiable.
Values pull_back(const std::vector<Cotangent> &seeds, const Values &wrt, bool stop);

} // namespace trellis

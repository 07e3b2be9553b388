// Constant folding through the reference interpreter.
#pragma once
#include "passes/pass.h"

namespace trellis {

/// The constant that the single result of `n` is, in canonical form (see `canonical_constant`); null where an
/// operand is not constant, where the result would be both larger than 64 KiB and larger than its operands,
/// or where the interpreter would take long. Never an expand: repeated elements stay repeated by a view.
Value fold_node(const Node &n);

/// A constant whose elements are all the same as reshape and expand of a scalar (what Graph::splat makes), so
/// that rules see through it; any other as it is.
Value canonical_constant(Graph &g, Tensor value);

GraphPtr fold(const Graph &g);

} // namespace trellis

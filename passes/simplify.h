// Algebra on the graph: applies the rules of passes/rules bottom-up until none fits, narrows elementwise work
// on repeated elements, and folds what is constant. What needs the shape of a loop or the machine belongs to
// fusion and code generation; naming whole subgraphs belongs to `raise`.
#pragma once
#include "ir/rewrite.h"
#include "passes/pass.h"

namespace trellis {

/// Rules up to `allowed` are used; with `exact` every element of every output keeps its bits.
GraphPtr simplify(const Graph &g, Exactness allowed = Exactness::exact);

/// What `simplify` does beside its rules. Elementwise work on repeated elements is done once and the result
/// repeated: op(expand(a), expand(b)) = expand(op(a, b)); what is constant is folded. A null Value: neither.
Value narrow_or_fold(const Node &n);

} // namespace trellis

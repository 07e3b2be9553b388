// Expands composite ops into primitives, for a target that does not emit them itself. After `autodiff`, so
// that a composite's own derivative is used, and after `raise`.
#pragma once
#include "passes/pass.h"

namespace trellis {

/// Expands every composite node that `keep` does not hold back (absent: all of them), and what they expand
/// to, until none is left. The expansion has the location of the node.
GraphPtr decompose(const Graph &g, const std::function<bool(const Node &)> &keep = {});

} // namespace trellis

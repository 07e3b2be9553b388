// Which values a partition into kernels stores; the rest is computed where it is read. First those that have to be, and what
// several need or a movement multiplies; then chains are cut that no kernel should hold. What groups make of them: fuse.h.
#pragma once
#include "passes/fuse.h"
#include <unordered_set>
#include <vector>

namespace trellis {

/// Has storage of its own already: an input, or a constant that is no immediate.
bool is_external(Value v);

/// Stores values of `g`, whose reachable nodes are `nodes`, in `out`. Gives the nodes that were stored only to end a chain.
std::unordered_set<const Node *> choose_stored(const Graph &g, const std::vector<const Node *> &nodes,
                                               const FuseOptions &options, Fusion &out);

} // namespace trellis

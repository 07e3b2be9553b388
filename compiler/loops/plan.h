// From a legal graph to a program: kernels, layouts, the arena.
#pragma once
#include "compiler/loops/machine.h"
#include "compiler/loops/program.h"
#include "passes/fuse.h"

namespace trellis {

/// Physical layouts of stored values: chosen per value, a function of the graph and the machine alone.
class Layouts {
public:
  Layouts(const Graph &g, const Fusion &f, const Machine &m);
  Layout of(Value v) const;

private:
  void channels_last(const std::vector<const Node *> &nodes, const Fusion &f, const Machine &m);
  std::unordered_map<uint64_t, Layout> chosen_;
};

/// The graph must be bound, decomposed and legalised (no composite, convolutions padded). What the memory plan
/// guarantees: a value's storage is not reused before its last reader ran; the successor of a state takes the state's
/// own storage where every other reader runs before, and is copied at the end where not.
/// Bodies of control ops are fused with `bodies` and lie in the same list of calls and the same arena.
Program plan_program(const Graph &g, const Fusion &f, const Machine &m, const FuseOptions &bodies = {});

/// Offsets for intervals of calls, in one arena; 64-byte aligned. Longest-lived and largest first fit.
struct ArenaRequest {
  int64_t bytes = 0;
  int first = 0, last = 0; ///< calls during which it lives
  int64_t offset = 0;      ///< out
};
/// Returns the arena's size.
int64_t assign_offsets(std::vector<ArenaRequest> &requests);

} // namespace trellis

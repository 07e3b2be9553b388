// Partitions a graph into kernels. Each group stores some values; everything between stored values is computed where
// it is read. It runs after legalize, on core ops; it changes no node.
//
// A value is stored when it is an input, a large constant, an output or a successor of state; when it anchors a group
// (contraction, large reduction, running reduction, scatter); when a contraction reads it through movement only; when
// several groups need it and computing it again costs more than a few instructions; or when a kernel that computes it on
// the way would grow beyond a limit (fuse_stored.h). A group's stored values have one domain: the anchor's results, values
// reached from the anchor by elementwise ops and bijective movement (its epilogue), and pointwise siblings of one shape.
#pragma once
#include "ir/graph.h"
#include <set>
#include <unordered_map>

namespace trellis {

struct Group {
  const Node *anchor = nullptr; ///< contraction, reduce or scatter; null: pointwise
  Values results;               ///< stored, ascending ids
  Values reads;                 ///< stored values of other groups, inputs and constants that it loads, ascending ids
};

class Fusion {
public:
  std::vector<Group> groups; ///< in execution order
  bool stored(Value v) const { return stored_.count(key(v)) != 0; }
  void store(Value v) { stored_.insert(key(v)); }
  void drop(Value v) { stored_.erase(key(v)); }

private:
  static uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }
  std::set<uint64_t> stored_;
};

struct FuseOptions {
  int recompute_limit = 6; ///< instructions that may be computed in several groups rather than stored
  int deepest_chain = 256; ///< nodes in a row that a group computes
};

Fusion fuse(const Graph &g, const FuseOptions &options = {});

/// Small enough to be unrolled where it is read.
bool is_inline_reduction(const Node &n);
/// A constant that every kernel may hold as an immediate.
bool is_immediate(const Node &n);
/// The value under movement that only maps indices linearly (reshape, permute, slice, expand, window).
Value under_movement(Value v);
/// Anchors a group of its own kind.
bool is_anchor(const Node &n);
/// Control ops and sort: several kernel calls that want operands and results in storage, row-major.
bool takes_storage(const Node &n);
/// Bijective movement: every element of the operand stands exactly once in the result.
bool is_bijective(const Node &n);

/// Text of the partition: a line a group.
std::string print(const Fusion &f, const Graph &g);

} // namespace trellis

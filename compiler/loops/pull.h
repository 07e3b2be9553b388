// Values pulled at an index: movement maps the index, an elementwise op asks its operands, a stored value is loaded.
#pragma once
#include "compiler/loops/tree.h"
#include "passes/fuse.h"

namespace trellis {

/// Where stored values lie.
using LayoutOf = std::function<Layout(Value)>;

class Pull {
public:
  Pull(Kernel &k, const Fusion &f, const Group &g, LayoutOf layout);

  /// The element of `v` at `index`, in terms of loads.
  const Expr *at(Value v, const std::vector<Index> &index);
  /// Slot of a stored value; made on first use.
  int slot(Value v);
  /// Values of the slots, in order.
  const Values &slots() const { return slots_; }
  const Layout &layout(Value v);
  /// What the anchor's result is at the point where the epilogue is pulled.
  void set_anchor(const Expr *e) {
    anchor_ = e;
    memo_.clear();
  }
  /// Forgets shared expressions: called when the nest's variables change.
  void clear() { memo_.clear(); }
  /// The index of result `r` of the group when the anchor's (or first result's) is `index`.
  std::vector<Index> result_index(Value r, const std::vector<Index> &index) const;

private:
  const Expr *compute(Value v, const std::vector<Index> &index);
  const Expr *read(const Node &n, const ReadMap &map);
  const Expr *gather(const Node &n, const std::vector<Index> &index);
  std::pair<Index, const Expr *> at_runtime(const Index &e, int var, const Expr *value);
  const Expr *inline_reduction(const Node &n, const std::vector<Index> &index);

  Kernel &kernel_;
  const Fusion &fusion_;
  const Group &group_;
  LayoutOf layout_of_;
  Values slots_;
  std::unordered_map<uint64_t, int> slot_of_;
  std::unordered_map<uint64_t, Layout> layouts_;
  std::unordered_map<uint64_t, std::vector<std::pair<std::vector<Index>, const Expr *>>> memo_;
  const Expr *anchor_ = nullptr;
};

/// The op that combines two elements of a reduction, and the bits of its identity.
Op combine_op(const std::string &kind);
const Expr *identity(Kernel &k, const std::string &kind, DType t);

} // namespace trellis

// Which storage order each stored value gets.
#include "compiler/loops/plan.h"

namespace trellis {

static uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }

Layouts::Layouts(const Graph &, const Fusion &, const Machine &) {}

Layout Layouts::of(Value v) const {
  auto it = chosen_.find(key(v));
  return it == chosen_.end() ? Layout::row_major(dims_of(v.shape())) : it->second;
}

} // namespace trellis

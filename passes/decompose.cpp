#include "passes/decompose.h"
#include <fmt/format.h>

namespace trellis {

static constexpr int kDeepest = 16; // expansions within expansions; a row that expands to itself never ends

GraphPtr decompose(const Graph &g, const std::function<bool(const Node &)> &keep) {
  GraphPtr out;
  for (int round = 0;; ++round) {
    const Node *expanded = nullptr;
    out = rebuild(out ? *out : g, [&](const Node &n) {
      if (n.info().kind != OpKind::composite || (keep && keep(n))) return Values{};
      expanded = &n;
      return n.info().expand({n, n.operands});
    });
    if (!expanded) return out;
    TRELLIS_CHECK(round < kDeepest, fmt::format("the expansion of '{}' does not end", expanded->info().name));
  }
}

} // namespace trellis

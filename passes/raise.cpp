#include "passes/raise.h"
#include "passes/rules/rules.h"
#include "passes/simplify.h"

namespace trellis {

GraphPtr raise(const Graph &g) {
  // The patterns are written in normal forms of `simplify`, and what they make may lead to more of those.
  Rewriter rewriter({{simplify_rules(), Exactness::exact}, {raise_rules(), Exactness::inexact}}, narrow_or_fold);
  return rebuild(g, [&](const Node &n) { return rewriter.normal(n); });
}

} // namespace trellis

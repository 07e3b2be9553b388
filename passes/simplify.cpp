#include "passes/simplify.h"
#include "ir/build.h"
#include "passes/fold.h"
#include "passes/rules/rules.h"

namespace trellis {

// An elementwise op whose operands all repeat along an axis is done once along it:
// op(expand(a), expand(b)) = expand(op(a, b)), splats being expanded along every axis.
static Value narrow(const Node &n) {
  if (!n.info().broadcasts() || n.types.size() != 1) return {};
  Shape shape = n.type().shape;
  bool any = false;
  for (size_t k = 0; k < shape.size(); ++k) {
    bool repeats = shape[k].value() != 1;
    for (Value v : n.operands) repeats &= v.node->op == Op::expand && v.node->operands[0].shape()[k].value() == 1;
    if (repeats) shape[k] = 1, any = true;
  }
  if (!any) return {};
  Values operands;
  for (Value v : n.operands) operands.push_back(expand(v.node->operands[0], shape));
  LocationScope at(*n.graph, n.loc);
  return expand(n.graph->make(n.op, std::move(operands), n.attrs), n.type().shape);
}

Value narrow_or_fold(const Node &n) {
  if (Value v = narrow(n)) return v;
  return n.types.size() == 1 ? fold_node(n) : Value{};
}

GraphPtr simplify(const Graph &g, Exactness allowed) {
  Rewriter rewriter({{simplify_rules(), allowed}}, narrow_or_fold);
  return rebuild(g, [&](const Node &n) { return rewriter.normal(n); });
}

} // namespace trellis

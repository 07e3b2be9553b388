#include "compiler/onnx/bodies.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

namespace trellis::onnx {

// Nodes that the results need, operands before users, as far back as `low`, and what is only another form of its operand.
static std::vector<const Node *> needed(const Values &results, uint32_t low) {
  std::vector<const Node *> order, stack;
  std::unordered_set<const Node *> seen;
  auto visit = [&](Value v) {
    if (seen.insert(v.node).second) stack.push_back(v.node);
  };
  for (Value v : results) visit(v);
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    order.push_back(n);
    if (n->id < low && n->op != Op::reshape && n->op != Op::expand) continue;
    for (Value o : n->operands) visit(o);
  }
  std::sort(order.begin(), order.end(), [](const Node *a, const Node *b) { return a->id < b->id; });
  return order;
}

// Cheaper to make anew than to read.
static bool is_free(const Node &n, const std::unordered_set<const Node *> &free) {
  if (n.op == Op::constant || n.op == Op::iota) return true;
  return (n.op == Op::reshape || n.op == Op::expand) && free.contains(n.operands[0].node);
}

Closed close_over(const Values &arguments, const Values &results, uint32_t from) {
  Closed out;
  out.body = std::make_shared<Graph>("body");
  out.body->location = results[0].graph().location;
  std::unordered_set<const Node *> inside, free;
  ValueMap map;
  uint32_t low = from; // nothing before it depends on an argument
  for (Value a : arguments) {
    low = std::min(low, a.node->id);
    map[a.node] = {out.body->input(fmt::format("x{}", map.size()), a.type())};
    inside.insert(a.node);
  }
  auto capture = [&](Value v) {
    Values &known = map[v.node];
    known.resize(v.node->types.size());
    if (known[v.index]) return;
    out.captured.push_back(v);
    known[v.index] = out.body->input(fmt::format("c{}", out.captured.size()), v.type());
  };
  auto take = [&](Value v) {
    if (!inside.contains(v.node) && !free.contains(v.node)) capture(v);
  };
  for (const Node *n : needed(results, low)) {
    if (is_free(*n, free)) free.insert(n);
    bool own = n->op != Op::input && !free.contains(n) && n->id >= from;
    for (Value o : n->operands) own |= inside.contains(o.node);
    if (!own) continue;
    inside.insert(n);
    for (Value o : n->operands) take(o);
  }
  for (Value r : results) take(r);
  for (Value r : results)
    out.body->outputs.push_back({fmt::format("y{}", out.body->outputs.size()), copy_into(*out.body, r, map)});
  return out;
}

Values close_scan(const Values &carried, const Values &sliced, const Values &arguments, const Values &results) {
  Closed c = close_over(arguments, results, UINT32_MAX);
  Values operands = carried, out;
  operands.insert(operands.end(), sliced.begin(), sliced.end());
  operands.insert(operands.end(), c.captured.begin(), c.captured.end());
  Attrs a{{Attr::carries, int64_t(carried.size())}, {Attr::slices, int64_t(sliced.size())}};
  const Node *n = sliced[0].graph().node(Op::scan, operands, a, {c.body});
  for (uint32_t k = 0; k < n->types.size(); ++k) out.push_back(n->result(k));
  return out;
}

Values scan(Importer &importer, const Values &carried, const Values &sliced, const Iteration &f) {
  Values state, parts;
  for (Value v : carried) state.push_back(importer.placeholder(v.type()));
  for (Value v : sliced)
    parts.push_back(importer.placeholder({v.dtype(), Shape(v.shape().begin() + 1, v.shape().end())}));
  Value number = importer.placeholder({DType::i64, {}});
  Importer::Rolled rolled(importer, number);
  Values arguments = state, all = sliced, results = f(state, parts);
  arguments.insert(arguments.end(), parts.begin(), parts.end());
  if (rolled.drew()) {
    all.push_back(iota(number.graph(), {DType::i64, {sliced[0].shape()[0]}}, 0));
    arguments.push_back(number);
  }
  return close_scan(carried, all, arguments, results);
}

} // namespace trellis::onnx

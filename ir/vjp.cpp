#include "ir/vjp.h"
#include "ir/build.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

namespace {
// Keyed by node: what has arrived at each of its results.
class Accumulator {
public:
  void add(Value of, Value dy) {
    Values &slots = slots_[of.node];
    slots.resize(of.node->types.size());
    Value &at = slots[of.index];
    at = at ? at + dy : dy;
  }
  Value get(Value of) const {
    auto it = slots_.find(of.node);
    return it == slots_.end() ? Value{} : it->second[of.index];
  }

private:
  std::unordered_map<const Node *, Values> slots_;
};

bool carries(Value v) { return is_float(v.dtype()); }

bool contains(const Values &all, Value v) {
  return std::any_of(all.begin(), all.end(), [&](Value o) { return o.is(v); });
}

// Nodes on a differentiable path from `wrt` to a seed, in order of id.
std::vector<const Node *> between(const std::vector<Cotangent> &seeds, const Values &wrt, bool stop) {
  std::unordered_map<const Node *, bool> leads; // to wrt; also: visited
  std::vector<const Node *> order, stack;
  auto visit = [&](Value v) {
    if (carries(v) && !(stop && contains(wrt, v)) && leads.try_emplace(v.node, false).second) stack.push_back(v.node);
  };
  for (const Cotangent &s : seeds) visit(s.of);
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    order.push_back(n);
    if (!n->info().no_gradient)
      for (Value v : n->operands) visit(v);
  }
  std::sort(order.begin(), order.end(), [](const Node *a, const Node *b) { return a->id < b->id; });
  std::vector<const Node *> out;
  for (const Node *n : order) {
    bool &yes = leads[n];
    if (n->info().no_gradient) continue;
    for (Value v : n->operands) {
      if (!carries(v)) continue;
      auto it = leads.find(v.node);
      yes |= contains(wrt, v) || (it != leads.end() && it->second);
    }
    if (yes) out.push_back(n);
  }
  return out;
}

Values pull_back_node(const Node &n, const Values &dys) {
  const OpInfo &row = n.info();
  if (row.vjp) return row.vjp({n, dys, dys[0], n.result(), n.operands});
  if (!row.expand) throw CompileError(n.loc, fmt::format("'{}' is not differentiable", row.name));
  Values parts = row.expand({n, n.operands});
  std::vector<Cotangent> seeds;
  for (size_t i = 0; i < parts.size(); ++i)
    if (dys[i]) seeds.push_back({parts[i], dys[i]});
  Values out = pull_back(seeds, n.operands, true);
  // An operand that is given twice has one cotangent.
  for (size_t i = 0; i < out.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (n.operands[i].is(n.operands[j])) out[i] = {};
  return out;
}
} // namespace

Values pull_back(const std::vector<Cotangent> &seeds, const Values &wrt, bool stop) {
  Accumulator sum;
  for (const Cotangent &s : seeds) {
    TRELLIS_CHECK(s.dy.type() == s.of.type(),
                  fmt::format("the cotangent of {} is {}", s.of.type().str(), s.dy.type().str()));
    if (carries(s.of)) sum.add(s.of, s.dy);
  }
  std::vector<const Node *> order = between(seeds, wrt, stop);
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node &n = **it;
    Values dys;
    bool any = false;
    for (uint32_t i = 0; i < n.types.size(); ++i) {
      Value v = n.result(i);
      dys.push_back(stop && contains(wrt, v) ? Value{} : sum.get(v));
      any |= bool(dys.back());
    }
    if (!any) continue;
    LocationScope at(*n.graph, n.loc);
    Values dxs = pull_back_node(n, dys);
    TRELLIS_CHECK(dxs.size() == n.operands.size(),
                  fmt::format("the derivative of '{}' gives {} cotangents for {} operands", n.info().name, dxs.size(),
                              n.operands.size()));
    for (size_t i = 0; i < dxs.size(); ++i) {
      if (!dxs[i] || !carries(n.operands[i])) continue;
      TRELLIS_CHECK(dxs[i].type() == n.operands[i].type(),
                    fmt::format("the derivative of '{}' gives {} for operand {}, which is {}", n.info().name,
                                dxs[i].type().str(), i + 1, n.operands[i].type().str()));
      sum.add(n.operands[i], dxs[i]);
    }
  }
  Values out;
  for (Value v : wrt) out.push_back(sum.get(v));
  return out;
}

} // namespace trellis

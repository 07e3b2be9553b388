// What is known at import: values that constants, weights and given inputs decide. Each node is judged once and evaluated
// once, so that all questions together take time that grows with the graph.
#include "compiler/onnx/importer.h"
#include "ir/eval.h"
#include <algorithm>
#include <cmath>

namespace trellis::onnx {

static constexpr int64_t kMostElements = 1 << 20; // of one value that is evaluated
static constexpr double kMostWork = 1 << 26;      // elements that the evaluation of one node touches
static constexpr double kMostWorkInAll = 1 << 28; // those of a whole import

// Elements that evaluating the node touches, those of bodies at every iteration.
static double work_of(const Node &n) {
  if (n.info().kind == OpKind::source && n.op != Op::iota) return 1;
  double own = 1, inside = 0, trips = 1, product = 1;
  for (const Type &t : n.types) {
    if (t.size() > kMostElements) return INFINITY;
    own += double(t.size()), product *= double(t.size());
  }
  for (Value o : n.operands) own += double(o.type().size()), product *= double(o.type().size());
  // Sizes MK, KN and MN of a product have the product (MNK)^2.
  if (n.op == Op::dot) own += std::sqrt(product);
  if (n.op == Op::conv && n.type().size() > 0) {
    const Type &w = n.operands[1].type();
    own += double(n.type().size()) * double(w.size()) / double(w.shape[0].value());
  }
  if (n.info().kind == OpKind::composite && !n.info().interpret) {
    std::unique_ptr<Graph> meaning = expansion_of(n);
    for (const Node *k : meaning->reachable()) own += work_of(*k);
  }
  for (const auto &body : n.bodies)
    for (const Node *k : body->reachable()) inside += work_of(*k);
  bool counted = n.attrs.has(Attr::trips);
  if (n.op == Op::loop) trips = counted ? double(n.attrs.i(Attr::trips)) : INFINITY; // it may never end
  if (n.op == Op::scan)
    trips = double(counted ? n.attrs.i(Attr::trips)
                           : n.operands[size_t(n.attrs.i_or(Attr::carries, 0))].shape()[0].value());
  return own + (inside > 0 ? trips * inside : 0);
}

template <class Stops> static std::vector<const Node *> behind(const Node *node, const Stops &stops) {
  std::vector<const Node *> order, stack{node};
  std::unordered_set<const Node *> seen{node};
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    if (stops(n)) continue;
    order.push_back(n);
    for (Value o : n->operands)
      if (seen.insert(o.node).second) stack.push_back(o.node);
  }
  std::sort(order.begin(), order.end(), [](const Node *a, const Node *b) { return a->id < b->id; });
  return order;
}

void Importer::judge(const Node *node) {
  for (const Node *n : behind(node, [&](const Node *k) { return judged_.contains(k); })) {
    Judged j;
    if (n->op == Op::input) {
      j.given = given_.contains(n), j.known = j.given || weights_.contains(n);
    } else {
      for (Value o : n->operands) {
        const Judged &from = judged_.at(o.node);
        j.known &= from.known, j.given |= from.given;
      }
      if (j.known) j.work = work_of(*n), j.known = j.work <= kMostWork;
    }
    judged_.emplace(n, j);
  }
}

std::optional<Tensor> Importer::known(Value v) {
  judge(v.node);
  if (!judged_.at(v.node).known) return std::nullopt;
  std::vector<const Node *> order = behind(v.node, [&](const Node *n) { return known_.contains(n); });
  for (size_t k = 0; k < order.size(); ++k) {
    const Node *n = order[k];
    if (auto it = weights_.find(n); it != weights_.end()) {
      known_[n] = {it->second};
    } else if (it = given_.find(n); it != given_.end()) {
      known_[n] = {it->second}, specialised_.insert(n->attrs.word(Attr::name));
    } else {
      if (double work = judged_.at(n).work; n->op != Op::constant) {
        if (evaluated_ + work > kMostWorkInAll) {
          for (size_t i = k; i < order.size(); ++i) // users that are judged later need not ask again
            if (order[i]->info().kind != OpKind::source) judged_.at(order[i]).known = false;
          return std::nullopt;
        }
        evaluated_ += work;
      }
      std::vector<Tensor> operands;
      for (Value o : n->operands) operands.push_back(known_.at(o.node)[o.index]);
      known_[n] = evaluate_node(*n, operands);
    }
  }
  return known_.at(v.node)[v.index];
}

bool Importer::is_given(Value v) {
  judge(v.node);
  return judged_.at(v.node).given;
}

} // namespace trellis::onnx

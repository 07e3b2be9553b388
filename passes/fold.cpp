#include "passes/fold.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/rewrite.h"
#include <cstring>

namespace trellis {

static constexpr int64_t kLargestResult = 64 << 10;
static constexpr double kMostProducts = 1 << 22; // of a contraction; (m n)(m k)(k n) is their square

// Bytes that a constant value stores: a constant, a splat of one element, or either repeated; -1: it is none
// of these.
static int64_t stored_bytes(Value v) {
  if (v.node->op == Op::expand) return stored_bytes(v.node->operands[0]);
  return v.node->op == Op::constant || (v.type().size() == 1 && splat_of(v)) ? v.type().bytes() : -1;
}

static Tensor elements_of(Value v) {
  if (v.node->op == Op::constant) return v.node->attrs.get<Tensor>(Attr::value);
  if (v.node->op == Op::expand) return evaluate_node(*v.node, {elements_of(v.node->operands[0])})[0];
  return splat_of(v)->reshaped(dims_of(v.shape()));
}

Value canonical_constant(Graph &g, Tensor t) {
  if (t.rank() == 0 || t.size() == 0) return g.constant(std::move(t));
  size_t width = size_t(size_of(t.dtype())), bytes = size_t(t.bytes());
  // Equal to itself shifted by one element: all elements are the first one.
  if (std::memcmp(t.data(), t.data() + width, bytes - width) != 0) return g.constant(std::move(t));
  Tensor one(t.dtype(), {});
  std::memcpy(one.data(), t.data(), width);
  return broadcast_to(g.constant(std::move(one)), shape_of(t.dims()));
}

Value fold_node(const Node &n) {
  const OpInfo &row = n.info();
  if (n.types.size() != 1) return {};
  if (n.op == Op::constant) {
    Value v = canonical_constant(*n.graph, n.attrs.get<Tensor>(Attr::value));
    return v.is(n.result()) ? Value{} : v;
  }
  if (n.operands.empty() || n.op == Op::expand || row.kind == OpKind::control) return {};
  if (n.op == Op::reshape && splat_of(n.operands[0])) return {};
  int64_t bytes = 0;
  double work = double(n.type().size());
  for (Value v : n.operands) {
    int64_t stored = stored_bytes(v);
    if (stored < 0) return {};
    bytes += stored;
    if (row.kind == OpKind::contraction) work *= double(v.type().size());
  }
  if (n.type().bytes() > std::max(bytes, kLargestResult)) return {};
  if (row.kind == OpKind::contraction && work > kMostProducts * kMostProducts) return {};
  std::vector<Tensor> x;
  for (Value v : n.operands) x.push_back(elements_of(v));
  LocationScope at(*n.graph, n.loc);
  return canonical_constant(*n.graph, evaluate_node(n, x)[0]);
}

GraphPtr fold(const Graph &g) {
  return rebuild(g, [](const Node &n) {
    Value v = fold_node(n);
    return v ? Values{v} : Values{};
  });
}

} // namespace trellis

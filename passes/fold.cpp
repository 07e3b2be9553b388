#include "passes/fold.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/rewrite.h"
#include <cstring>

namespace trellis {

static constexpr int64_t kLargestResult = 64 << 10;
static constexpr double kMostProducts = 1 << 22; // of a contraction; (m n)(m k)(k n) is their square

// The elements of a value that is a constant, or a splat of one element.
static Tensor constant_of(Value v) {
  if (v.node->op == Op::constant) return v.node->attrs.get<Tensor>(Attr::value);
  const Tensor *t = v.type().size() == 1 ? splat_of(v) : nullptr;
  return t ? t->reshaped(dims_of(v.shape())) : Tensor{};
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
  std::vector<Tensor> x;
  int64_t bytes = 0;
  double work = double(n.type().size());
  for (Value v : n.operands) {
    x.push_back(constant_of(v));
    if (!x.back()) return {};
    bytes += x.back().bytes();
    if (row.kind == OpKind::contraction) work *= double(v.type().size());
  }
  if (n.type().bytes() > std::max(bytes, kLargestResult)) return {};
  if (row.kind == OpKind::contraction && work > kMostProducts * kMostProducts) return {};
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

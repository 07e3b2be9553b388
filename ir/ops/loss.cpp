// Losses: scalars, means over the batch.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

void infer_cross_entropy(Infer &c) {
  const Type &x = c.x(0), &l = c.x(1);
  bool ok = is_float(x.dtype) && is_integer(l.dtype) && x.rank() >= 1 && l.rank() == x.rank() - 1;
  for (size_t i = 0; ok && i < l.shape.size(); ++i) ok = compatible(x.shape[i], l.shape[i]);
  c.require(ok,
            fmt::format("takes floating-point logits [..., C] and integer labels [...]: {} and {}", x.str(), l.str()));
  c.result(x.dtype, {});
}

namespace {
struct Picked {
  Value hit;   ///< [..., C]: this class is the label
  Value valid; ///< [...]: some class is
  Value count; ///< scalar: labels that are not to be ignored
};
} // namespace

// Labels that are ignored or name no class become -1, which hits nothing.
static Picked pick(const Node &n, Value logits, Value labels) {
  Graph &g = logits.graph();
  int64_t classes = logits.shape().back();
  Value valid = bit_and(le(0, labels), lt(labels, double(classes)));
  Value count = g.scalar(logits.dtype(), double(labels.type().size()));
  if (n.attrs.has(Attr::label)) {
    Value wanted = ne(labels, g.splat(labels.type(), double(n.attrs.i(Attr::label))));
    valid = bit_and(valid, wanted);
    count = sum(cast(wanted, logits.dtype()));
  }
  Value label = select(valid, cast(labels, DType::i32), -1);
  Ints last{logits.rank() - 1};
  Value hit = eq(spread(label, last, logits.shape()), iota(g, {DType::i32, logits.shape()}, last[0]));
  return {hit, valid, count};
}

Values expand_cross_entropy(Expand e) {
  Value x = e.x[0];
  Picked p = pick(e.node, x, e.x[1]);
  return {-sum(select(p.hit, log_softmax(x, -1), 0)) / p.count};
}
// (softmax - one hot) / count; nothing where the label names no class.
Values vjp_cross_entropy(Vjp v) {
  Value x = v.x[0];
  Picked p = pick(v.node, x, v.x[1]);
  Value d = exp(log_softmax(x, -1)) - cast(p.hit, x.dtype());
  Value valid = spread(p.valid, {x.rank() - 1}, x.shape());
  return {select(valid, d * broadcast_to(v.dy / p.count, x.shape()), 0), Value{}};
}

void infer_pair_loss(Infer &c) {
  bool ok = c.x(0).rank() == c.x(1).rank();
  for (size_t i = 0; ok && i < c.x(0).shape.size(); ++i) ok = compatible(c.x(0).shape[i], c.x(1).shape[i]);
  c.require(ok, fmt::format("operands differ in shape: {} and {}", c.x(0).str(), c.x(1).str()));
  c.result(c.x(0).dtype, {});
}

Values expand_mse(Expand e) { return {mean(square(e.x[0] - e.x[1]))}; }

// -(t log s + (1 - t) log(1 - s)) with s = sigmoid(x) is softplus(x) - t x.
Values expand_bce(Expand e) { return {mean(softplus(e.x[0]) - e.x[0] * e.x[1])}; }

} // namespace trellis::ops

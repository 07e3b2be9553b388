// attention(q [..., M, D], k [..., N, D], v [..., N, E], mask): softmax(scale q k^T + mask) v.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

void infer_attention(Infer &c) {
  const Type &q = c.x(0), &k = c.x(1), &v = c.x(2);
  size_t r = q.shape.size();
  bool ok = r >= 2 && k.shape.size() == r && v.shape.size() == r;
  for (size_t i = 0; ok && i + 2 < r; ++i)
    ok = compatible(q.shape[i], k.shape[i]) && compatible(q.shape[i], v.shape[i]);
  ok = ok && compatible(q.shape[r - 1], k.shape[r - 1]) && compatible(k.shape[r - 2], v.shape[r - 2]);
  ok = ok && is_float(q.dtype) && k.dtype == q.dtype && v.dtype == q.dtype;
  c.require(ok, fmt::format("takes q [..., M, D], k [..., N, D] and v [..., N, E]: {}, {} and {}", q.str(), k.str(),
                            v.str()));
  if (c.operands.size() > 3) {
    Shape scores = q.shape;
    scores[r - 1] = k.shape[r - 2];
    const Type &m = c.x(3);
    c.require(m.dtype == DType::boolean || m.dtype == q.dtype,
              fmt::format("the mask is {}, but must be bool (true: visible) or {} (added to the scores)", m.str(),
                          name(q.dtype)));
    bool fits = same(broadcast(m.shape, scores, "attention: mask", c.loc), scores);
    c.require(fits,
              fmt::format("the mask is {}, which does not broadcast to {}", m.str(), Type{q.dtype, scores}.str()));
  }
  if (!c.attrs.flag(Attr::causal)) c.attrs.erase(Attr::causal);
  Shape out = q.shape;
  out[r - 1] = v.shape[r - 1];
  c.result(q.dtype, out);
}

Values expand_attention(Expand e) {
  Value q = e.x[0], k = e.x[1];
  int r = q.rank();
  double scale = e.node.attrs.get_or<double>(Attr::scale, 1 / std::sqrt(double(q.shape().back().value())));
  Value s = dot(q, transpose(k)) * scale;
  if (e.x.size() > 3) {
    Value mask = broadcast_to(e.x[3], s.shape());
    s = mask.dtype() == DType::boolean ? select(mask, s, -INFINITY) : s + mask;
  }
  if (e.node.attrs.flag(Attr::causal)) {
    Value query = iota(e.graph(), {DType::i32, s.shape()}, r - 2),
          key = iota(e.graph(), {DType::i32, s.shape()}, r - 1);
    s = select(lt(query, key), -INFINITY, s);
  }
  return {dot(softmax(s, -1), e.x[2])};
}

} // namespace trellis::ops

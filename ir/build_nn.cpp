// Builders of the rows for networks.
#include "ir/build.h"

namespace trellis {

static Attrs with_epsilon(double epsilon, Attrs a = {}) {
  if (epsilon != 1e-5) a.set(Attr::epsilon, epsilon);
  return a;
}

Value softmax(Value x, int64_t axis) { return x.graph().make(Op::softmax, {x}, {{Attr::axis, axis}}); }
Value log_softmax(Value x, int64_t axis) { return x.graph().make(Op::log_softmax, {x}, {{Attr::axis, axis}}); }

Value layer_norm(Value x, Value scale, Value bias, int64_t axis, double epsilon) {
  TRELLIS_CHECK(scale || !bias, "layer_norm with a bias needs a scale");
  Values v{x};
  if (scale) v.push_back(scale);
  if (bias) v.push_back(bias);
  return x.graph().make(Op::layer_norm, std::move(v), with_epsilon(epsilon, {{Attr::axis, axis}}));
}
Value rms_norm(Value x, Value scale, int64_t axis, double epsilon) {
  Values v{x};
  if (scale) v.push_back(scale);
  return x.graph().make(Op::rms_norm, std::move(v), with_epsilon(epsilon, {{Attr::axis, axis}}));
}
BatchNorm batch_norm(Value x, Value scale, Value bias, double epsilon) {
  const Node *n = x.graph().node(Op::batch_norm, {x, scale, bias}, with_epsilon(epsilon));
  return {n->result(0), n->result(1), n->result(2)};
}
Value batch_norm_inference(Value x, Value scale, Value bias, Value mean, Value var, double epsilon, double momentum) {
  return x.graph().make(Op::batch_norm_inference, {x, scale, bias, mean, var},
                        with_epsilon(epsilon, {{Attr::momentum, momentum}}));
}
Value group_norm(Value x, Value scale, Value bias, int64_t groups, double epsilon) {
  return x.graph().make(Op::group_norm, {x, scale, bias}, with_epsilon(epsilon, {{Attr::groups, groups}}));
}
Value instance_norm(Value x, Value scale, Value bias, double epsilon) {
  return group_norm(x, scale, bias, scale.shape()[0], epsilon);
}

static Value pool(Op op, Value x, const PoolOptions &o) {
  Attrs a{{Attr::size, o.size}};
  auto put = [&](Attr name, const std::vector<int64_t> &v) {
    if (!v.empty()) a.set(name, v);
  };
  put(Attr::stride, o.stride), put(Attr::lo, o.lo), put(Attr::hi, o.hi), put(Attr::dilation, o.dilation);
  if (op == Op::avg_pool && o.count_pad) a.set(Attr::count_pad, true);
  return x.graph().make(op, {x}, std::move(a));
}
Value max_pool(Value x, const PoolOptions &o) { return pool(Op::max_pool, x, o); }
Value avg_pool(Value x, const PoolOptions &o) { return pool(Op::avg_pool, x, o); }

Value attention(Value q, Value k, Value v, const AttentionOptions &o) {
  Values x{q, k, v};
  if (o.mask) x.push_back(o.mask);
  Attrs a;
  if (o.causal) a.set(Attr::causal, true);
  if (o.scale) a.set(Attr::scale, *o.scale);
  return q.graph().make(Op::attention, std::move(x), std::move(a));
}

Value cross_entropy(Value logits, Value labels, std::optional<int64_t> ignored) {
  Attrs a;
  if (ignored) a.set(Attr::label, *ignored);
  return logits.graph().make(Op::cross_entropy, {logits, labels}, std::move(a));
}
Value mse(Value x, Value y) { return x.graph().make(Op::mse, {x, y}); }
Value bce_with_logits(Value x, Value t) { return x.graph().make(Op::bce_with_logits, {x, t}); }

Value dropout(Value x, Value seed, double rate, int64_t stream) {
  return x.graph().make(Op::dropout, {x, seed}, {{Attr::rate, rate}, {Attr::stream, stream}});
}
Value random(Op op, Value seed, Type type, int64_t stream) {
  return seed.graph().make(op, {seed},
                           {{Attr::dtype, type.dtype}, {Attr::shape, std::move(type.shape)}, {Attr::stream, stream}});
}

} // namespace trellis

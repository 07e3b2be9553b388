// Operators that mix the tokens of a sequence: linear attention, causal convolution with a carried state, and attention
// whose scores and probabilities bodies change.
#include "compiler/onnx/bodies.h"
#include "compiler/onnx/importer.h"
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

Value without_front(Value x) { return reshape(x, Shape(x.shape().begin() + 1, x.shape().end())); }

// --- LinearAttention ---

// One token: state [B, Hkv, dk, dv]; q [B, Hkv, group, dk], k [B, Hkv, 1, dk], v [B, Hkv, 1, dv], and, where the rule has
// them, decay [B, Hkv, dk or 1, 1] and beta [B, Hkv or 1, 1, 1]. Gives the next state and [B, Hkv, group, dv].
Values recur(Value state, const Values &x, bool gated, bool delta, double scale) {
  Value q = x[0], k = x[1], v = x[2];
  if (gated) state = state * exp(x[3]);
  if (delta) v = (v - dot(k, state)) * x.back();
  state = state + transpose(k) * v;
  return {state, dot(q, state) * scale};
}

Values linear_attention(Step &s) {
  std::string rule = s.s("update_rule", "gated_delta");
  bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  s.require(gated || delta || rule == "linear", fmt::format("rule {} is not supported", quote_name(rule)));
  s.require(s.has(4) == gated, fmt::format("rule '{}' {} a decay", rule, gated ? "needs" : "has no"));
  s.require(s.has(5) == delta, fmt::format("rule '{}' {} beta", rule, delta ? "needs" : "has no"));
  Value query = s.in(0);
  DType t = size_of(query.dtype()) < 4 ? DType::f32 : query.dtype(); // what the recurrence is computed in
  int64_t heads = s.need_i("q_num_heads"), kv = s.need_i("kv_num_heads");
  s.require(kv > 0 && heads > 0 && heads % kv == 0, fmt::format("{} query heads for {}", heads, kv));
  for (int i : {0, 1, 2}) {
    s.require(s.in(i).rank() == 3 && s.in(i).shape()[2].value() % (i ? kv : heads) == 0,
              fmt::format("operand {} is {}", i + 1, s.in(i).type().str()));
    for (size_t a : {0, 1})
      s.require(same(s.in(i).shape()[a], query.shape()[a]),
                fmt::format("operand {} is {}", i + 1, s.in(i).type().str()));
  }
  int64_t batch = query.shape()[0], steps = query.shape()[1];
  // [B, T, heads * d] as [T, B, heads, rows, columns].
  auto unpacked = [&](Value x, int64_t of, int64_t rows, int64_t columns) {
    s.require(x.type().size() == batch * steps * of * rows * columns, fmt::format("an operand is {}", x.type().str()));
    return permute(reshape(cast(x, t), {batch, steps, of, rows, columns}), {1, 0, 2, 3, 4});
  };
  int64_t dk = query.shape()[2].value() / heads, dv = s.in(2).shape()[2].value() / kv;
  Values x{unpacked(query, kv, heads / kv, dk), unpacked(s.in(1), kv, 1, dk), unpacked(s.in(2), kv, 1, dv)};
  s.require(!(gated && s.in(4).rank() == 0) && !(delta && s.in(5).rank() == 0), "decay and beta need an axis");
  if (gated) x.push_back(unpacked(s.in(4), kv, s.in(4).shape().back().value() == kv ? 1 : dk, 1));
  if (delta) x.push_back(unpacked(s.in(5), s.in(5).shape().back().value() == 1 ? 1 : kv, 1, 1));
  Type held{t, {batch, kv, dk, dv}};
  Value state = s.has(3) ? cast(s.in(3), t) : s.g.splat(held, 0);
  s.require(state.type() == held, fmt::format("the state is {}", state.type().str()));
  double scale = s.f("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(double(dk));
  Value out;
  if (steps == 1) {
    for (Value &v : x) v = without_front(v);
    Values y = recur(state, x, gated, delta, scale);
    state = y[0], out = reshape(y[1], {1, batch, kv, heads / kv, dv});
  } else {
    Values y = scan(s.importer, {state}, x,
                    [&](const Values &c, const Values &part) { return recur(c[0], part, gated, delta, scale); });
    state = y[0], out = y[1];
  }
  Value y = reshape(permute(out, {1, 0, 2, 3, 4}), {batch, steps, heads * dv});
  return {cast(y, query.dtype()), cast(state, s.has(3) ? s.in(3).dtype() : query.dtype())};
}

// --- CausalConvWithState ---

Values causal_conv(Step &s) {
  Value x = s.in(0), w = s.in(1);
  s.require(x.rank() == 3 && w.rank() == 3 && same(w.shape()[0], x.shape()[1]) && w.shape()[1].value() == 1 &&
                w.shape()[2].value() > 0,
            fmt::format("weights {} for {}", w.type().str(), x.type().str()));
  int64_t channels = x.shape()[1], before = w.shape()[2].value() - 1;
  Type held{x.dtype(), {x.shape()[0], channels, before}};
  Value past = s.has(3) ? s.in(3) : s.g.splat(held, 0);
  s.require(past.type() == held, fmt::format("the state is {}, but must be {}", past.type().str(), held.str()));
  Value all = before ? concat({past, x}, 2) : x;
  ConvOptions o;
  o.groups = channels;
  Value y = conv(all, w, o);
  if (s.has(2)) y = y + reshape(s.in(2), {1, channels, 1});
  std::string activation = s.s("activation", "none");
  s.require(activation == "none" || activation == "silu" || activation == "swish",
            fmt::format("activation {} is not supported", quote_name(activation)));
  int64_t end = all.shape()[2];
  return {activation == "none" ? y : silu(y), narrow(all, 2, end - before, end)};
}

// --- FlexAttention ---

// Query heads h / group share the key's and value's head.
Value shared_heads(Value x, int64_t group) {
  if (group == 1) return x;
  Shape s = x.shape(), wide{s[0], s[1], Dim(group), s[2], s[3]};
  return reshape(expand(reshape(x, {s[0], s[1], Dim(1), s[2], s[3]}), wide),
                 {s[0], Dim(s[1].value() * group), s[2], s[3]});
}

Value modified(Step &s, const char *name, Value x) {
  const AttributeProto *a = s.attr(name);
  if (!a) return x;
  s.require(a->has_g() && a->g().input_size() == 1 && a->g().output_size() == 1,
            fmt::format("'{}' must take one tensor and give one", name));
  Value y = s.importer.run_body(a->g(), Values{x})[0];
  s.require(y.type() == x.type(), fmt::format("'{}' gives {} for {}", name, y.type().str(), x.type().str()));
  return y;
}

Values flex_attention(Step &s) {
  Value q = s.in(0), k = s.in(1), v = s.in(2);
  s.require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "query, key and value need rank 4");
  int64_t heads = q.shape()[1], kv = k.shape()[1];
  s.require(kv > 0 && heads % kv == 0 && same(v.shape()[1], k.shape()[1]),
            fmt::format("{} query heads for {}", heads, kv));
  DType t = size_of(q.dtype()) < 4 ? DType::f32 : q.dtype();
  if (s.attr("softmax_precision")) t = s.dtype(s.need_i("softmax_precision"));
  s.require(is_float(t), "'softmax_precision' is no floating type");
  double scale = s.attr("scale") ? s.f("scale", 1) : 1 / std::sqrt(double(q.shape()[3].value()));
  k = shared_heads(k, heads / kv), v = shared_heads(v, heads / kv);
  if (!s.attr("score_mod") && !s.attr("prob_mod") && t == q.dtype()) {
    AttentionOptions o;
    o.scale = scale;
    return {attention(q, k, v, o)};
  }
  Value scores = modified(s, "score_mod", dot(cast(q, t), transpose(cast(k, t))) * scale);
  Value p = modified(s, "prob_mod", softmax(scores, -1));
  return {cast(dot(p, cast(v, t)), v.dtype())};
}

} // namespace

void add_mixing(Recipes &r) {
  r.on("LinearAttention", 27, linear_attention), r.on("CausalConvWithState", 27, causal_conv);
  r.on("FlexAttention", 1, flex_attention, "ai.onnx.preview");
}

} // namespace trellis::onnx

// Softmax and its kin, and the normalisations.
#include "compiler/onnx/importer.h"
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

// Before opset 13 softmax runs over all axes from 'axis' (default 1) on as one.
static Value flattened(Step &s, Value x, Value (*f)(Value, int64_t)) {
  if (s.version >= 13) return f(x, s.axis(s.i("axis", -1), x.rank()));
  int64_t axis = s.i("axis", 1), rows = 1;
  axis = axis == x.rank() ? axis : s.axis(axis, x.rank());
  if (axis == x.rank() - 1) return f(x, axis);
  for (int64_t k = 0; k < axis; ++k) rows *= x.shape()[size_t(k)].value();
  int64_t columns = 1;
  for (int64_t k = axis; k < x.rank(); ++k) columns *= x.shape()[size_t(k)].value();
  return reshape(f(reshape(x, {rows, columns}), 1), x.shape());
}
static Value hard_max(Value x, int64_t axis) {
  Value best = argmax(x, axis, true);
  return cast(eq(expand(best, x.shape()), iota(x.graph(), {DType::i64, x.shape()}, axis)), x.dtype());
}
static Values softmax_of(Step &s) { return {flattened(s, s.in(0), softmax)}; }
static Values log_softmax_of(Step &s) { return {flattened(s, s.in(0), log_softmax)}; }
static Values hardmax(Step &s) { return {flattened(s, s.in(0), hard_max)}; }

static Values batch_normalisation(Step &s) {
  Value x = s.in(0), scale = s.in(1), bias = s.in(2), mean = s.in(3), var = s.in(4);
  double epsilon = s.f("epsilon", 1e-5), momentum = s.f("momentum", 0.9);
  s.require(x.rank() >= 2, "needs rank 2 or more");
  s.require(s.version >= 9 || s.i("spatial", 1) != 0, "spatial=0 is not supported");
  auto fit = [&](Value v) { return cast(v, x.dtype()); };
  if (s.importer.trainable())
    return {batch_norm_inference(x, fit(scale), fit(bias), fit(mean), fit(var), epsilon, 1 - momentum), mean, var};
  if (s.version >= 14 && s.i("training_mode", 0)) {
    BatchNorm b = batch_norm(x, cast(scale, x.dtype()), cast(bias, x.dtype()), epsilon);
    auto follow = [&](Value old, Value now) { return old * momentum + cast(now, old.dtype()) * (1 - momentum); };
    return {b.y, follow(mean, b.mean), follow(var, b.var)};
  }
  Value y = batch_norm_inference(x, fit(scale), fit(bias), fit(mean), fit(var), epsilon, 1 - momentum);
  return {y};
}

static Values instance_normalisation(Step &s) {
  s.require(s.in(0).rank() >= 2 && s.in(1).rank() == 1, "needs rank 2 or more, and a scale a channel");
  return {instance_norm(s.in(0), s.in(1), s.in(2), s.f("epsilon", 1e-5))};
}

static Values group_normalisation(Step &s) {
  Value x = s.in(0), scale = s.in(1), bias = s.in(2);
  int64_t groups = s.need_i("num_groups");
  s.require(x.rank() >= 2 && groups > 0 && x.shape()[1].value() % groups == 0,
            "the channels do not divide into the groups");
  auto each = [&](Value v) { // version 18: one a group
    int64_t per = x.shape()[1].value() / groups;
    if (s.version >= 21 || v.type().size() != groups || per == 1) return cast(v, x.dtype());
    return cast(reshape(expand(reshape(v, {groups, 1}), {groups, per}), {groups * per}), x.dtype());
  };
  return {group_norm(x, each(scale), each(bias), groups, s.f("epsilon", 1e-5))};
}

static Shape trailing(Value x, int64_t axis) { return Shape(x.shape().begin() + axis, x.shape().end()); }

static Values layer_normalisation(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", -1), x.rank());
  double epsilon = s.f("epsilon", 1e-5);
  auto fit = [&](Value v) { return v ? broadcast_to(cast(v, x.dtype()), trailing(x, axis)) : v; };
  Values y{layer_norm(x, fit(s.in(1)), fit(s.opt(2)), axis, epsilon)};
  if (s.wants(1) || s.wants(2)) {
    Ints axes;
    for (int64_t k = axis; k < x.rank(); ++k) axes.push_back(k);
    Value wide = cast(x, DType::f32);
    y.push_back(mean(wide, axes, true));
    y.push_back(rsqrt(var(wide, axes, true) + epsilon));
  }
  return y;
}
static Values rms_normalisation(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", -1), x.rank());
  return {rms_norm(x, broadcast_to(cast(s.in(1), x.dtype()), trailing(x, axis)), axis, s.f("epsilon", 1e-5))};
}

static Values lp_normalisation(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", -1), x.rank()), p = s.i("p", 2);
  s.require(p == 1 || p == 2, "'p' must be 1 or 2");
  Value norm = p == 1 ? reduce_over(abs(x), "sum", {axis}, true) : sqrt(reduce_over(square(x), "sum", {axis}, true));
  return {select(eq(norm, 0), s.g.splat(x.type(), 0), x / norm)};
}

static Values mean_variance(Step &s) {
  Value x = s.in(0);
  Ints axes = s.axes(s.ints("axes", {0, 2, 3}), x.rank());
  std::sort(axes.begin(), axes.end());
  return {(x - mean(x, axes, true)) / (sqrt(var(x, axes, true)) + 1e-9)};
}

// x / (bias + alpha / size * sum over `size` channels of x^2)^beta.
static Values local_response(Step &s) {
  Value x = s.in(0);
  int64_t size = s.need_i("size");
  s.require(x.rank() >= 2 && size > 0 && size < 1 << 24, "'size' must be positive, and the rank 2 or more");
  Ints lo(size_t(x.rank()), 0), hi = lo, perm;
  lo[1] = (size - 1) / 2, hi[1] = size - 1 - lo[1];
  for (int k = 0; k < x.rank(); ++k)
    if (k != 1) perm.push_back(k);
  perm.push_back(1);
  Value w = window(permute(pad(square(x), lo, hi), perm), {size}, {1});
  Value sums = reduce_over(w, "sum", {w.rank() - 1});
  Ints back(size_t(x.rank()));
  for (size_t k = 0; k < perm.size(); ++k) back[size_t(perm[k])] = int64_t(k);
  Value base = permute(sums, back) * (s.f("alpha", 1e-4) / double(size)) + s.f("bias", 1);
  return {x / pow(base, s.g.splat(x.type(), s.f("beta", 0.75)))};
}

// --- attention (opset 23): q [B, H, M, D], or [B, M, H D] with the numbers of heads ---

static Value heads(Step &s, Value x, std::string_view attribute) {
  if (x.rank() != 3) return x;
  int64_t h = s.need_i(attribute);
  s.require(h > 0 && x.shape()[2].value() % h == 0, "the width does not divide into the heads");
  return permute(reshape(x, {x.shape()[0], x.shape()[1], h, x.shape()[2].value() / h}), {0, 2, 1, 3});
}
static Value repeat_heads(Value x, int64_t times) {
  if (times == 1) return x;
  Shape s = x.shape();
  return reshape(expand(reshape(x, {s[0], s[1], 1, s[2], s[3]}), {s[0], s[1], times, s[2], s[3]}),
                 {s[0], s[1].value() * times, s[2], s[3]});
}

static Values attention_of(Step &s) {
  bool flat = s.in(0).rank() == 3;
  Value q = heads(s, s.in(0), "q_num_heads"), k = heads(s, s.in(1), "kv_num_heads"),
        v = heads(s, s.in(2), "kv_num_heads");
  s.require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "queries, keys and values need rank 3 or 4");
  int64_t past = 0;
  s.require(!s.has(4) || (s.in(4).rank() == 4 && s.in(5).rank() == 4), "past keys and values need rank 4");
  if (s.has(4)) past = s.in(4).shape()[2], k = concat({s.in(4), k}, 2), v = concat({s.in(5), v}, 2);
  Value present_k = k, present_v = v;
  int64_t times = q.shape()[1].value() / std::max<int64_t>(k.shape()[1].value(), 1);
  s.require(times >= 1 && times * k.shape()[1].value() == q.shape()[1].value(),
            "the queries' heads are no multiple of the keys'");
  k = repeat_heads(k, times), v = repeat_heads(v, times);
  double scale = s.attr("scale") ? s.f("scale", 1) : 1 / std::sqrt(double(q.shape()[3].value()));
  double root = std::sqrt(scale);
  Value scores = dot(q * root, transpose(k * root)); // [B, H, M, N]
  Shape shape = scores.shape();
  Value bias;
  auto mask_out = [&](Value keep) {
    Value zero = s.g.splat({q.dtype(), keep.shape()}, 0);
    Value b = select(keep, zero, -INFINITY);
    bias = bias ? bias + b : b;
  };
  // Keys j that query i sees by its place p = i + offset, the number of keys before the first query.
  bool causal = s.i("is_causal", 0) != 0, by_length = !s.has(4) && s.has(6), hides = s.has(3) || s.has(6);
  int64_t left = s.version < 25 ? -1 : s.i("left_window_size", -1),
          right = s.version < 25 ? -1 : s.i("right_window_size", -1);
  s.require(left >= -1 && right >= -1, "a window's size is less than -1");
  if (causal || left >= 0 || right >= 0) {
    Type plane{DType::i64, {by_length ? shape[0] : Dim(1), 1, shape[2], shape[3]}};
    Value at = iota(s.g, plane, 2) + double(past), key = iota(s.g, plane, 3);
    if (by_length)
      at = at + expand(reshape(cast(s.in(6), DType::i64), {shape[0], 1, 1, 1}), plane.shape) - double(shape[2].value());
    if (causal) mask_out(le(key, at));
    if (left >= 0) mask_out(le(at - double(left), key));
    if (right >= 0) mask_out(le(key, at + double(right)));
    hides |= left >= 0 || right >= 0;
  }
  if (s.has(6)) { // lengths of padded keys
    Value length = reshape(s.in(6), {shape[0], 1, 1, 1});
    mask_out(lt(broadcast_to(iota(s.g, {DType::i64, {shape[3]}}, 0), {shape[0], 1, 1, shape[3]}),
                expand(length, {shape[0], 1, 1, shape[3]})));
  }
  if (s.has(3)) {
    Value mask = s.in(3);
    s.require(mask.rank() > 0, "the mask is a scalar");
    int64_t short_by = shape[3].value() - mask.shape().back().value();
    if (short_by > 0) { // a mask that is too short hides the keys behind it
      Ints lo(size_t(mask.rank()), 0), hi = lo;
      hi.back() = short_by;
      mask = pad(mask, lo, hi, {},
                 mask.dtype() == DType::boolean ? s.g.scalar(DType::boolean, 0) : s.g.scalar(mask.dtype(), -INFINITY));
    }
    if (mask.dtype() == DType::boolean)
      mask_out(mask);
    else
      bias = bias ? bias + cast(mask, q.dtype()) : cast(mask, q.dtype());
  }
  double cap = s.f("softcap", 0);
  int64_t mode = s.i("qk_matmul_output_mode", 0);
  Value capped = cap > 0 ? tanh(scores / cap) * cap : scores,
        biased = bias ? capped + broadcast_to(bias, shape) : capped;
  DType wide = s.attr("softmax_precision") ? s.dtype(s.i("softmax_precision", 1)) : q.dtype();
  Value p = cast(softmax(cast(biased, wide), 3), q.dtype());
  if (bias && hides) { // a query that sees no key gets zeros
    Value none = eq(reduce_over(broadcast_to(bias, shape), "max", {3}, true), -INFINITY);
    p = select(expand(none, shape), 0, p);
  }
  Value seen = mode == 0 ? scores : mode == 1 ? capped : mode == 2 ? biased : p;
  Value y = dot(p, v);
  if (flat) y = reshape(permute(y, {0, 2, 1, 3}), {shape[0], shape[2], y.shape()[1].value() * y.shape()[3].value()});
  return {y, present_k, present_v, seen};
}

void add_normalisation(Recipes &r) {
  r.on("Softmax", 1, softmax_of), r.on("LogSoftmax", 1, log_softmax_of), r.on("Hardmax", 1, hardmax);
  r.on("BatchNormalization", 1, batch_normalisation), r.on("InstanceNormalization", 1, instance_normalisation);
  r.on("GroupNormalization", 18, group_normalisation), r.on("LayerNormalization", 17, layer_normalisation);
  r.on("RMSNormalization", 23, rms_normalisation), r.on("LpNormalization", 1, lp_normalisation);
  r.on("MeanVarianceNormalization", 9, mean_variance), r.on("LRN", 1, local_response),
      r.on("Attention", 23, attention_of);
}

} // namespace trellis::onnx

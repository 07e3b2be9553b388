// Softmax and normalisations: expansions, and derivatives that read each tensor as few times as can be.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

// --- softmax ---

void infer_softmax(Infer &c) {
  c.attrs.set(Attr::axis, c.axis(c.attrs.i_or(Attr::axis, -1), c.x().rank()));
  c.result(c.x().dtype, c.x().shape);
}

Values expand_softmax(Expand e) {
  Value x = e.x[0];
  Ints axis{e.node.attrs.i(Attr::axis)};
  Value p = exp(x - expand(reduce_over(x, "max", axis, true), x.shape()));
  return {p / expand(reduce_over(p, "sum", axis, true), x.shape())};
}
// dx = y (dy - sum(dy y)).
Values vjp_softmax(Vjp v) {
  Value t = v.dy * v.y;
  Value s = reduce_over(t, "sum", {v.node.attrs.i(Attr::axis)}, true);
  return {t - v.y * expand(s, v.y.shape())};
}

Values expand_log_softmax(Expand e) {
  Value x = e.x[0];
  Ints axis{e.node.attrs.i(Attr::axis)};
  Value d = x - expand(reduce_over(x, "max", axis, true), x.shape());
  return {d - expand(log(reduce_over(exp(d), "sum", axis, true)), x.shape())};
}
// dx = dy - e^y sum(dy).
Values vjp_log_softmax(Vjp v) {
  Value s = reduce_over(v.dy, "sum", {v.node.attrs.i(Attr::axis)}, true);
  return {v.dy - exp(v.y) * expand(s, v.y.shape())};
}

// --- what the normalisations share ---

static double epsilon(const Node &n) { return n.attrs.get_or<double>(Attr::epsilon, 1e-5); }

static void canonical_epsilon(Infer &c) {
  double e = c.attrs.get_or<double>(Attr::epsilon, 1e-5);
  c.require(e >= 0, fmt::format("'epsilon' is {}, but must not be negative", e));
  if (e == 1e-5) c.attrs.erase(Attr::epsilon);
}

// c [C] repeated over the other axes of a tensor of shape `to`, whose axis 1 it runs along.
static Value channels(Value c, const Shape &to) {
  Shape s(to.size(), Dim(1));
  s[1] = to[1];
  return expand(reshape(c, s), to);
}
static Ints all_but_channels(int rank) {
  Ints out = axes_from(1, rank);
  out[0] = 0;
  return out;
}

// g is the cotangent of the normalised x (mean 0 and variance 1 over the axes); r the factor, 1 / deviation,
// of x's shape: dx = r (g - mean(g) - normal mean(g normal)).
static Value vjp_normal(Value normal, Value r, Value g, const Ints &axes, bool centred) {
  Value along = expand(mean_over(g * normal, axes, true), g.shape());
  Value d = g - normal * along;
  if (centred) d = d - expand(mean_over(g, axes, true), g.shape());
  return d * r;
}

// --- layer_norm(x, scale, bias), rms_norm(x, scale): over the axes from `axis` on ---

static int64_t infer_trailing(Infer &c) {
  int64_t axis = c.axis(c.attrs.i_or(Attr::axis, -1), c.x().rank());
  c.attrs.set(Attr::axis, axis);
  canonical_epsilon(c);
  Shape want(c.x().shape.begin() + axis, c.x().shape.end());
  for (size_t i = 1; i < c.operands.size(); ++i) {
    bool ok = c.x(i).shape.size() == want.size();
    for (size_t d = 0; ok && d < want.size(); ++d) ok = compatible(c.x(i).shape[d], want[d]);
    c.require(ok, fmt::format("operand {} is {}, but must be {}, as {} from axis {} on", i + 1, c.x(i).str(),
                              Type{c.x().dtype, want}.str(), c.x().str(), axis));
  }
  c.result(c.x().dtype, c.x().shape);
  return axis;
}
void infer_layer_norm(Infer &c) { infer_trailing(c); }

struct Normal {
  Value x, r; ///< normalised, and the factor of x's shape
};
static Normal centre(const Node &n, Value x) {
  Ints axes = axes_from(n.attrs.i(Attr::axis), x.rank());
  Value d = x - expand(mean_over(x, axes, true), x.shape());
  Value r = expand(rsqrt(mean_over(square(d), axes, true) + epsilon(n)), x.shape());
  return {d * r, r};
}
static Normal scale_to_one(const Node &n, Value x) {
  Ints axes = axes_from(n.attrs.i(Attr::axis), x.rank());
  Value r = expand(rsqrt(mean_over(square(x), axes, true) + epsilon(n)), x.shape());
  return {x * r, r};
}

static Values affine(Expand e, Normal z) {
  Value y = z.x;
  if (e.x.size() > 1) y = y * broadcast_to(e.x[1], y.shape());
  if (e.x.size() > 2) y = y + broadcast_to(e.x[2], y.shape());
  return {y};
}
static Values vjp_affine(Vjp v, Normal z, bool centred) {
  int64_t axis = v.node.attrs.i(Attr::axis);
  Value g = v.x.size() > 1 ? v.dy * broadcast_to(v.x[1], v.dy.shape()) : v.dy;
  Values out{vjp_normal(z.x, z.r, g, axes_from(axis, v.dy.rank()), centred)};
  if (v.x.size() > 1) out.push_back(sum_over(v.dy * z.x, axes_before(axis)));
  if (v.x.size() > 2) out.push_back(sum_over(v.dy, axes_before(axis)));
  return out;
}
Values expand_layer_norm(Expand e) { return affine(e, centre(e.node, e.x[0])); }
Values vjp_layer_norm(Vjp v) { return vjp_affine(v, centre(v.node, v.x[0]), true); }
Values expand_rms_norm(Expand e) { return affine(e, scale_to_one(e.node, e.x[0])); }
Values vjp_rms_norm(Vjp v) { return vjp_affine(v, scale_to_one(v.node, v.x[0]), false); }

// --- batch and group norm: x [N, C, ...], the others [C] ---

static void infer_channels(Infer &c) {
  c.require(c.x().rank() >= 2, fmt::format("{} must be [N, C, ...]", c.x().str()));
  canonical_epsilon(c);
  for (size_t i = 1; i < c.operands.size(); ++i)
    c.require(c.x(i).rank() == 1 && compatible(c.x(i).shape[0], c.x().shape[1]),
              fmt::format("operand {} is {}, but must be {}[{}]", i + 1, c.x(i).str(), name(c.x().dtype),
                          c.x().shape[1].str()));
  c.result(c.x().dtype, c.x().shape);
}
void infer_batch_norm(Infer &c) {
  infer_channels(c);
  for (int i = 0; i < 2; ++i) c.result(c.x().dtype, {c.x().shape[1]});
}
Values expand_batch_norm(Expand e) {
  Value x = e.x[0];
  Ints axes = all_but_channels(x.rank());
  Value m = mean_over(x, axes, false);
  Value d = x - channels(m, x.shape());
  Value var = mean_over(square(d), axes, false);
  Value r = channels(rsqrt(var + epsilon(e.node)), x.shape());
  return {d * r * channels(e.x[1], x.shape()) + channels(e.x[2], x.shape()), m, var};
}
Values vjp_batch_norm(Vjp v) {
  Value x = v.x[0], scale = v.x[1], m = v.node.result(1), var = v.node.result(2);
  Ints axes = all_but_channels(x.rank());
  Value d = x - channels(m, x.shape()), r = channels(rsqrt(var + epsilon(v.node)), x.shape());
  double n = double(x.type().size()) / double(std::max<int64_t>(x.shape()[1].value(), 1));
  Value dx, dscale, dbias;
  auto add = [&](Value part) { dx = dx ? dx + part : part; };
  if (v.dy) {
    Value normal = d * r;
    add(vjp_normal(normal, r, v.dy * channels(scale, x.shape()), axes, true));
    dscale = sum(v.dy * normal, axes), dbias = sum(v.dy, axes);
  }
  if (v.dys[1]) add(channels(v.dys[1] / n, x.shape()));
  if (v.dys[2]) add(channels(v.dys[2] * (2 / n), x.shape()) * d);
  return {dx, dscale, dbias};
}

void infer_batch_norm_inference(Infer &c) {
  infer_channels(c);
  double m = c.attrs.get_or<double>(Attr::momentum, 0.1);
  c.require(m >= 0 && m <= 1, fmt::format("'momentum' is {}, but must lie in [0, 1]", m));
  if (m == 0.1) c.attrs.erase(Attr::momentum);
}
Values expand_batch_norm_inference(Expand e) {
  const Shape &s = e.x[0].shape();
  Value factor = e.x[1] * rsqrt(e.x[4] + epsilon(e.node));
  return {(e.x[0] - channels(e.x[3], s)) * channels(factor, s) + channels(e.x[2], s)};
}

void infer_group_norm(Infer &c) {
  infer_channels(c);
  int64_t groups = c.attrs.i(Attr::groups);
  Dim channels = c.x().shape[1];
  c.require(groups > 0 && (!channels.is_static() || channels.value() % groups == 0),
            fmt::format("{} channels do not split into {} groups", channels.str(), groups));
}
Values expand_group_norm(Expand e) {
  Value x = e.x[0];
  const Shape &s = x.shape();
  int64_t groups = e.node.attrs.i(Attr::groups);
  Shape apart{s[0], groups, s[1].value() / groups};
  apart.insert(apart.end(), s.begin() + 2, s.end());
  Attrs a{{Attr::axis, int64_t(2)}, {Attr::epsilon, epsilon(e.node)}};
  Value z = reshape(e.graph().make(Op::layer_norm, {reshape(x, apart)}, std::move(a)), s);
  return {z * channels(e.x[1], s) + channels(e.x[2], s)};
}

} // namespace trellis::ops

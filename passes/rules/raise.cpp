// Named ops from what exporters write, in the canonical forms of `simplify`: differences are x + -y,
// broadcasts stand outside (expand(-reduce(x))), reductions keep their axes, constants are splats.
#include "ir/build.h"
#include "passes/rules/rules.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis {

namespace {
using Ints = std::vector<int64_t>;
namespace p = pattern;
const Pattern x = Pattern::variable(0), y = Pattern::variable(1), w = Pattern::variable(2);
const Pattern c = Pattern::constant(3);
const Pattern first = Pattern::variable(4), second = Pattern::variable(5), third = Pattern::variable(6),
              fourth = Pattern::variable(7);
constexpr auto inexact = Exactness::inexact;
constexpr auto floats = Domain::floats;

// Exporters round constants to the dtype of the model, and some write them short.
bool is_near(const Tensor &t, double number) {
  if (!is_float(t.dtype())) return false;
  double slack = t.dtype() == DType::bf16 ? 4e-3 : t.dtype() == DType::f16 ? 5e-4 : 1e-6;
  return std::abs(t.get(0) - number) <= slack * std::abs(number);
}
// Each place has its own constant, so none is bound to a variable that must agree with another.
template <double Number> Pattern near() {
  return Pattern::constant(-1, [](const Tensor &t) { return is_near(t, Number); });
}
constexpr double kRootHalf = 0.70710678118654752440, kRootTwo = 1.41421356237309504880;
constexpr double kRootTwoOverPi = 0.79788456080286535588, kGeluCubic = 0.044715;

Pattern sum(Pattern of) { return p::reduce(of).with({{Attr::kind, std::string("sum")}}); }
Pattern largest(Pattern of) { return p::reduce(of).with({{Attr::kind, std::string("max")}}); }
const Ints &axes_of(Value v) { return v.node->attrs.ints(Attr::axes); }
bool is_constant(Value v) {
  return v.node->op == Op::constant || splat_of(v) || (v.node->op == Op::expand && is_constant(v.node->operands[0]));
}

// --- means and norms ---

// sum / n or sum * (1 / n), n being the number of elements that are summed.
Value mean_of_sum(const Match &m) {
  double count = 1;
  for (int64_t a : axes_of(m[first])) count *= double(m[x].shape()[size_t(a)].value());
  const Tensor &t = *splat_of(m[c]);
  if (!is_near(t, m.root.node->op == Op::div ? count : 1 / count)) return {};
  Attrs a{{Attr::axes, axes_of(m[first])}};
  if (m[first].node->attrs.flag(Attr::keep)) a.set(Attr::keep, true);
  return m.graph().make(Op::mean, {m[x]}, std::move(a));
}

// All axes of `v`, a reduction of x, from the returned one on; -1: they are others, or not kept.
int64_t trailing_from(Value v, Value of) {
  Ints all = v.node->attrs.get_or<Ints>(Attr::axes, {});
  if (all.empty() || !v.node->attrs.flag(Attr::keep)) return -1;
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != of.rank() - int64_t(all.size()) + int64_t(i)) return -1;
  return all.front();
}
// first: the mean of x; second: the mean of the squared distances, or the variance of x; c: epsilon.
Value norm(const Match &m, Op op) {
  int64_t axis = trailing_from(m[second], m[x]);
  if (axis < 0 || (op == Op::layer_norm && trailing_from(m[first], m[x]) != axis)) return {};
  return m.graph().make(op, {m[x]}, {{Attr::axis, axis}, {Attr::epsilon, *splat_number(m[c])}});
}
Value to_layer_norm(const Match &m) { return norm(m, Op::layer_norm); }
Value to_rms_norm(const Match &m) { return norm(m, Op::rms_norm); }

// One more operand for the norm `first`: y, where it repeats along all axes before those of the norm.
Value affine(const Match &m) {
  const Node &n = *m[first].node;
  Value s = m[y].node->op == Op::expand ? m[y].node->operands[0] : m[y];
  const Shape &whole = m.root.shape(), &from = s.shape();
  size_t axis = size_t(n.attrs.i_or(Attr::axis, m.root.rank() - 1));
  for (size_t k = 0; k < whole.size(); ++k)
    if (from[k].value() != (k < axis ? 1 : whole[k].value())) return {};
  Values operands = n.operands;
  operands.push_back(reshape(s, Shape(whole.begin() + std::ptrdiff_t(axis), whole.end())));
  return m.graph().make(n.op, std::move(operands), n.attrs);
}

// --- softmax ---

// Every reduction that was found is over the same single axis, and kept.
Value along_one_axis(const Match &m, Op op) {
  int64_t axis = -1;
  for (const Pattern *place : {&first, &second}) {
    Value v = m[*place];
    if (!v) continue;
    if (axes_of(v).size() != 1 || !v.node->attrs.flag(Attr::keep) || (axis >= 0 && axes_of(v)[0] != axis)) return {};
    axis = axes_of(v)[0];
  }
  return m.graph().make(op, {m[x]}, {{Attr::axis, axis}});
}
Value to_softmax(const Match &m) { return along_one_axis(m, Op::softmax); }
Value to_log_softmax(const Match &m) { return along_one_axis(m, Op::log_softmax); }
Value log_of_softmax(const Match &m) { return m.graph().make(Op::log_softmax, {m[x]}, m[first].node->attrs); }
// Of x minus its largest element along the same axis: the same as of x.
Value shifted(const Match &m) {
  Value v = along_one_axis(m, m.root.node->op);
  return v && v.node->attrs == m.attrs() ? v : Value{};
}
Value to_logsumexp(const Match &m) {
  const Node &n = *m[second].node;
  if (axes_of(m[first]) != axes_of(m[second]) || !m[first].node->attrs.flag(Attr::keep) || !n.attrs.flag(Attr::keep))
    return {};
  return m.graph().make(Op::logsumexp, {m[x]}, {{Attr::axes, axes_of(m[first])}, {Attr::keep, true}});
}

// --- hard sigmoid and swish ---

Value hard_sigmoid(const Match &m, double slope) {
  Attrs a;
  if (!is_near(Tensor::scalar(DType::f32, slope), 1.0 / 6)) a.set(Attr::alpha, slope);
  return m.graph().make(Op::hard_sigmoid, {m[x]}, std::move(a));
}
Value sloped(const Match &m) { return hard_sigmoid(m, *splat_number(m[c])); }
Value sixth(const Match &m) { return hard_sigmoid(m, 1.0 / 6); }
Value to_hard_swish(const Match &m) {
  bool usual = !m[first] || !m[first].node->attrs.get_or<double>(Attr::alpha, 0);
  return usual ? m.graph().make(Op::hard_swish, {m[x]}) : Value{};
}

// --- attention ---

// Factors that stand on the queries or keys, through their transposition, taken off.
Value unscaled(Value v, double &scale) {
  static const Pattern product = x * c, quotient = x / c;
  if (v.node->op == Op::permute) {
    Value inner = unscaled(v.node->operands[0], scale);
    return inner.is(v.node->operands[0]) ? v : permute(inner, v.node->attrs.ints(Attr::perm));
  }
  Match m;
  if (match(product, v, m)) return scale *= *splat_number(m[c]), m[x];
  if (match(quotient, v, m)) return scale /= *splat_number(m[c]), m[x];
  return v;
}

// Visible where i >= j: a constant with one row a query, of any leading extents of 1.
bool is_causal(Value mask) {
  if (mask.node->op != Op::constant) return false;
  const Tensor &t = mask.node->attrs.get<Tensor>(Attr::value);
  int64_t r = t.rank(), rows = r < 2 ? 0 : t.dims()[size_t(r - 2)], cols = r < 2 ? 0 : t.dims()[size_t(r - 1)];
  if (rows < 2 || rows != cols || t.size() != rows * cols) return false;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) {
      bool visible = j <= i;
      if (t.dtype() == DType::boolean ? (t.get_int(i * cols + j) != 0) != visible
                                      : t.get(i * cols + j) != (visible ? 0 : -INFINITY))
        return false;
    }
  return true;
}

// dot(softmax(scale * dot(q, k') + mask), v). The mask is added, or selects between the scores and -inf.
Value to_attention(const Match &m) {
  Value scores = m[x];
  if (m[first].node->attrs.i_or(Attr::axis, scores.rank() - 1) != scores.rank() - 1) return {};
  static const Pattern added = x + y, chosen = p::select(x, y, -INFINITY), product = p::dot(x, y), scaled = product * c,
                       divided = product / c;
  Match s;
  Value mask;
  double scale = 1;
  auto find_product = [&](Value v) {
    if (match(product, v, s)) return true;
    if (match(scaled, v, s)) {
      scale = *splat_number(s[c]);
      return true;
    }
    if (match(divided, v, s)) {
      scale = 1 / *splat_number(s[c]);
      return true;
    }
    return false;
  };
  if (!find_product(scores)) {
    if (match(chosen, scores, s)) {
      mask = s[x];
      if (!find_product(Value(s[y]))) return {};
    } else {
      if (!match(added, scores, s)) return {};
      Value a = s[x], b = s[y];
      if (find_product(a))
        mask = b;
      else if (find_product(b))
        mask = a;
      else
        return {};
    }
  }
  Value q = unscaled(s[x], scale), k = transpose(unscaled(s[y], scale));
  Attrs a;
  a.set(Attr::scale, scale);
  Values operands{q, k, m[y]};
  if (mask) {
    if (mask.node->op == Op::expand) mask = mask.node->operands[0];
    if (is_causal(mask))
      a.set(Attr::causal, true);
    else
      operands.push_back(mask);
  }
  return m.graph().make(Op::attention, std::move(operands), std::move(a));
}

// --- batch normalisation of a convolution with constant weights ---

Value per_channel(Value v, const Shape &like) {
  Shape s(like.size(), Dim(1));
  s[1] = like[1];
  return expand(reshape(v, s), like);
}
// (conv + b) scale + shift = conv scale + (b scale + shift); the next rule moves the scale into the weights.
Value scale_and_shift(const Match &m) {
  const Values &v = m.root.node->operands; // x, scale, bias, mean, variance
  for (size_t i = 1; i < v.size(); ++i)
    if (!is_constant(v[i])) return {};
  Match sum;
  static const Pattern product = p::conv(x, w).as(first), biased = product + third;
  if (!match(product, v[0], sum) && !match(biased, v[0], sum)) return {};
  Value bias = sum[third];
  if (!is_constant(sum[w]) || (bias && !is_constant(bias))) return {};
  double epsilon = m.attrs().get_or<double>(Attr::epsilon, 1e-5);
  Value scale = v[1] / sqrt(v[4] + epsilon), shift = v[2] + -(v[3] * scale);
  scale = per_channel(scale, m.root.shape()), shift = per_channel(shift, m.root.shape());
  return sum[first] * scale + (bias ? bias * scale + shift : shift);
}
// (conv(x, w) + b) * y = conv(x, w * y) + b * y for what is constant and the same at every position of a
// channel.
Value conv_scale(const Match &m) {
  Value factor = m[y], bias = m[third];
  if (!is_constant(m[w]) || !is_constant(factor) || (bias && !is_constant(bias))) return {};
  if (factor.node->op != Op::expand) return {};
  const Shape &from = factor.node->operands[0].shape();
  for (size_t k = 0; k < from.size(); ++k)
    if (k != 1 && from[k].value() != 1) return {};
  Shape channels(size_t(m.root.rank()), Dim(1));
  channels[0] = m[w].shape()[0];
  Value per_output = factor.node->operands[0];
  per_output = from[1].value() == 1 ? expand(per_output, channels) : reshape(per_output, channels);
  Value v = m.graph().make(Op::conv, {m[x], m[w] * per_output}, m[first].node->attrs);
  return bias ? v + bias * factor : v;
}

void add(std::vector<Rule> &rules, std::string name, std::vector<Pattern> spellings, Right right) {
  for (size_t i = 0; i < spellings.size(); ++i)
    rules.push_back({fmt::format("{}-{}", name, i + 1), std::move(spellings[i]), right, inexact, floats});
}
// `a` divided by the root of `square`, in three spellings.
std::vector<Pattern> over_root(const Pattern &a, const Pattern &square) {
  return {a / p::expand(p::sqrt(square)), a * p::expand(1 / p::sqrt(square)), a * p::expand(p::rsqrt(square))};
}
// Half of x times `d`; exporters put the half in three places.
std::vector<Pattern> half_of_x_times(const Pattern &d) { return {(x * d) * 0.5, (x * 0.5) * d, x * (d * 0.5)}; }
} // namespace

const RuleSet &raise_rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> r = {
        // 1 / (1 + e^-x)
        {"sigmoid", 1 / (p::exp(x) + 1), p::sigmoid(-x), inexact, floats},
        {"silu", x * p::sigmoid(x), p::silu(x), inexact, floats},
        {"silu-div", x / (p::exp(-x) + 1), p::silu(x), inexact, floats},
        // log(1 + e^x)
        {"softplus", p::log(p::exp(x) + 1), p::softplus(x), inexact, floats},
        {"softplus-log1p", p::log1p(p::exp(x)), p::softplus(x), inexact, floats},
        {"relu", p::max(x, 0), p::relu(x), Exactness::exact, Domain::any,
         [](const Match &m) { return m.root.dtype() != DType::boolean; }},

        {"mean-div", sum(x).as(first) / c, mean_of_sum, inexact, floats},
        {"mean-mul", sum(x).as(first) * c, mean_of_sum, inexact, floats},
    };

    // (x - mean(x)) / sqrt(variance + epsilon), divided or times the inverse
    const Pattern distance = x + p::expand(-p::mean(x).as(first));
    const Pattern spread[] = {p::mean(distance * distance).as(second), p::mean(p::pow(distance, 2)).as(second),
                              p::var(x).as(second)};
    for (size_t i = 0; i < std::size(spread); ++i)
      add(r, fmt::format("layer-norm-{}", i + 1), over_root(distance, spread[i] + c), to_layer_norm);
    r.push_back({"layer-norm-scale", p::layer_norm(x).as(first) * y, affine, inexact, floats});
    r.push_back({"layer-norm-bias", p::layer_norm(x, w).as(first) + y, affine, inexact, floats});

    // x / sqrt(mean of squares + epsilon)
    add(r, "rms-norm-mul", over_root(x, p::mean(x * x).as(second) + c), to_rms_norm);
    add(r, "rms-norm-pow", over_root(x, p::mean(p::pow(x, 2)).as(second) + c), to_rms_norm);
    r.push_back({"rms-norm-scale", p::rms_norm(x).as(first) * y, affine, inexact, floats});

    // e^x / sum e^x; a largest element that is subtracted first changes nothing
    const Pattern power = p::exp(x);
    r.push_back({"softmax", power / p::expand(sum(power).as(first)), to_softmax, inexact, floats});
    r.push_back({"softmax-inverse", power * p::expand(1 / sum(power).as(first)), to_softmax, inexact, floats});
    const Pattern below = x + p::expand(-largest(x).as(first));
    r.push_back({"softmax-shift", p::softmax(below), shifted, inexact, floats});
    r.push_back({"log-softmax-shift", p::log_softmax(below), shifted, inexact, floats});
    r.push_back(
        {"logsumexp", p::log(sum(p::exp(below)).as(second)) + largest(x).as(first), to_logsumexp, inexact, floats});
    r.push_back({"log-of-softmax", p::log(p::softmax(x).as(first)), log_of_softmax, inexact, floats});
    r.push_back({"log-softmax", x + p::expand(-p::log(sum(power).as(first))), to_log_softmax, inexact, floats});
    r.push_back({"log-softmax-lse", x + p::expand(-p::logsumexp(x).as(first)), to_log_softmax, inexact, floats});

    r.push_back({"attention", p::dot(p::softmax(x).as(first), y), to_attention, inexact, floats});

    // c x + 1/2 between 0 and 1, or (x + 3) between 0 and 6, over 6; times x the swish
    const Pattern line = x * c + 0.5, six = p::min(p::relu(x + 3), 6), sixth_of = near<1.0 / 6>();
    add(r, "hard-sigmoid", {p::min(p::relu(line), 1), p::relu(p::min(line, 1))}, sloped);
    add(r, "hard-sigmoid-six", {six / 6, six * sixth_of}, sixth);
    add(r, "hard-swish", {x * p::hard_sigmoid(x).as(first), (x * six) / 6, (x * six) * sixth_of}, to_hard_swish);

    const Pattern product = p::conv(x, w).as(first);
    r.push_back({"batch-norm", p::batch_norm_inference(x, y, w, third, fourth), scale_and_shift, inexact, floats});
    r.push_back({"conv-scale", product * y, conv_scale, inexact, floats});
    r.push_back({"conv-bias-scale", (product + third) * y, conv_scale, inexact, floats});

    // x (1 + erf(x / sqrt 2)) / 2
    const Pattern gelu(Op::gelu, {x}), gelu_tanh(Op::gelu_tanh, {x});
    add(r, "gelu-mul", half_of_x_times(p::erf(x * near<kRootHalf>()) + 1), gelu);
    add(r, "gelu-div", half_of_x_times(p::erf(x / near<kRootTwo>()) + 1), gelu);
    // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
    const Pattern a = near<kGeluCubic>(), root = near<kRootTwoOverPi>();
    const Pattern inside[] = {(x + p::pow(x, 3) * a) * root,  (x + ((x * x) * x) * a) * root,
                              (x + (x * a) * (x * x)) * root, (x * root) * ((x * a) * x + 1),
                              (x * root) * ((x * x) * a + 1), x * (((x * x) * a + 1) * root)};
    for (size_t i = 0; i < std::size(inside); ++i)
      add(r, fmt::format("gelu-tanh-{}", i + 1), half_of_x_times(p::tanh(inside[i]) + 1), gelu_tanh);
    return r;
  }();
  static const RuleSet set{&rules};
  return set;
}

} // namespace trellis

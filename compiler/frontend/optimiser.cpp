#include "compiler/frontend/optimiser.h"
#include "compiler/frontend/spec.h"
#include <fmt/format.h>
#include <limits>

namespace trellis {

using Kind = OptimiserOptions::Kind;

std::string_view name(Kind kind) {
  static constexpr std::string_view kNames[] = {"sgd", "adam", "adamw", "rmsprop"};
  return kNames[size_t(kind)];
}

OptimiserOptions parse_optimiser(std::string_view text) {
  KeyValueSpec spec(text, "optimiser");
  OptimiserOptions o;
  if (spec.name() == "sgd")
    o.kind = Kind::sgd;
  else if (spec.name() == "adam")
    o.kind = Kind::adam;
  else if (spec.name() == "adamw")
    o.kind = Kind::adamw;
  else if (spec.name() == "rmsprop")
    o.kind = Kind::rmsprop;
  else
    spec.fail(fmt::format("'{}' is unknown: give sgd, adam, adamw or rmsprop", spec.name()));
  bool adam = o.kind == Kind::adam || o.kind == Kind::adamw;
  constexpr double kBelowOne = 1 - 0x1p-53, kMost = std::numeric_limits<double>::max();
  o.lr = spec.number("lr", adam ? 0.001 : 0.01, 0, kMost);
  if (adam) {
    o.beta1 = spec.number("beta1", o.beta1, 0, kBelowOne);
    o.beta2 = spec.number("beta2", o.beta2, 0, kBelowOne);
  } else
    o.momentum = spec.number("momentum", 0, 0, kMost);
  if (o.kind == Kind::sgd) {
    o.nesterov = spec.flag("nesterov", false);
    if (o.nesterov && o.momentum == 0) spec.fail("nesterov=true needs a momentum");
  } else
    o.eps = spec.number("eps", o.eps, 0, kMost);
  if (o.kind == Kind::rmsprop) {
    o.alpha = spec.number("alpha", o.alpha, 0, 1);
    o.centered = spec.flag("centered", false);
  }
  o.weight_decay = spec.number("weight_decay", o.kind == Kind::adamw ? 0.01 : 0, 0, kMost);
  o.clip = spec.number("clip", 0, 0, kMost);
  o.schedule = parse_schedule(spec);
  spec.finish();
  return o;
}

namespace {

Value square_root(Value x) { return elementwise(Op::sqrt, {x}); }

class Emitter {
public:
  Emitter(const OptimiserOptions &o, Graph &g) : o_(o), g_(g), prefix_(name(o.kind)) {
    if (!o.schedule.fixed()) {
      Value step = scalar_state("step");
      update(step, step + 1);
      lr_ = learning_rate(o.schedule, o.lr, step);
    }
    if (o.kind != Kind::adam && o.kind != Kind::adamw) return;
    Value c1 = correction("c1", o.beta1), c2 = correction("c2", o.beta2);
    rate1_ = rate(DType::f64) / c1;
    root2_ = 1 / square_root(c2);
  }

  void step(Value param, Value grad) {
    DType dtype = param.dtype() == DType::f64 ? DType::f64 : DType::f32;
    Value p = cast(param, dtype), g = cast(grad, dtype);
    param_ = param;
    if (o_.weight_decay != 0 && o_.kind != Kind::adamw) g = g + p * o_.weight_decay;
    Value next;
    switch (o_.kind) {
    case Kind::sgd: next = p - rate(dtype) * sgd(g); break;
    case Kind::rmsprop: next = p - rate(dtype) * rmsprop(g); break;
    case Kind::adamw:
      if (o_.weight_decay != 0) p = decay(dtype) * p;
      [[fallthrough]];
    case Kind::adam: next = p - cast(rate1_, dtype) * adam(g); break;
    }
    update(param, cast(next, param.dtype()));
  }

private:
  Operand rate(DType dtype) { return lr_ ? Operand(cast(lr_, dtype)) : Operand(o_.lr); }
  Operand decay(DType dtype) {
    return lr_ ? Operand(cast(1 - lr_ * o_.weight_decay, dtype)) : Operand(1 - o_.lr * o_.weight_decay);
  }
  void update(Value state, Value next) { g_.updates.push_back({state, next}); }

  Value scalar_state(std::string_view what) {
    return g_.input(fmt::format("{}.{}", prefix_, what), {DType::f64, {}}, "state", "zero");
  }
  Value correction(std::string_view what, double beta) {
    Value c = scalar_state(what), next = c + (1 - c) * (1 - beta);
    update(c, next);
    return next;
  }
  /// A running value of the parameter: state s, next = make(s).
  template <class F> Value running(std::string_view what, Value like, F make) {
    Value s = g_.input(fmt::format("{}.{}.{}", prefix_, what, g_.name_of(param_)), like.type(), "state", "zero");
    Value next = make(s);
    update(s, next);
    return next;
  }

  Value sgd(Value g) {
    if (o_.momentum == 0) return g;
    Value b = running("b", g, [&](Value b) { return b * o_.momentum + g; });
    return o_.nesterov ? g + b * o_.momentum : b;
  }
  Value adam(Value g) {
    Value m = running("m", g, [&](Value m) { return m * o_.beta1 + g * (1 - o_.beta1); });
    Value v = running("v", g, [&](Value v) { return v * o_.beta2 + g * g * (1 - o_.beta2); });
    return m / (square_root(v) * cast(root2_, g.dtype()) + o_.eps);
  }
  Value rmsprop(Value g) {
    Value s = running("s", g, [&](Value s) { return s * o_.alpha + g * g * (1 - o_.alpha); });
    if (o_.centered) {
      Value a = running("a", g, [&](Value a) { return a * o_.alpha + g * (1 - o_.alpha); });
      s = s - a * a;
    }
    Value d = g / (square_root(s) + o_.eps);
    return o_.momentum == 0 ? d : running("b", g, [&](Value b) { return b * o_.momentum + d; });
  }

  const OptimiserOptions &o_;
  Graph &g_;
  std::string prefix_;
  Value lr_, rate1_, root2_, param_; ///< lr_ is null where the rate is fixed
};

// min(1, c / (norm + 1e-6)), the norm over all gradients, as torch's clip_grad_norm_.
Values clipped(const Values &gradients, double c) {
  Value squares;
  for (Value g : gradients) {
    if (!g) continue;
    Value wide = cast(g, g.dtype() == DType::f64 ? DType::f64 : DType::f32);
    Value s = cast(sum(wide * wide), DType::f64);
    squares = squares ? squares + s : s;
  }
  if (!squares) return gradients;
  Value scale = min(elementwise(Op::div, {c, square_root(squares) + 1e-6}), 1);
  Values out;
  for (Value g : gradients) out.push_back(g ? g * cast(scale, g.dtype()) : g);
  return out;
}

} // namespace

void add_optimiser(const OptimiserOptions &o, const Values &params, const Values &gradients) {
  TRELLIS_CHECK(params.size() == gradients.size(), "a gradient for each parameter");
  if (params.empty()) return;
  Values g = o.clip > 0 ? clipped(gradients, o.clip) : gradients;
  Emitter emitter(o, params[0].graph());
  for (size_t i = 0; i < params.size(); ++i)
    if (g[i]) emitter.step(params[i], g[i]);
}

} // namespace trellis

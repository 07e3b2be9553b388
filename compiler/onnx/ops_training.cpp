// ai.onnx.preview.training: gradients of a value that the graph computes, and optimisers: R (rate), T (steps done), then per
// tensor X..., G..., and their states.
#include "compiler/onnx/importer.h"
#include "passes/autodiff.h"
#include <fmt/format.h>

namespace trellis::onnx {

// How many tensors there are, each with `lists` operands.
static int tensors(Step &s, int lists) {
  int n = (s.inputs() - 2) / lists;
  s.require(n > 0 && 2 + n * lists == s.inputs(), fmt::format("{} operands", s.inputs()));
  return n;
}

static Values adagrad(Step &s) {
  int n = tensors(s, 3);
  Values xs, hs;
  for (int k = 0; k < n; ++k) {
    Value x = s.in(2 + k), g = s.in(2 + n + k), h = s.in(2 + 2 * n + k);
    Value rate = s.in(0) / (cast(s.in(1), x.dtype()) * s.f("decay_factor", 0) + 1);
    g = x * s.f("norm_coefficient", 0) + g, h = h + square(g);
    xs.push_back(x - rate * g / (sqrt(h) + s.f("epsilon", 1e-6))), hs.push_back(h);
  }
  xs.insert(xs.end(), hs.begin(), hs.end());
  return xs;
}

static Values momentum(Step &s) {
  int n = tensors(s, 3);
  double alpha = s.f("alpha", 0), beta = s.f("beta", 0);
  Values xs, vs;
  for (int k = 0; k < n; ++k) {
    Value x = s.in(2 + k), g = s.in(2 + n + k), v = s.in(2 + 2 * n + k);
    g = x * s.f("norm_coefficient", 0) + g;
    Value factor = select(lt(0, s.in(1)), s.g.scalar(x.dtype(), beta), 1); // the first step takes the whole gradient
    v = v * alpha + factor * g;
    xs.push_back(x - s.in(0) * (s.s("mode", "standard") == "nesterov" ? g + v * alpha : v)), vs.push_back(v);
  }
  xs.insert(xs.end(), vs.begin(), vs.end());
  return xs;
}

static Values adam(Step &s) {
  int n = tensors(s, 4);
  double alpha = s.f("alpha", 0.9), beta = s.f("beta", 0.999);
  Values xs, vs, hs;
  for (int k = 0; k < n; ++k) {
    Value x = s.in(2 + k), g = s.in(2 + n + k), v = s.in(2 + 2 * n + k), h = s.in(2 + 3 * n + k);
    g = x * s.f("norm_coefficient", 0) + g;
    v = v * alpha + g * (1 - alpha), h = h * beta + square(g) * (1 - beta);
    Value t = cast(s.in(1), x.dtype());
    auto rest = [&](double decay) { return 1.0 - pow(s.g.splat(t.type(), decay), t); };
    Value first = lt(0, s.in(1)), rate = select(first, s.in(0) * sqrt(rest(beta)) / rest(alpha), s.in(0));
    xs.push_back((x - rate * v / (sqrt(h) + s.f("epsilon", 1e-6))) * (1 - s.f("norm_coefficient_post", 0)));
    vs.push_back(v), hs.push_back(h);
  }
  xs.insert(xs.end(), vs.begin(), vs.end()), xs.insert(xs.end(), hs.begin(), hs.end());
  return xs;
}

// Of 'y' with respect to each of 'xs', at the values that the operands give them and 'zs'. Of several elements: of their sum.
static Values gradient(Step &s) {
  const AttributeProto *xs = s.attr("xs"), *zs = s.attr("zs");
  s.require(xs && xs->strings_size() > 0, "attribute 'xs' is missing");
  std::vector<std::string> names(xs->strings().begin(), xs->strings().end());
  size_t count = names.size();
  if (zs) names.insert(names.end(), zs->strings().begin(), zs->strings().end());
  s.require(size_t(s.inputs()) == names.size(), fmt::format("{} operands for {} names", s.inputs(), names.size()));
  auto named = [&](const std::string &name) {
    Value v = s.importer.named(name);
    s.require(bool(v), fmt::format("{} is no tensor of the graph", quote_name(name)));
    return v;
  };
  Value y = named(s.s("y", ""));
  s.require(is_float(y.dtype()),
            fmt::format("{} is {}, which has no derivative", quote_name(s.s("y", "")), y.type().str()));
  // Other values than the graph's own: the part of the graph up to them once more.
  ValueMap map;
  Values at;
  bool same_values = true;
  for (size_t k = 0; k < names.size(); ++k) {
    Value x = named(names[k]), given = s.in(int(k));
    s.require(x.type() == given.type(),
              fmt::format("{} is {}, but {} is given", quote_name(names[k]), x.type().str(), given.type().str()));
    same_values &= x.is(given);
    Values &all = map[x.node];
    if (all.empty())
      for (uint32_t i = 0; i < x.node->types.size(); ++i) all.push_back(x.node->result(i));
    all[x.index] = given;
    if (k < count) at.push_back(given);
  }
  if (!same_values) y = copy_into(s.g, y, map);
  for (size_t k = 0; k < count; ++k) {
    s.require(is_float(at[k].dtype()),
              fmt::format("{} is {}, which has no derivative", quote_name(names[k]), at[k].type().str()));
    check_differentiable(y, at[k]);
  }
  Values dy = gradients(y, at, s.g.splat(y.type(), 1));
  for (size_t k = 0; k < count; ++k) dy[k] = dense(dy[k], at[k]);
  return dy;
}

void add_training(Recipes &r) {
  constexpr const char *kDomain = "ai.onnx.preview.training";
  r.on("Adagrad", 1, adagrad, kDomain), r.on("Momentum", 1, momentum, kDomain), r.on("Adam", 1, adam, kDomain);
  r.on("Gradient", 1, gradient, kDomain);
}

} // namespace trellis::onnx

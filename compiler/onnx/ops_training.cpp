// Optimisers of ai.onnx.preview.training: R (rate), T (steps done), then per tensor X..., G..., and their states.
#include "compiler/onnx/recipe.h"
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

void add_training(Recipes &r) {
  constexpr const char *kDomain = "ai.onnx.preview.training";
  r.on("Adagrad", 1, adagrad, kDomain), r.on("Momentum", 1, momentum, kDomain), r.on("Adam", 1, adam, kDomain);
}

} // namespace trellis::onnx

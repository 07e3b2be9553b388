// Optimisers as graphs: a parameter, its gradient and optimiser state in, their successors out.
//
// g is the gradient, lr the rate of the step (schedule.h), c1 = 1 - beta1^t and c2 = 1 - beta2^t:
//   sgd      g += weight_decay p;  b = momentum b + g;  p -= lr (nesterov ? g + momentum b : b)
//   adam     g += weight_decay p;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//            p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)
//   adamw    adam, but p -= lr weight_decay p instead of g += ...
//   rmsprop  g += weight_decay p;  s = alpha s + (1 - alpha) g^2;  d = g / (sqrt(s) + eps), with centered
//            s - a^2 for s, a = alpha a + (1 - alpha) g;  with momentum b = momentum b + d, d = b;  p -= lr d
// as torch defines them. clip=c first scales all gradients together to a norm of at most c.
//
// State: "adam.m.PARAM" and the like, zero at first, in the parameter's dtype (f16 and bf16: f32, and the
// update is computed in f32). Scalars are f64: "adam.c1" holds 1 - beta1^t by c += (1 - beta1) (1 - c), which
// neither cancels nor drifts; "NAME.step" counts steps where the schedule needs them.
#pragma once
#include "compiler/frontend/schedule.h"
#include <string>

namespace trellis {

struct OptimiserOptions {
  enum class Kind { sgd, adam, adamw, rmsprop } kind = Kind::sgd;
  double lr = 0.01, weight_decay = 0, eps = 1e-8, clip = 0; ///< clip 0: none
  double momentum = 0;                                      ///< sgd, rmsprop
  bool nesterov = false;                                    ///< sgd
  double beta1 = 0.9, beta2 = 0.999;                        ///< adam, adamw
  double alpha = 0.99;                                      ///< rmsprop
  bool centered = false;                                    ///< rmsprop
  Schedule schedule;
};

/// "adam", "sgd:lr=0.01,momentum=0.9", "adamw:lr=0.001,schedule=cosine,steps=1000,warmup=100". Defaults are
/// torch's (lr: sgd and rmsprop 0.01, adam and adamw 0.001; adamw weight_decay 0.01).
OptimiserOptions parse_optimiser(std::string_view text);
std::string_view name(OptimiserOptions::Kind kind);

/// Adds the state inputs and the updates of `params` and state to their graph. `gradients[i]` belongs to
/// `params[i]`; a null one leaves its parameter as it is.
void add_optimiser(const OptimiserOptions &o, const Values &params, const Values &gradients);

} // namespace trellis

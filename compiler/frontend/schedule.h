// Learning rates that change with the step, as values of the graph.
#pragma once
#include "ir/build.h"
#include <cstdint>

namespace trellis {

class KeyValueSpec;

/// The rate at step t = 0, 1, ..., after `warmup` steps that rise linearly (t + 1) / warmup. With u = t -
/// warmup:
///   constant: lr
///   step:     lr * gamma ^ floor(u / every)
///   cosine:   low + (lr - low) (1 + cos(pi min(u, n) / n)) / 2,  n = steps - warmup
struct Schedule {
  enum class Kind { constant, step, cosine } kind = Kind::constant;
  int64_t warmup = 0, every = 1, steps = 1;
  double gamma = 0.1, low = 0;
  bool fixed() const { return kind == Kind::constant && warmup == 0; }
};

/// Reads the keys schedule, warmup, every, gamma, steps, min_lr.
Schedule parse_schedule(KeyValueSpec &spec);

/// The rate as an f64 scalar; `step` is an f64 scalar that counts from 0.
Value learning_rate(const Schedule &s, double lr, Value step);
/// The same, outside the graph.
double learning_rate(const Schedule &s, double lr, int64_t step);

} // namespace trellis

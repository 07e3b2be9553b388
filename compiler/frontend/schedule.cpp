#include "compiler/frontend/schedule.h"
#include "compiler/frontend/spec.h"
#include <cmath>
#include <numbers>

namespace trellis {

Schedule parse_schedule(KeyValueSpec &spec) {
  Schedule s;
  auto count = [&](std::string_view key, double otherwise, double low) {
    double v = spec.number(key, otherwise, low, 1e15);
    if (v != std::floor(v)) spec.fail(std::string(key) + " must be a whole number");
    return int64_t(v);
  };
  std::string kind = spec.word("schedule", {"constant", "step", "cosine"});
  s.warmup = count("warmup", 0, 0);
  if (kind == "step") {
    s.kind = Schedule::Kind::step;
    if (!spec.has("every")) spec.fail("schedule=step needs every=STEPS");
    s.every = count("every", 1, 1);
    s.gamma = spec.number("gamma", 0.1, 0, 1e6);
  } else if (kind == "cosine") {
    s.kind = Schedule::Kind::cosine;
    if (!spec.has("steps")) spec.fail("schedule=cosine needs steps=STEPS");
    s.steps = count("steps", 1, 1);
    s.low = spec.number("min_lr", 0, 0, 1e6);
    if (s.steps <= s.warmup) spec.fail("steps must be above warmup");
  }
  return s;
}

Value learning_rate(const Schedule &s, double lr, Value step) {
  Graph &g = step.graph();
  auto unary = [](Op op, Value x) { return elementwise(op, {x}); };
  Value u = max(step - double(s.warmup), 0);
  Value rate = g.scalar(DType::f64, lr);
  if (s.kind == Schedule::Kind::step)
    rate = elementwise(g, Op::pow, {s.gamma, unary(Op::floor, u / double(s.every))}) * lr;
  if (s.kind == Schedule::Kind::cosine) {
    double n = double(s.steps - s.warmup);
    rate = (unary(Op::cos, min(u, n) * (std::numbers::pi / n)) + 1) * ((lr - s.low) / 2) + s.low;
  }
  if (s.warmup == 0) return rate;
  return rate * min((step + 1) / double(s.warmup), 1);
}

double learning_rate(const Schedule &s, double lr, int64_t step) {
  double u = double(std::max<int64_t>(step - s.warmup, 0)), rate = lr;
  if (s.kind == Schedule::Kind::step) rate = lr * std::pow(s.gamma, std::floor(u / double(s.every)));
  if (s.kind == Schedule::Kind::cosine) {
    double n = double(s.steps - s.warmup);
    rate = s.low + (lr - s.low) * (1 + std::cos(std::numbers::pi * std::min(u, n) / n)) / 2;
  }
  return s.warmup ? rate * std::min(double(step + 1) / double(s.warmup), 1.0) : rate;
}

} // namespace trellis

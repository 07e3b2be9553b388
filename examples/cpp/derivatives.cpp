// Symbolic derivatives without layers: Newton's method on Rosenbrock's function, its gradient and Hessian
// compiled into one program that updates its own state.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/print.h"
#include "passes/autodiff.h"
#include <cstdio>

using namespace trellis;

int main() {
  Graph g("newton");
  Value x = g.input("x", {DType::f64, {}}, "state", "constant(-1.2)"),
        y = g.input("y", {DType::f64, {}}, "state", "constant(1)");
  Value f = square(1 - x) + square(y - square(x)) * 100;
  Values d = gradients(f, {x, y});
  Values dx = gradients(d[0], {x, y}), dy = gradients(d[1], {x, y});
  // Cramer's rule on H s = -d; H is symmetric.
  Value a = dx[0], b = dx[1], c = dy[1], det = a * c - b * b;
  g.updates = {{x, x - (c * d[0] - b * d[1]) / det}, {y, y - (a * d[1] - b * d[0]) / det}};
  g.outputs = {{"f", f}};
  std::printf("%s\n", print(g).c_str());

  Session session(compile(g));
  session.set_state("x", Tensor::scalar(DType::f64, -1.2));
  session.set_state("y", Tensor::scalar(DType::f64, 1));
  double value = 1;
  for (int i = 0; i < 10 && value > 1e-24; ++i) {
    value = session.run(std::span<const Tensor>())[0].get(0);
    std::printf("step %d  f %.3e  x %.12f  y %.12f\n", i, value, session.state("x").get(0), session.state("y").get(0));
  }
  return value > 1e-24; // the minimum, 0, is at (1, 1)
}

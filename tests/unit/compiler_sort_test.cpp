// Sort in native code against the interpreter: values, indices and gradients, ties, NaN, zeros of both signs.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "passes/autodiff.h"
#include "tests/unit/fuzz.h"
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

// Few distinct numbers: most have equals whose order must stay.
Tensor values(DType t, const std::vector<int64_t> &dims, int seed) {
  Tensor x(t, dims);
  uint64_t random = uint64_t(seed) + 1;
  for (int64_t i = 0; i < x.size(); ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    int64_t k = int64_t(random >> 33) % 23;
    if (t == DType::boolean)
      x.set_int(i, k % 2);
    else if (!is_float(t))
      x.set_int(i, k * 11 - 90);
    else if (k < 6)
      x.set(i, std::array<double, 6>{NAN, 0.0, -0.0, INFINITY, -INFINITY, 1e-40}[size_t(k)]);
    else
      x.set(i, double(k) - 13.5);
  }
  return x;
}

struct Case {
  std::vector<int64_t> dims;
  int64_t axis;
};
const Case kCases[] = {{{1}, 0},     {{2}, 0},     {{3}, 0},        {{7}, 0},     {{17}, 0},
                       {{65}, 0},    {{64}, 0},    {{0}, 0},        {{3, 0}, 0},  {{3, 0}, 1},
                       {{5, 33}, 0}, {{5, 33}, 1}, {{2, 65, 3}, 1}, {{70, 9}, 1}, {{1000}, 0}};

TEST(CompiledSort, ValuesAndIndices) {
  for (const char *target : {"host", "x86-64"})
    for (DType t : {DType::f32, DType::f64, DType::f16, DType::i64, DType::i8, DType::u32, DType::boolean}) {
      Graph g;
      std::vector<Tensor> inputs;
      if (t != DType::f32 && std::string(target) != "host") continue;
      for (const Case &c : kCases) {
        if (t != DType::f32 && c.dims.size() + size_t(c.axis) != 3) continue; // compiling all takes a while
        inputs.push_back(values(t, c.dims, int(inputs.size())));
        Value x = g.input("x" + std::to_string(inputs.size()), inputs.back().type());
        for (bool descending : {false, true}) {
          Attrs a{{Attr::axis, c.axis}, {Attr::descending, descending}};
          const Node *n = g.node(Op::sort, {x}, a);
          std::string what =
              fmt::format("{} along {}{}", inputs.back().type().str(), c.axis, descending ? " descending" : "");
          g.outputs.push_back({what, n->result(0)});
          g.outputs.push_back({what + " order", n->result(1)});
        }
      }
      std::vector<Tensor> want = evaluate(g, inputs);
      CompileOptions options;
      options.target = target;
      auto code = compile(g, options);
      for (int threads : {1, 3}) {
        std::vector<Tensor> got = Session(code, threads).run(inputs);
        for (size_t i = 0; i < want.size(); ++i) test::expect_same_bits(got[i], want[i], g.outputs[i].name);
      }
    }
}

TEST(CompiledSort, Gradient) {
  for (DType t : {DType::f32, DType::f64})
    for (int64_t axis : {0, 1}) {
      Graph g;
      Tensor x = values(t, {7, 17}, 3), w(t, {7, 17});
      for (int64_t i = 0; i < w.size(); ++i) w.set(i, double(i) + 0.5);
      Value in = g.input("x", x.type()), weight = g.input("w", w.type());
      // What is sorted is computed, and what is sorted is used in an expression.
      const Node *n = g.node(Op::sort, {in + in}, {{Attr::axis, axis}});
      g.outputs.push_back({"dx", gradients(n->result(0), {in}, weight)[0]});
      std::vector<Tensor> inputs{x, w};
      test::expect_same_bits(Session(compile(g), 2).run(inputs)[0], evaluate(g, inputs)[0], "dx");
    }
}

} // namespace
} // namespace trellis

// Running reductions in native code against the interpreter: the same bits in every dtype, order and layout.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/vjp.h"
#include "tests/unit/fuzz.h"
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

const char *const kKinds[] = {"sum", "prod", "max", "min"};

// Small numbers, now and then a special one: chains are long, and most must stay finite.
Tensor values(DType t, const std::vector<int64_t> &dims, int seed, bool special) {
  Tensor x(t, dims);
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t k = (i * 7 + seed * 13) % 31;
    if (t == DType::boolean)
      x.set_int(i, k % 3 == 0);
    else if (!is_float(t))
      x.set_int(i, k * 37 - 500);
    else if (special && k == 5)
      x.set(i, std::array<double, 4>{INFINITY, NAN, -0.0, -INFINITY}[size_t(i) % 4]);
    else
      x.set(i, (double(k) - 15) / 11);
  }
  return x;
}

struct Case {
  std::vector<int64_t> dims;
  int64_t axis;
};
const Case kCases[] = {{{1}, 0},     {{3}, 0},        {{17}, 0},       {{65}, 0},      {{0}, 0},
                       {{3, 0}, 0},  {{3, 0}, 1},     {{7, 17}, 0},    {{7, 17}, 1},   {{5, 65}, 0},
                       {{65, 7}, 1}, {{3, 7, 33}, 1}, {{2, 65, 3}, 1}, {{4, 3, 5}, 0}, {{3, 1, 5}, 1}};

TEST(CompiledCumulative, HasTheInterpretersBits) {
  for (const char *target : {"host", "x86-64"})
    for (DType t :
         {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i64, DType::i8, DType::u32, DType::boolean}) {
      Graph g;
      std::vector<Tensor> inputs;
      for (const Case &c : kCases) {
        std::string n = std::to_string(inputs.size());
        inputs.push_back(values(t, c.dims, int(inputs.size()), inputs.size() % 2));
        Value x = g.input("x" + n, inputs.back().type());
        for (const char *kind : kKinds)
          for (bool exclusive : {false, true})
            for (bool reverse : {false, true}) {
              if (t == DType::boolean && (kind[0] == 's' || kind[0] == 'p')) continue;
              g.outputs.push_back({fmt::format("{} along {} of {}{}{}", kind, c.axis, inputs.back().type().str(),
                                               exclusive ? " exclusive" : "", reverse ? " reverse" : ""),
                                   cumulative(x, kind, c.axis, exclusive, reverse)});
            }
      }
      std::vector<Tensor> want = evaluate(g, inputs);
      CompileOptions options;
      options.target = target;
      std::vector<Tensor> got = Session(compile(g, options), 3).run(inputs);
      for (size_t i = 0; i < want.size(); ++i) test::expect_same_bits(got[i], want[i], g.outputs[i].name);
    }
}

TEST(CompiledCumulative, ReadsWhatIsFusedIntoIt) {
  Graph g;
  Tensor x = values(DType::f32, {5, 24, 3}, 1, false);
  Value in = g.input("x", x.type());
  // Elementwise ops, movement and a state that the result replaces.
  Value s = g.input("s", {DType::f32, {Dim(5), Dim(24), Dim(3)}}, "state");
  g.outputs.push_back({"y", cumulative(in + in, "sum", 1)});
  g.outputs.push_back({"t", cumulative(permute(in, {2, 0, 1}), "sum", 2)});
  g.outputs.push_back({"r", cumulative(reshape(in, {Dim(10), Dim(36)}), "sum", 1, true, true)});
  g.updates.push_back({s, cumulative(s + in, "sum", 1, true)});
  std::vector<Tensor> updates, want = evaluate(g, std::vector<Tensor>{x, x}, &updates);
  Session session(compile(g));
  session.set_state("s", x);
  std::vector<Tensor> got = session.run(std::vector<Tensor>{x});
  for (size_t i = 0; i < want.size(); ++i) test::expect_same_bits(got[i], want[i], g.outputs[i].name);
  test::expect_same_bits(session.state("s"), updates[0], "s");
}

// Rounding differs: what is added and multiplied is fused in native code.
TEST(CompiledCumulative, Gradient) {
  for (DType t : {DType::f32, DType::f64})
    for (const char *kind : kKinds)
      for (bool exclusive : {false, true})
        for (bool reverse : {false, true})
          for (int64_t axis : {0, 1}) {
            Graph g;
            Tensor x = values(t, {7, 17}, 3, false), w = values(t, {7, 17}, 4, false);
            Value in = g.input("x", x.type()), weight = g.input("w", w.type());
            Value y = cumulative(in, kind, axis, exclusive, reverse);
            y = select(is_finite(y), y, 0);
            g.outputs.push_back({"dx", pull_back({{sum(y * weight), g.scalar(t, 1)}}, {in}, true)[0]});
            std::vector<Tensor> inputs{x, w};
            Tensor want = evaluate(g, inputs)[0], got = Session(compile(g), 2).run(inputs)[0];
            for (int64_t i = 0; i < want.size(); ++i)
              EXPECT_NEAR(got.get(i), want.get(i), t == DType::f32 ? 1e-4 : 1e-12)
                  << kind << " " << exclusive << reverse << axis << " element " << i;
          }
}

} // namespace
} // namespace trellis

// Convolutions of few channels against the interpreter: lanes run along an image's axis, whatever moves with the rows.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/eval.h"
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

// Small integers: every order of summation gives the same bits.
Tensor numbers(std::vector<int64_t> dims, int64_t step) {
  Tensor x(DType::f32, std::move(dims));
  for (int64_t i = 0; i < x.size(); ++i) x.set(i, double((i * step + 3) % 17) - 8);
  return x;
}

TEST(CompiledConv, FewChannels) {
  std::vector<Tensor> inputs;
  Graph g;
  for (int64_t channels : {1, 2})
    for (int64_t results : {1, 3})
      for (int64_t stride : {1, 2, 3})
        for (auto [height, width] : {std::pair(7, 5), std::pair(9, 17), std::pair(4, 30)}) {
          inputs.push_back(numbers({1, channels, height, width}, 5));
          Value x = g.input(fmt::format("x{}", inputs.size()), inputs.back().type());
          inputs.push_back(numbers({results, channels, 3, 3}, 7));
          Value w = g.input(fmt::format("x{}", inputs.size()), inputs.back().type());
          ConvOptions o;
          o.stride = {stride, stride}, o.lo = {1, 1}, o.hi = {1, 1};
          g.outputs.push_back(
              {fmt::format("{} -> {}, {} x {} by {}", channels, results, height, width, stride), conv(x, w, o)});
        }
  std::vector<Tensor> want = evaluate(g, inputs), got = Session(compile(g)).run(inputs);
  for (size_t i = 0; i < want.size(); ++i)
    for (int64_t k = 0; k < want[i].size(); ++k)
      ASSERT_EQ(got[i].get(k), want[i].get(k)) << g.outputs[i].name << " element " << k;
}

} // namespace
} // namespace trellis

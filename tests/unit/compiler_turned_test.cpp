// Storage order that turns: compiled against interpreted, bit for bit.
#include "compiler/compile.h"
#include "ir/build.h"
#include "tests/unit/fuzz.h"
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

Tensor numbered(DType t, std::vector<int64_t> dims) {
  Tensor x(t, std::move(dims));
  for (int64_t i = 0; i < x.size(); ++i)
    if (is_float(t))
      x.set(i, double(i % 251) - 100);
    else
      x.set_int(i, i % 127);
  return x;
}

void expect_compiled(const Graph &g, const Tensor &x, const std::string &what) {
  Tensor want = evaluate(g, {x})[0];
  auto code = compile(g);
  for (int threads : {1, 3}) {
    test::expect_same_bits(Session(code, threads).run(std::vector<Tensor>{x})[0], want, what);
  }
}

// Squares, what they leave over on either side, and sizes below one square.
TEST(Turned, PermutationsOfTwoAxes) {
  for (DType t : {DType::f32, DType::f64, DType::f16, DType::i8, DType::i64, DType::boolean})
    for (int64_t rows : {1, 7, 8, 9, 17, 65})
      for (int64_t columns : {3, 8, 16, 33}) {
        Graph g;
        Tensor x = numbered(t, {2, rows, columns});
        g.outputs.push_back({"y", permute(g.input("x", x.type()), {0, 2, 1})});
        expect_compiled(g, x, fmt::format("{} {} x {}", name(t), rows, columns));
      }
}

// Guards on lanes and on rows, and arithmetic on the way.
TEST(Turned, PaddedAndComputed) {
  for (int64_t extent : {6, 8, 15, 30}) {
    Graph g;
    Tensor x = numbered(DType::f32, {1, 17, extent, extent});
    Value padded = pad(g.input("x", x.type()), {0, 0, 1, 2}, {0, 3, 0, 1});
    g.outputs.push_back({"y", permute(padded, {0, 2, 3, 1}) * 2 + 1});
    expect_compiled(g, x, fmt::format("extent {}", extent));
  }
}

} // namespace
} // namespace trellis

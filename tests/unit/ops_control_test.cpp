// Random, control and attribute rules against published vectors and mathematics.
#include "tests/unit/ops_values.h"

namespace trellis {
namespace {

// Threefry-2x32, from its paper.
std::array<uint32_t, 2> threefry(std::array<uint32_t, 2> counter, std::array<uint32_t, 2> key, int rounds) {
  const int rotations[] = {13, 15, 26, 6, 17, 29, 16, 24};
  const uint32_t ks[] = {key[0], key[1], 0x1BD11BDA ^ key[0] ^ key[1]};
  uint32_t a = counter[0] + ks[0], b = counter[1] + ks[1];
  for (int r = 0; r < rounds; ++r) {
    a += b;
    b = b << rotations[r % 8] | b >> (32 - rotations[r % 8]);
    b ^= a;
    if (r % 4 == 3) a += ks[(r / 4 + 1) % 3], b += ks[(r / 4 + 2) % 3] + uint32_t(r / 4 + 1);
  }
  return {a, b};
}

TEST(Random, BitsAreThreefry) {
  // Known answers of Random123 for 20 and 13 rounds.
  EXPECT_EQ(threefry({0, 0}, {0, 0}, 20), (std::array<uint32_t, 2>{0x6b200159, 0x99ba4efe}));
  EXPECT_EQ(threefry({0x243f6a88, 0x85a308d3}, {0x13198a2e, 0x03707344}, 20),
            (std::array<uint32_t, 2>{0xc4923a9c, 0x483df7a0}));
  EXPECT_EQ(threefry({0, 0}, {0, 0}, 13), (std::array<uint32_t, 2>{0x9d1c5ec6, 0x8bd50731}));
  Graph g;
  uint64_t seed = 0x0370734413198a2eull;
  Ints bits = ints(g, random(Op::random_bits, whole(g, DType::u64, {}, {int64_t(seed)}), {DType::u32, {2, 3}}, 5));
  Ints wide = ints(g, random(Op::random_bits, whole(g, DType::i64, {}, {int64_t(seed)}), {DType::u64, {6}}, 5));
  for (uint32_t i = 0; i < 6; ++i) {
    auto want = threefry({i, 5}, {uint32_t(seed), uint32_t(seed >> 32)}, 13);
    EXPECT_EQ(bits[i], int64_t(want[0]));
    EXPECT_EQ(uint64_t(wide[i]), uint64_t(want[1]) << 32 | want[0]);
  }
}

TEST(Random, MomentsAndStreams) {
  Graph g;
  Value seed = whole(g, DType::u64, {}, {42});
  for (DType t : {DType::f64, DType::f32, DType::bf16}) {
    Reals u = reals(g, random(Op::random_uniform, seed, {t, {20000}}, 0)),
          n = reals(g, random(Op::random_normal, seed, {t, {20000}}, 1));
    auto moment = [](const Reals &v, int p) {
      double s = 0;
      for (double x : v) s += std::pow(x, p);
      return s / double(v.size());
    };
    for (double x : u) ASSERT_TRUE(x >= 0 && x < 1);
    // Five standard errors.
    EXPECT_NEAR(moment(u, 1), 0.5, 0.011) << name(t);
    EXPECT_NEAR(moment(u, 2), 1 / 3.0, 0.011) << name(t);
    EXPECT_NEAR(moment(n, 1), 0, 0.036) << name(t);
    EXPECT_NEAR(moment(n, 2), 1, 0.05) << name(t);
    EXPECT_NEAR(moment(n, 4), 3, 0.35) << name(t);
  }
  EXPECT_NE(reals(g, random(Op::random_uniform, seed, {DType::f32, {8}}, 0)),
            reals(g, random(Op::random_uniform, seed, {DType::f32, {8}}, 1)));
}

TEST(Random, DropoutKeepsTheMean) {
  Graph g;
  Value x = g.splat({DType::f32, {10000}}, 3), seed = whole(g, DType::u64, {}, {1});
  Reals y = reals(g, dropout(x, seed, 0.25, 0));
  int64_t dropped = 0;
  for (double v : y) {
    EXPECT_TRUE(v == 0 || v == 4) << v;
    dropped += v == 0;
  }
  EXPECT_NEAR(double(dropped), 2500, 220); // five standard deviations
  EXPECT_NE(reals(g, dropout(x, seed, 0.25, 1)), y);
  EXPECT_EQ(reals(g, dropout(x, seed, 0, 0)), Reals(10000, 3));
}

// --- control ---

std::shared_ptr<Graph> body(const std::vector<Type> &in, const std::function<Values(Graph &, const Values &)> &make) {
  auto b = std::make_shared<Graph>("body");
  Values x;
  for (size_t i = 0; i < in.size(); ++i) x.push_back(b->input(fmt::format("x{}", i), in[i]));
  for (Value y : make(*b, x)) b->outputs.push_back({fmt::format("y{}", b->outputs.size()), y});
  return b;
}

TEST(Control, LoopCountsCollatzSteps) {
  Graph g;
  Type t{DType::i64, {}};
  auto test = body({t, t}, [](Graph &, const Values &x) { return Values{ne(x[0], 1)}; });
  auto step = body({t, t}, [](Graph &, const Values &x) {
    Value half = elementwise(Op::div, {x[0], 2});
    return Values{select(eq(rem(x[0], 2), 0), half, x[0] * 3 + 1), x[1] + 1};
  });
  Value n = whole(g, DType::i64, {}, {27}), zero = whole(g, DType::i64, {}, {0});
  EXPECT_EQ(ints(g, g.node(Op::loop, {n, zero}, {}, {test, step})->result(1)), (Ints{111}));
  EXPECT_EQ(ints(g, g.node(Op::loop, {n, zero}, {{Attr::trips, int64_t(5)}}, {test, step})->result(1)), (Ints{5}));
}

TEST(Control, ScanCarriesSlicesAndStacks) {
  Graph g;
  Type t{DType::f64, {2}};
  auto cell = body({t, t, {DType::f64, {}}}, [](Graph &, const Values &x) {
    Value h = x[0] * x[2] + x[1];
    return Values{h, h + 100};
  });
  Value h = real(g, {1, 2}), x = real(g, {3, 2}, {1, 0, 2, 0, 3, 0}), k = real(g, Ints{}, {10});
  Attrs a{{Attr::carries, int64_t(1)}, {Attr::slices, int64_t(1)}};
  const Node *n = g.node(Op::scan, {h, x, k}, a, {cell});
  expect_close(g, n->result(0), {1123, 2000});
  expect_close(g, n->result(1), {111, 120, 212, 300, 1223, 2100});
  a.set(Attr::reverse, true);
  n = g.node(Op::scan, {h, x, k}, a, {cell});
  expect_close(g, n->result(0), {1321, 2000});
  expect_close(g, n->result(1), {1421, 2100, 232, 300, 113, 120});
}

TEST(Control, BodiesMustFit) {
  Graph g;
  Type t{DType::f64, {2}};
  Value x = g.input("x", t), p = g.input("p", {DType::boolean, {}});
  auto one = body({t}, [](Graph &, const Values &v) { return Values{v[0]}; });
  auto other = body({t}, [](Graph &, const Values &v) { return Values{cast(v[0], DType::f32)}; });
  EXPECT_THROW(g.node(Op::cond, {p, x}, {}, {one, other}), CompileError);
  EXPECT_THROW(g.node(Op::cond, {p, x}, {}, {one}), CompileError);
  EXPECT_THROW(g.node(Op::cond, {p, x, x}, {}, {one, one}), CompileError);
  EXPECT_THROW(g.node(Op::loop, {x}, {}, {one, one}), CompileError) << "the condition is no bool";
  EXPECT_THROW(g.node(Op::scan, {x}, {{Attr::carries, int64_t(1)}}, {one}), CompileError) << "no trips";
  EXPECT_THROW(g.node(Op::scan, {x}, {{Attr::carries, int64_t(2)}, {Attr::trips, int64_t(2)}}, {one}), CompileError);
}

// --- shape rules ---

TEST(Rules, SliceIsCanonical) {
  Graph g;
  Value x = g.input("x", {DType::f32, {6}});
  EXPECT_TRUE(slice(x, {0}, {5}, {2}).is(slice(x, {0}, {6}, {2})));
  EXPECT_TRUE(slice(x, {2}, {3}, {4}).is(slice(x, {2}, {1}, {-1})));
  EXPECT_THROW(slice(x, {0}, {7}), CompileError);
}

TEST(Rules, MistakesSayWhatWouldBeRight) {
  auto message = [](const std::function<void(Graph &, Value)> &f) {
    Graph g;
    Value x = g.input("x", {DType::f32, {2, 3}});
    try {
      f(g, x);
    } catch (const CompileError &e) { return std::string(e.what()); }
    return std::string("no error");
  };
  EXPECT_EQ(message([](Graph &g, Value x) { g.make(Op::softmax, {x}, {{Attr::axis, int64_t(2)}}); }),
            "error: softmax: axis 2 is out of range for rank 2: give -2 to 1");
  EXPECT_EQ(message([](Graph &g, Value x) { g.make(Op::layer_norm, {x, x, x, x}); }),
            "error: layer_norm: takes 1 to 3 operands, 4 given");
  EXPECT_EQ(message([](Graph &g, Value x) { g.make(Op::shl, {x, x}); }),
            "error: shl: operand 1 is f32[2, 3], but must be integer");
  EXPECT_EQ(message([](Graph &, Value x) { concat({x, reshape(x, {3, 2})}, 0); }),
            "error: concat: operand 2 is f32[3, 2], which does not fit f32[2, 3] along axis 0");
  EXPECT_EQ(message([](Graph &, Value x) { reduce(x, "median"); }),
            "error: reduce: kind 'median' is none of sum, prod, max, min");
  EXPECT_EQ(message([](Graph &, Value x) { gather(x, x, 0); }),
            "error: gather: the indices are f32[2, 3], but must be integers");
  EXPECT_EQ(message([](Graph &g, Value x) { dropout(x, g.scalar(DType::u64, 0), 1, 0); }),
            "error: dropout: 'rate' is 1, but must lie in [0, 1)");
}

TEST(Rules, HugeAttributesAreRefused) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max(), kLeast = std::numeric_limits<int64_t>::min();
  Graph g;
  Value x = g.input("x", {DType::f32, {6}}), z = g.scalar(DType::f32, 0);
  for (int64_t v : {kMost, kLeast, kMost / 2, int64_t(1) << 40}) {
    EXPECT_THROW(slice(x, {v}, {3}), CompileError);
    EXPECT_THROW(slice(x, {0}, {3}, {v}), CompileError);
    EXPECT_THROW(pad(x, {v}, {0}, {}, z), CompileError);
    EXPECT_THROW(pad(x, {0}, {0}, {v}, z), CompileError);
    EXPECT_THROW(window(x, {v}, {1}), CompileError);
    EXPECT_THROW(window(x, {2}, {1}, {v}), CompileError);
    EXPECT_THROW(max_pool(x, {.size = {2}, .stride = {v}, .lo = {}, .hi = {}, .dilation = {}}), CompileError);
    EXPECT_THROW(reduce(x, "sum", {v}), CompileError);
    EXPECT_THROW(g.make(Op::softmax, {x}, {{Attr::axis, v}}), CompileError);
    auto body = std::make_shared<Graph>("b");
    body->outputs = {{"y", body->input("x", x.type())}};
    EXPECT_THROW(g.node(Op::scan, {x}, {{Attr::carries, int64_t(1)}, {Attr::trips, v}}, {body}), CompileError);
    EXPECT_THROW(g.node(Op::scan, {x}, {{Attr::carries, v}}, {body}), CompileError);
  }
}

} // namespace
} // namespace trellis

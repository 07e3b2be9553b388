// The interpreter against arithmetic done by hand.
#include "ir/bind.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/parse.h"
#include "ir/print.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;

static Tensor f32(std::vector<int64_t> dims, std::vector<float> v) {
  return Tensor::of<float>(DType::f32, std::move(dims), v);
}
static Tensor i64(std::vector<int64_t> dims, std::vector<int64_t> v) {
  return Tensor::of<int64_t>(DType::i64, std::move(dims), v);
}

/// The graph's outputs for inputs x and y.
static std::vector<Tensor> run(const std::string &signature, const std::string &statements,
                               std::map<std::string, Tensor> inputs) {
  return evaluate(*parse("trellis 1\ngraph @t(" + signature + ") {\n" + statements + "\n}\n", "t.trl"), inputs);
}
static std::string error_of(const std::string &signature, const std::string &statements,
                            std::map<std::string, Tensor> inputs) {
  try {
    run(signature, statements, std::move(inputs));
  } catch (const CompileError &e) { return e.what(); }
  return "";
}
static std::vector<double> values(const Tensor &t) {
  std::vector<double> out;
  for (int64_t i = 0; i < t.size(); ++i) out.push_back(t.get(i));
  return out;
}
using Doubles = std::vector<double>;

TEST(Eval, ElementwiseInEveryNumberSystem) {
  EXPECT_EQ(values(run("%x: f32[2]", "%z = mul %x, 3\nreturn %z", {{"x", f32({2}, {1.5, -2})}})[0]),
            (Doubles{4.5, -6}));
  // i8 wraps: 100 + 100 = 200 = -56.
  EXPECT_EQ(values(run("%x: i8[1]", "%z = add %x, %x\nreturn %z",
                       {{"x", Tensor::of<int>(DType::i8, {1}, std::vector<int>{100})}})[0]),
            Doubles{-56});
  // Beyond 2^53 doubles have no odd numbers.
  EXPECT_EQ(run("%x: i64[1]", "%z = add %x, 1\nreturn %z", {{"x", i64({1}, {9007199254740992})}})[0].get_int(0),
            9007199254740993);
  // Unsigned comparison of 2^64 - 1 with 1.
  Tensor big(DType::u64, {1});
  big.set_int(0, -1);
  EXPECT_EQ(values(run("%x: u64[1]", "%z = lt %x, 1\nreturn %z", {{"x", big}})[0]), Doubles{0});
  // f16 rounds every step: 2048 + 1 = 2048.
  EXPECT_EQ(values(run("%x: f16[1]", "%z = add %x, 1\nreturn %z",
                       {{"x", Tensor::of<double>(DType::f16, {1}, Doubles{2048})}})[0]),
            Doubles{2048});
}

TEST(Eval, BlocksOfOddSizes) {
  for (int64_t n : {0, 1, 511, 512, 513, 1500}) {
    Tensor x(DType::f32, {n});
    for (int64_t i = 0; i < n; ++i) x.set(i, double(i));
    Graph g;
    g.outputs.push_back({"y", g.input("x", x.type()) + 1.0});
    Tensor y = evaluate(g, {{"x", x}})[0];
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y.get(i), double(i + 1));
  }
}

TEST(Eval, MovementThroughIndexMaps) {
  Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  auto one = [&](const std::string &op) {
    return values(run("%x: f32[2, 3]", "%y = " + op + "\nreturn %y", {{"x", x}})[0]);
  };
  EXPECT_EQ(one("permute %x, perm=[1, 0]"), (Doubles{1, 4, 2, 5, 3, 6}));
  EXPECT_EQ(one("reshape %x, shape=[3, ?]"), (Doubles{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(one("slice %x, start=[1, 2], limit=[-1, -1], step=[-1, -2]"), (Doubles{6, 4, 3, 1}));
  EXPECT_EQ(one("pad %x, 9, lo=[0, 1], hi=[0, -1]"), (Doubles{9, 1, 2, 9, 4, 5}));
  EXPECT_EQ(one("pad %x, 9, lo=[0, 0], hi=[0, 0], interior=[1, 1]"),
            (Doubles{1, 9, 2, 9, 3, 9, 9, 9, 9, 9, 4, 9, 5, 9, 6}));
  EXPECT_EQ(one("pad %x, 9, lo=[-1, -2], hi=[1, 0]"), (Doubles{6, 9}));
  EXPECT_EQ(one("window %x, size=[2], stride=[1]"), (Doubles{1, 2, 2, 3, 4, 5, 5, 6}));
}

// Two movement ops in a row through one map: each element checked against its own position.
TEST(Eval, ReshapeOfPermuteIsExactEverywhere) {
  Tensor x(DType::i32, {3, 4, 5});
  for (int64_t i = 0; i < x.size(); ++i) x.set_int(i, i);
  Tensor y = run("%x: i32[3, 4, 5]", "%a = permute %x, perm=[2, 0, 1]\n%y = reshape %a, shape=[6, 10]\nreturn %y",
                 {{"x", x}})[0];
  for (int64_t i = 0; i < 60; ++i) {
    int64_t c = i / 12, a = i / 4 % 3, b = i % 4; // position in [5, 3, 4]
    ASSERT_EQ(y.get_int(i), (a * 4 + b) * 5 + c);
  }
}

TEST(Eval, ReturnsUpdates) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[2]) {\n  state %s : f32[2]\n  %n = add %s, %x\n  update %s, "
                 "%n\n  return\n}\n");
  std::vector<Tensor> updates;
  EXPECT_TRUE(evaluate(*g, {{"x", f32({2}, {1, 2})}, {"s", f32({2}, {10, 20})}}, &updates).empty());
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(values(updates[0]), (Doubles{11, 22}));
}

TEST(Eval, RefusesWrongInputs) {
  const std::string s = "%x: f32[2]", b = "%z = exp %x\nreturn %z";
  EXPECT_EQ(error_of(s, b, {}), "t.trl:2:10: error: input 'x' (f32[2]) is not given");
  EXPECT_NE(error_of(s, b, {{"x", f32({3}, {1, 2, 3})}}).find("input 'x' is f32[2], but f32[3] is given"),
            std::string::npos);
  EXPECT_NE(error_of(s, b, {{"x", f32({2}, {1, 2})}, {"w", f32({}, {1})}}).find("has no input 'w'"), std::string::npos);
}

TEST(Bind, ReplacesSymbolsEverywhere) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[N, C], %b: f32[C]) {\n"
                 "  %y = add %x, %b\n  %z = mul %y, 0.5\n  %s = reduce %z, kind=sum, axes=[1]\n  return %s\n}\n");
  EXPECT_EQ(symbols(*g), (std::vector<std::string>{"N", "C"}));
  auto bound = bind_dims(*g, {{"N", 2}, {"C", 3}});
  EXPECT_TRUE(symbols(*bound).empty());
  EXPECT_EQ(bound->outputs[0].value.type().str(), "f32[2]");
  EXPECT_EQ(bound->outputs[0].name, "s");
  EXPECT_EQ(values(evaluate(*bound, {{"x", f32({2, 3}, {1, 2, 3, 4, 5, 6})}, {"b", f32({3}, {1, 1, 1})}})[0]),
            (Doubles{4.5, 9}));
}

TEST(Bind, ResolvesUnknownDims) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[N, 2]) {\n"
                 "  %p = pad %x, 0, lo=[1, 0], hi=[0, 0]\n  %y = add %p, 1\n  %f = reshape %y, shape=[?]\n  "
                 "return %f\n}\n");
  auto bound = bind_dims(*g, {{"N", 2}});
  EXPECT_EQ(values(evaluate(*bound, {{"x", f32({2, 2}, {1, 2, 3, 4})}})[0]), (Doubles{1, 1, 2, 3, 4, 5}));
}

TEST(Bind, RefusesWhatDoesNotFit) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[N, 2], %y: f32[N]) {\n  return %x, %y\n}\n", "t.trl");
  auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const CompileError &e) { return e.diagnostics()[0].text; }
    return "";
  };
  EXPECT_EQ(message([&] { bind_dims(*g, {}); }), "dim 'N' of graph @t has no number");
  EXPECT_EQ(message([&] { bind_dims(*g, {{"N", 1}, {"M", 1}}); }), "graph @t has no dim 'M'");
  EXPECT_EQ(message([&] { bind_dims(*g, {{"N", -1}}); }), "dim 'N' can not be -1");
  Type x{DType::f32, {3, 2}}, y{DType::f32, {4}};
  EXPECT_EQ(message([&] { bindings_of(*g, {{"x", x}, {"y", y}}); }),
            "input 'y' is f32[N], but f32[4] is given: N is 3 in 'x'");
  EXPECT_EQ(bindings_of(*g, {{"x", x}}), (Bindings{{"N", 3}}));
}

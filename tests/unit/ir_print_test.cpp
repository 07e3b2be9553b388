// What a graph looks like as text, and that reading it gives the graph back.
#include "ir/build.h"
#include "ir/parse.h"
#include "ir/print.h"
#include <gtest/gtest.h>

using namespace trellis;

static void expect_round_trip(const Graph &g) {
  std::string once = print(g);
  EXPECT_EQ(print(*parse(once)), once);
}

TEST(Print, ShowsTheWholeFormat) {
  const std::string text = "trellis 1\n"
                           "graph @perceptron(%x: f32[N, 784], %label: i64[N]) {\n"
                           "  param %w : f32[784, 10] init(he_normal)\n"
                           "  state %m : f32[784, 10] init(normal(0.02))\n"
                           "  %y = dot %x, %w : f32[N, 10]\n"
                           "  %0 = mul %y, 0.5 : f32[N, 10]\n"
                           "  %best = reduce %0, kind=max, axes=[1], keep=true : f32[N, 1]\n"
                           "  %1 = constant i32[2] [1, -2]\n"
                           "  %2 = add %w, %m : f32[784, 10]\n"
                           "  update %m, %2\n"
                           "  return %0, most=%best, %1\n"
                           "}\n";
  EXPECT_EQ(print(*parse(text)), text);
}

// Reading makes nodes in the order of the text: whatever order the builder used, one reading settles it.
TEST(Print, OrderOfCreationDoesNotShow) {
  Graph g("t");
  Value half = g.splat({DType::f32, {2}}, 0.5);
  Value x = g.input("x", {DType::f32, {2}});
  Value a = g.make(Op::mul, {half, x});
  Value w = g.input("w", {DType::f32, {2}}, "param");
  Value y = g.input("y", {DType::f32, {2}});
  Value b = g.make(Op::add, {a, w});
  g.outputs = {{"r", g.make(Op::add, {b, y})},
               {"", g.make(Op::add, {half, g.splat({DType::f32, {2}}, 2)})},
               {"s", g.make(Op::add, {half, g.make(Op::exp, {x})})}};
  expect_round_trip(g);
  EXPECT_NE(print(g).find("mul %x, 0.5"), std::string::npos);
}

TEST(Print, LiteralsOnlyWhereTheParserCanTypeThem) {
  Graph g("t");
  Value c = g.input("c", {DType::boolean, {3}});
  Value one = g.splat({DType::f32, {3}}, 1), two = g.splat({DType::f32, {3}}, 2);
  g.outputs = {{"a", select(c, one, two)},
               {"b", g.make(Op::exp, {one})},
               {"d", g.make(Op::eq, {c, g.splat({DType::boolean, {3}}, 1)})},
               {"e", g.make(Op::add, {g.splat({DType::i8, {1, 1}}, 1), g.input("i", {DType::i8, {1, 1}})})},
               {"f", pad(g.input("p", {DType::f32, {3}}), {1}, {1})}};
  expect_round_trip(g);
  std::string text = print(g);
  EXPECT_NE(text.find("eq %c, true"), std::string::npos);
  EXPECT_NE(text.find("add %i, 1 "), std::string::npos);
  EXPECT_NE(text.find("pad %p, 0, lo=[1], hi=[1]"), std::string::npos);
}

TEST(Print, QuotesOddNames) {
  Graph g("a b");
  Value x = g.input("conv/1:0", {DType::f32, {Dim::symbol("batch size"), 2}});
  Value y = g.make(Op::exp, {x});
  g.set_name(y, "\"\\\n\xff");
  g.outputs = {{"12", y}, {"é", x}};
  expect_round_trip(g);
  auto again = parse(print(g));
  EXPECT_EQ(again->outputs[0].name, "12");
  EXPECT_EQ(again->name_of(again->outputs[0].value), "\"\\\n\xff");
  EXPECT_EQ(again->inputs()[0].shape()[0].str(), "batch size");
}

// ONNX files name values by numbers: those that are counted for the others differ.
TEST(Print, NumbersThatAreNamesAreNotCounted) {
  Graph g;
  Value a = exp(g.input("0", {DType::f32, {2}})), b = sin(a), c = cos(b);
  g.set_name(c, "1");
  g.outputs = {{"y", c}};
  expect_round_trip(g);
  std::string text = print(g);
  EXPECT_NE(text.find("%2 = exp %\"0\""), std::string::npos) << text;
  EXPECT_NE(text.find("%3 = sin %2"), std::string::npos) << text;
}

TEST(Print, LargeConstantsGoToTheDataFile) {
  Graph g("t");
  Value c = g.constant(Tensor(DType::f32, {17}));
  g.outputs = {{"c", c}};
  expect_round_trip(g);
  std::string text = print(g, {.data = [](const Tensor &t, std::string_view name) {
                             EXPECT_EQ(t.size(), 17);
                             return DataRef{"w.safetensors", std::string(name)};
                           }});
  EXPECT_NE(text.find("constant f32[17] data(\"w.safetensors\", \"0\")"), std::string::npos);
}

#include "compiler/frontend/layers.h"
#include "compiler/frontend/state.h"
#include <gtest/gtest.h>

using namespace trellis::nn;
using trellis::CompileError;

static Type images(Dim n = Dim::symbol("N")) { return {DType::f32, {n, 1, 28, 28}}; }

static std::vector<std::string> parameters(const Graph &g) {
  std::vector<std::string> out;
  for (Value v : trellis::inputs_of_role(g, "param"))
    out.push_back(std::string(trellis::name_of_input(v)) + " " + v.type().str());
  return out;
}
static std::string error_of(const Layer &l, Type input) {
  try {
    build_graph(l, input);
  } catch (const CompileError &e) { return e.what(); }
  return "";
}
static bool mentions(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

TEST(Layer, LeNetShapesAndNames) {
  auto model = Conv2d(6, 5, {.pad = same}) >> ReLU() >> MaxPool(2) >> Conv2d(16, 5) >> ReLU() >> MaxPool(2) >>
               Flatten() >> Dense(120) >> ReLU() >> Dense(84) >> ReLU() >> Dense(10);
  auto g = build_graph(model, images());
  EXPECT_EQ(g->outputs[0].value.type().str(), "f32[N, 10]");
  EXPECT_EQ(parameters(*g), (std::vector<std::string>{
                                "0.weight f32[6, 1, 5, 5]", "0.bias f32[6]", "3.weight f32[16, 6, 5, 5]",
                                "3.bias f32[16]", "7.weight f32[400, 120]", "7.bias f32[120]", "9.weight f32[120, 84]",
                                "9.bias f32[84]", "11.weight f32[84, 10]", "11.bias f32[10]"}));
  EXPECT_EQ(g->find_input("0.bias").node->attrs.get<std::string>(trellis::Attr::init), "fan_in_uniform(25)");
}

TEST(Layer, NamesOfLayersNestAndReplacePositions) {
  auto block = (Dense(8) >> ReLU()).named("block");
  auto model = Dense(8).named("in") >> block >> sequential({Dense(8), Dense(4)}) >> Dense(2);
  auto g = build_graph(model, {DType::f32, {3, 5}});
  EXPECT_EQ(parameters(*g), (std::vector<std::string>{"in.weight f32[5, 8]", "in.bias f32[8]",
                                                      "block.0.weight f32[8, 8]", "block.0.bias f32[8]",
                                                      "2.0.weight f32[8, 8]", "2.0.bias f32[8]", "2.1.weight f32[8, 4]",
                                                      "2.1.bias f32[4]", "3.weight f32[4, 2]", "3.bias f32[2]"}));
}

TEST(Layer, HandlesShareAndClonesDoNot) {
  Dense layer(8, {.bias = false});
  auto shared = build_graph(layer >> ReLU() >> layer, {DType::f32, {2, 8}});
  EXPECT_EQ(parameters(*shared), (std::vector<std::string>{"0.weight f32[8, 8]"}));
  auto copies = build_graph(clone(layer >> ReLU(), 3), {DType::f32, {2, 8}});
  EXPECT_EQ(parameters(*copies),
            (std::vector<std::string>{"0.0.weight f32[8, 8]", "1.0.weight f32[8, 8]", "2.0.weight f32[8, 8]"}));
  // Inside each copy, what was shared stays shared.
  auto inner = build_graph(clone(layer >> layer, 2), {DType::f32, {2, 8}});
  EXPECT_EQ(parameters(*inner), (std::vector<std::string>{"0.0.weight f32[8, 8]", "1.0.weight f32[8, 8]"}));
}

TEST(Layer, Combinators) {
  Type in{DType::f32, {2, 8}};
  auto sum = build_graph(Dense(4) + Dense(4), in);
  EXPECT_EQ(sum->outputs[0].value.type().str(), "f32[2, 4]");
  EXPECT_EQ(parameters(*sum).size(), 4u);
  EXPECT_EQ(build_graph(concatenate({Dense(4), Dense(3), ReLU()}), in)->outputs[0].value.type().str(), "f32[2, 15]");
  EXPECT_EQ(build_graph(residual(Dense(8) >> Tanh()), in)->outputs[0].value.type().str(), "f32[2, 8]");
  // A residual layer is named as what it wraps.
  Dense plain(8, {.bias = false}), other(8, {.bias = false}), third(8, {.bias = false});
  EXPECT_EQ(parameters(*build_graph(plain >> residual(other) >> residual(third >> ReLU()), in)),
            (std::vector<std::string>{"0.weight f32[8, 8]", "1.weight f32[8, 8]", "2.0.weight f32[8, 8]"}));
  EXPECT_TRUE(mentions(error_of(residual(Dense(7)), in), "Residual: the inner layer makes f32[2, 7] of f32[2, 8]"));
  EXPECT_TRUE(mentions(error_of(Dense(4) + Dense(5), in), "Sum: branches give f32[2, 4] and f32[2, 5]"));
}

TEST(Layer, OwnLayersAndFunctionalUse) {
  Layer scale("Scale", [](Build &b, Value x) { return x * b.param("gain", {x.dtype(), {x.shape().back()}}, "one"); });
  Graph g;
  Build b(g);
  Value x = g.input("x", {DType::f32, {2, 8}});
  Dense first(4), second(4);
  Value y = second(b, scale(b, first(b, x)));
  y = second(b, y);
  EXPECT_EQ(parameters(g), (std::vector<std::string>{"dense.weight f32[8, 4]", "dense.bias f32[4]", "scale.gain f32[4]",
                                                     "dense1.weight f32[4, 4]", "dense1.bias f32[4]"}));
}

TEST(Layer, Convolutions) {
  auto shape = [](const Layer &l, Type in) { return build_graph(l, in)->outputs[0].value.type().str(); };
  Type in{DType::f32, {2, 8, 13, 16}};
  EXPECT_EQ(shape(Conv2d(4, 3), in), "f32[2, 4, 11, 14]");
  EXPECT_EQ(shape(Conv2d(4, 3, {.pad = same}), in), "f32[2, 4, 13, 16]");
  EXPECT_EQ(shape(Conv2d(4, {3, 2}, {.pad = same}), in), "f32[2, 4, 13, 16]");
  EXPECT_EQ(shape(Conv2d(4, 3, {.stride = 2, .pad = same}), in), "f32[2, 4, 7, 8]");
  EXPECT_EQ(shape(Conv2d(4, 3, {.stride = {2, 1}, .pad = {1, 0}}), in), "f32[2, 4, 7, 14]");
  EXPECT_EQ(shape(Conv2d(4, 3, {.pad = {0, 1, 2, 3}}), in), "f32[2, 4, 13, 18]");
  EXPECT_EQ(shape(Conv2d(4, 3, {.dilation = 2}), in), "f32[2, 4, 9, 12]");
  auto grouped = build_graph(Conv2d(4, 3, {.groups = 2, .bias = false}), in);
  EXPECT_EQ(parameters(*grouped), (std::vector<std::string>{"conv2d.weight f32[4, 4, 3, 3]"}));
  // `same` with an even kernel pads the odd one at the end, as torch does.
  auto even = build_graph(Conv2d(1, 2, {.pad = same, .bias = false}), {DType::f32, {1, 1, 4, 4}});
  const trellis::Node *conv = even->outputs[0].value.node;
  EXPECT_FALSE(conv->attrs.has(trellis::Attr::lo));
  EXPECT_EQ(conv->attrs.ints(trellis::Attr::hi), (std::vector<int64_t>{1, 1}));
}

TEST(Layer, OthersKeepOrChangeShapes) {
  auto shape = [](const Layer &l, Type in) { return build_graph(l, in)->outputs[0].value.type().str(); };
  Type image{DType::f32, {Dim::symbol("N"), 8, 13, 16}}, rows{DType::f64, {Dim::symbol("N"), 6}};
  EXPECT_EQ(shape(MaxPool(2), image), "f32[N, 8, 6, 8]");
  EXPECT_EQ(shape(MaxPool(3, {.stride = 2, .pad = 1}), image), "f32[N, 8, 7, 8]");
  EXPECT_EQ(shape(AvgPool({2, 4}), image), "f32[N, 8, 6, 4]");
  EXPECT_EQ(shape(GlobalAvgPool(), image), "f32[N, 8]");
  EXPECT_EQ(shape(GlobalMaxPool(), image), "f32[N, 8]");
  EXPECT_EQ(shape(Flatten(), image), "f32[N, 1664]");
  EXPECT_EQ(shape(BatchNorm(), image), image.str());
  EXPECT_EQ(shape(LayerNorm(), image), image.str());
  EXPECT_EQ(shape(Dropout(0.5), image), image.str());
  for (const Layer &l : {Layer(ReLU()), Layer(LeakyReLU()), Layer(ELU()), Layer(GELU()), Layer(Sigmoid()),
                         Layer(Tanh()), Layer(Softplus()), Layer(SiLU()), Layer(Softmax()), Layer(BatchNorm())})
    EXPECT_EQ(shape(l, rows), rows.str());
  EXPECT_EQ(shape(Embedding(100, 16), {DType::i64, {Dim::symbol("N"), 7}}), "f32[N, 7, 16]");
  EXPECT_EQ(shape(Embedding(100, 16) >> Dense(5), {DType::i64, {Dim::symbol("N"), 7}}), "f32[N, 7, 5]");
}

TEST(Layer, ErrorsNameTheLayerAndItsCallSite) {
  Type rows{DType::f32, {2, 8}}, image{DType::f32, {2, 8, 4, 4}};
  std::string e = error_of(Conv2d(4, 3), rows);
  EXPECT_TRUE(mentions(e, "frontend_layer_test.cpp:")) << e;
  EXPECT_TRUE(mentions(e, "Conv2d: the input is f32[2, 8], but must be [N, C, H, W]")) << e;
  EXPECT_TRUE(mentions(error_of(Dense(0), rows), "must be above 0"));
  EXPECT_TRUE(mentions(error_of(Dense(3), {DType::i32, {2, 8}}), "must be floating-point"));
  EXPECT_TRUE(mentions(error_of(Conv2d(4, 3, {.groups = 3}), image), "3 groups do not divide 8 channels in and 4 out"));
  EXPECT_TRUE(mentions(error_of(Conv2d(4, 3, {.stride = 0}), image), "the stride is 0"));
  EXPECT_TRUE(mentions(error_of(Conv2d(4, 7), image), "conv"));
  EXPECT_TRUE(mentions(error_of(Dropout(1.0), rows), "rate"));
  EXPECT_TRUE(mentions(error_of(Embedding(5, 2), rows), "integers"));
  EXPECT_TRUE(mentions(error_of(MaxPool(2, {.pad = 2}), image), "padding"));
  EXPECT_TRUE(
      mentions(error_of(Dense(4).named("a") >> Dense(3).named("a"), rows), "two different layers have the name 'a'"));
  Dense shared(8);
  EXPECT_TRUE(mentions(error_of(Dense(4) >> shared >> shared, rows), "it is shared"));
  EXPECT_THROW(Dense(3).named("a.b"), CompileError);
  EXPECT_THROW(clone(Dense(3), 0), CompileError);
}

// Operators whose meaning depends on the opset, and those with arithmetic of their own; values by hand.
#include "tests/unit/onnx_models.h"
#include <cmath>

namespace trellis::onnx {

TEST(OnnxOps, SoftmaxBefore13RunsOverAllTrailingAxes) {
  for (int opset : {11, 13}) {
    ModelMaker m(opset);
    m.input("x", {1, 2, 2});
    set_int(m.node("Softmax", {"x"}, {"y"}), "axis", 1);
    m.output("y");
    double share = opset == 11 ? 0.25 : 0.5; // of four, or of two
    expect(run(m, {{"x", floats({1, 2, 2}, {7, 7, 7, 7})}})[0], {1, 2, 2}, {share, share, share, share});
  }
}

TEST(OnnxOps, AxesComeAsAttributeOrOperand) {
  ModelMaker old(11), now(13);
  for (ModelMaker *m : {&old, &now}) {
    m->input("x", {2, 3});
    if (m == &old)
      set_ints(m->node("ReduceSum", {"x"}, {"s"}), "axes", {1}),
          set_ints(m->node("Squeeze", {"s"}, {"y"}), "axes", {1});
    else
      m->ints("a", {1}), m->node("ReduceSum", {"x", "a"}, {"s"}), m->node("Squeeze", {"s", "a"}, {"y"});
    m->output("y");
    expect(run(*m, {{"x", floats({2, 3}, {1, 2, 3, 4, 5, 6})}})[0], {2}, {6, 15});
  }
}

TEST(OnnxOps, OldBroadcastAlignsAtAnAxis) {
  ModelMaker m(6);
  m.input("x", {2, 2}), m.input("b", {2});
  NodeProto *n = m.node("Add", {"x", "b"}, {"y"});
  set_int(n, "broadcast", 1), set_int(n, "axis", 0);
  m.output("y");
  expect(run(m, {{"x", floats({2, 2}, {0, 0, 0, 0})}, {"b", floats({2}, {1, 2})}})[0], {2, 2}, {1, 1, 2, 2});
}

TEST(OnnxOps, SliceClampsAndWalksBack) {
  ModelMaker m;
  m.input("x", {4});
  m.ints("from", {-1}), m.ints("to", {INT64_MIN}), m.ints("axes", {0}), m.ints("step", {-2});
  m.node("Slice", {"x", "from", "to", "axes", "step"}, {"y"});
  m.output("y");
  expect(run(m, {{"x", floats({4}, {0, 1, 2, 3})}})[0], {2}, {3, 1});
  m.graph->mutable_initializer(0)->set_int64_data(0, -9);
  expect(run(m, {{"x", floats({4}, {0, 1, 2, 3})}})[0], {1}, {0});
}

TEST(OnnxOps, PadReflectsWiderThanTheAxis) {
  ModelMaker m;
  m.input("x", {3});
  m.ints("pads", {4, 1});
  attribute(m.node("Pad", {"x", "pads"}, {"y"}), "mode")->set_s("reflect");
  m.output("y");
  expect(run(m, {{"x", floats({3}, {0, 1, 2})}})[0], {8}, {0, 1, 2, 1, 0, 1, 2, 1});
}

TEST(OnnxOps, ConvTransposeSpreadsItsKernel) {
  ModelMaker m;
  m.input("x", {1, 1, 2});
  m.floats("w", {1, 1, 3}, {1, 2, 3});
  set_ints(m.node("ConvTranspose", {"x", "w"}, {"y"}), "strides", {2});
  m.output("y");
  // 1 * [1 2 3] at 0 and 10 * [1 2 3] at 2.
  expect(run(m, {{"x", floats({1, 1, 2}, {1, 10})}})[0], {1, 1, 5}, {1, 2, 13, 20, 30});
}

TEST(OnnxOps, ReshapeDividesByLargeDims) {
  ModelMaker m;
  m.input("x", {1, 1 << 21});
  m.ints("shape", {1 << 21, -1});
  m.node("Reshape", {"x", "shape"}, {"y"});
  m.output("y");
  EXPECT_EQ(import_model(m.file()).graph->outputs[0].value.type().str(), "f32[2097152, 1]");
}

TEST(OnnxOps, AveragePoolCountsWhatTheOpsetSays) {
  for (bool count : {false, true}) {
    ModelMaker m;
    m.input("x", {1, 1, 3});
    NodeProto *n = m.node("AveragePool", {"x"}, {"y"});
    set_ints(n, "kernel_shape", {2}), set_ints(n, "strides", {2}), set_ints(n, "pads", {1, 0}),
        set_int(n, "count_include_pad", count);
    m.output("y");
    expect(run(m, {{"x", floats({1, 1, 3}, {4, 6, 8})}})[0], {1, 1, 2}, {count ? 2.0 : 4.0, 7});
  }
}

TEST(OnnxOps, MaxPoolTellsWhereItsMaximumLies) {
  ModelMaker m;
  m.input("x", {1, 1, 2, 2});
  NodeProto *n = m.node("MaxPool", {"x"}, {"y", "i"});
  set_ints(n, "kernel_shape", {2, 2}), set_ints(n, "pads", {1, 1, 1, 1}), set_ints(n, "strides", {2, 2});
  m.output("i");
  expect(run(m, {{"x", floats({1, 1, 2, 2}, {-1, -2, -3, -4})}})[0], {1, 1, 2, 2}, {0, 1, 2, 3});
}

TEST(OnnxOps, ResizeInterpolates) {
  ModelMaker m;
  m.input("x", {1, 1, 2});
  m.floats("scales", {3}, {1, 1, 2});
  attribute(m.node("Resize", {"x", "", "scales"}, {"y"}), "mode")->set_s("linear");
  m.output("y");
  // Half-pixel centres lie at -0.25, 0.25, 0.75, 1.25.
  expect(run(m, {{"x", floats({1, 1, 2}, {0, 8})}})[0], {1, 1, 4}, {0, 2, 6, 8});
}

TEST(OnnxOps, EinsumMultipliesAndSums) {
  for (auto [equation, shape, want] :
       {std::tuple{"ij,jk->ik", std::vector<int64_t>{2, 2}, std::vector<double>{19, 22, 43, 50}},
        std::tuple{"ij,ij->", std::vector<int64_t>{}, std::vector<double>{70}},
        std::tuple{"ij,kl->il", std::vector<int64_t>{2, 2}, std::vector<double>{36, 42, 84, 98}}}) {
    ModelMaker m;
    m.input("a", {2, 2}), m.input("b", {2, 2});
    attribute(m.node("Einsum", {"a", "b"}, {"y"}), "equation")->set_s(equation);
    m.output("y");
    expect(run(m, {{"a", floats({2, 2}, {1, 2, 3, 4})}, {"b", floats({2, 2}, {5, 6, 7, 8})}})[0], shape, want);
  }
}

TEST(OnnxOps, IntegerModFollowsTheDivisor) {
  ModelMaker m;
  m.input("x", {4}, TensorProto::INT64), m.input("z", {4}, TensorProto::INT64);
  m.node("Mod", {"x", "z"}, {"y"});
  m.output("y");
  expect(run(m, {{"x", integers({7, -7, 7, -7})}, {"z", integers({3, 3, -3, -3})}})[0], {4}, {1, 2, -2, -1});
}

// Values by rational arithmetic and numpy.
TEST(OnnxOps, FloatModIsExact) {
  auto mod = [](int type, const Tensor &x, const Tensor &z, bool as_c) {
    ModelMaker m;
    m.input("x", x.dims(), type), m.input("z", z.dims(), type);
    set_int(m.node("Mod", {"x", "z"}, {"y"}), "fmod", as_c);
    m.output("y");
    return run(m, {{"x", x}, {"z", z}})[0];
  };
  Tensor x = floats({6}, {1e20f, -1e20f, 7, -7, -6, 3}), z = floats({6}, {3, 3, -3, 3, 3, INFINITY});
  expect(mod(TensorProto::FLOAT, x, z, true), {6}, {2, -2, 1, -1, 0, 3});
  expect(mod(TensorProto::FLOAT, x, z, false), {6}, {2, 1, -2, 2, 0, 3});
  EXPECT_TRUE(std::signbit(mod(TensorProto::FLOAT, x, z, true).get(4)));
  EXPECT_FALSE(std::signbit(mod(TensorProto::FLOAT, x, z, false).get(4)));
  std::vector<double> a{1e10, -1e10, 1e300}, b{0.1, 0.1, 7};
  auto f64 = [](const std::vector<double> &v) {
    return Tensor::of<double>(DType::f64, {int64_t(v.size())}, std::span<const double>(v));
  };
  expect(mod(TensorProto::DOUBLE, f64(a), f64(b), true), {3}, {0.09999944488848769, -0.09999944488848769, 1}, 0);
  expect(mod(TensorProto::DOUBLE, f64(a), f64(b), false), {3}, {0.09999944488848769, 5.551115123125783e-07, 1}, 0);
}

// A cell of one unit: short sequences unroll, long ones are a scan.
TEST(OnnxOps, LstmFollowsItsRecurrence) {
  for (int64_t steps : {3, 100}) {
    ModelMaker m;
    m.input("x", {steps, 1, 1});
    m.floats("w", {1, 4, 1}, {0.5f, -0.3f, 0.8f, 0.9f}), m.floats("r", {1, 4, 1}, {0.1f, 0.2f, -0.4f, 0.6f});
    m.floats("b", {1, 8}, {0.1f, 0, 0.2f, 0, 0, 0.3f, 0, -0.1f});
    set_int(m.node("LSTM", {"x", "w", "r", "b"}, {"", "h", "c"}), "hidden_size", 1);
    m.output("h"), m.output("c");
    std::vector<float> x;
    double h = 0, c = 0;
    auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    for (int64_t t = 0; t < steps; ++t) {
      x.push_back(float(std::sin(double(t))));
      double v = x.back(), i = sigmoid(0.5 * v + 0.1 * h + 0.1), o = sigmoid(-0.3 * v + 0.2 * h + 0.3),
             f = sigmoid(0.8 * v - 0.4 * h + 0.2), g = std::tanh(0.9 * v + 0.6 * h - 0.1);
      c = f * c + i * g, h = o * std::tanh(c);
    }
    std::vector<Tensor> y = run(m, {{"x", floats({steps, 1, 1}, x)}});
    expect(y[0], {1, 1, 1}, {h}, 1e-5), expect(y[1], {1, 1, 1}, {c}, 1e-5);
  }
}

TEST(OnnxOps, QuantisedValuesSaturate) {
  ModelMaker m;
  m.input("x", {4});
  m.floats("scale", {}, {0.5f});
  TensorProto *zero = m.graph->add_initializer();
  zero->set_name("zero"), zero->set_data_type(TensorProto::UINT8), zero->add_int32_data(128);
  m.node("QuantizeLinear", {"x", "scale", "zero"}, {"q"});
  m.node("DequantizeLinear", {"q", "scale", "zero"}, {"y"});
  m.output("q"), m.output("y");
  std::vector<Tensor> y = run(m, {{"x", floats({4}, {0, 0.75f, -100, 100})}});
  expect(y[0], {4}, {128, 130, 0, 255}); // 1.5 rounds to even
  expect(y[1], {4}, {0, 1, -64, 63.5});
}

TEST(OnnxOps, FloatingModFollowsTheDivisor) {
  for (bool fmod : {false, true}) {
    ModelMaker m(13);
    m.input("x", {6}), m.input("z", {6});
    set_int(m.node("Mod", {"x", "z"}, {"y"}), "fmod", fmod);
    m.output("y");
    // Infinite divisors leave x, or take their own sign; a long quotient keeps its remainder.
    std::vector<double> want =
        fmod ? std::vector<double>{1.5, -1.5, 1.5, 3, -3, 1} : std::vector<double>{1.5, 0.5, -0.5, 3, INFINITY, 1};
    Tensor y = run(m, {{"x", floats({6}, {5.5f, -5.5f, 5.5f, 3, -3, 16777216})},
                       {"z", floats({6}, {2, 2, -2, INFINITY, INFINITY, 3})}})[0];
    for (int64_t i = 0; i < 6; ++i)
      if (std::isinf(want[size_t(i)]))
        EXPECT_EQ(y.get(i), want[size_t(i)]);
      else
        EXPECT_NEAR(y.get(i), want[size_t(i)], 1e-6) << fmod << " " << i;
  }
}

TEST(OnnxOps, MaxPoolCropsWhatNoWindowReaches) {
  ModelMaker m;
  m.input("x", {1, 1, 4});
  NodeProto *n = m.node("MaxPool", {"x"}, {"y"});
  set_ints(n, "kernel_shape", {1}), set_ints(n, "strides", {3}), set_ints(n, "pads", {0, 2}),
      set_int(n, "ceil_mode", 1);
  m.output("y");
  // A third window would begin in the padding.
  expect(run(m, {{"x", floats({1, 1, 4}, {1, 9, 9, 4})}})[0], {1, 1, 2}, {1, 4});
}

TEST(OnnxOps, SpaceToDepthOrdersBlocksByMode) {
  for (auto [mode, want] :
       {std::pair{"DCR", std::vector<double>{1, 5, 2, 6, 3, 7, 4, 8}}, {"CRD", {1, 2, 3, 4, 5, 6, 7, 8}}}) {
    ModelMaker m(28);
    m.input("x", {1, 2, 2, 2});
    NodeProto *n = m.node("SpaceToDepth", {"x"}, {"y"});
    set_int(n, "blocksize", 2), attribute(n, "mode")->set_s(mode);
    m.output("y");
    expect(run(m, {{"x", floats({1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8})}})[0], {1, 8, 1, 1}, want);
  }
}

// Four keys with equal scores: the result is the mean of the values that a query sees.
TEST(OnnxOps, AttentionWindowsCountFromTheCache) {
  auto means = [](int64_t left, int64_t right, bool causal, std::vector<int64_t> lengths) {
    ModelMaker m(25);
    m.input("q", {1, 1, 2, 1}), m.input("k", {1, 1, 4, 1}), m.input("v", {1, 1, 4, 1});
    if (!lengths.empty()) m.ints("n", lengths);
    NodeProto *a = m.node("Attention",
                          lengths.empty() ? std::vector<std::string>{"q", "k", "v"}
                                          : std::vector<std::string>{"q", "k", "v", "", "", "", "n"},
                          {"y"});
    set_int(a, "left_window_size", left), set_int(a, "right_window_size", right), set_int(a, "is_causal", causal);
    m.output("y");
    return run(m, {{"q", floats({1, 1, 2, 1}, {0, 0})},
                   {"k", floats({1, 1, 4, 1}, {1, 2, 3, 4})},
                   {"v", floats({1, 1, 4, 1}, {1, 10, 100, 1000})}})[0];
  };
  expect(means(0, 1, false, {}), {1, 1, 2, 1}, {5.5, 55});
  expect(means(-1, 1, false, {}), {1, 1, 2, 1}, {5.5, 37});
  expect(means(-1, -1, true, {}), {1, 1, 2, 1}, {1, 5.5});
  expect(means(-1, -1, true, {3}), {1, 1, 2, 1}, {5.5, 37}); // the queries are the last two of three
  expect(means(0, -1, true, {4}), {1, 1, 2, 1}, {100, 1000});
  expect(means(-1, -1, true, {1}), {1, 1, 2, 1}, {0, 1}); // the first sees no key
}

TEST(OnnxOps, AlignedCornersScaleTheLengthBeforeItIsWhole) {
  ModelMaker m;
  m.input("x", {1, 1, 4});
  m.floats("scales", {3}, {1, 1, 0.6f});
  NodeProto *n = m.node("Resize", {"x", "", "scales"}, {"y"});
  attribute(n, "mode")->set_s("linear"), attribute(n, "coordinate_transformation_mode")->set_s("align_corners");
  m.output("y");
  // Two elements of a length of 2.4: steps of 3 / 1.4.
  expect(run(m, {{"x", floats({1, 1, 4}, {0, 7, 14, 21})}})[0], {1, 1, 2}, {0, 15}, 1e-4);
}

TEST(OnnxOps, SwiGluMultipliesByTheGate) {
  ModelMaker m(28);
  m.input("a", {2}), m.input("b", {2});
  m.node("SwiGLU", {"a", "b"}, {"y"});
  m.output("y");
  expect(run(m, {{"a", floats({2}, {0, 2})}, {"b", floats({2}, {5, 3})}})[0], {2}, {0, 6 / (1 + std::exp(-2.0))});
}

TEST(OnnxOps, ResizeOf10ShrinksToTheNextElement) {
  ModelMaker m(10);
  m.input("x", {1, 1, 5});
  m.floats("scales", {3}, {1, 1, 0.6f});
  m.node("Resize", {"x", "scales"}, {"y"});
  m.output("y");
  // Places 0, 1.67 and 3.33: the version has no attribute for it.
  expect(run(m, {{"x", floats({1, 1, 5}, {0, 1, 2, 3, 4})}})[0], {1, 1, 3}, {0, 2, 4});
}

} // namespace trellis::onnx

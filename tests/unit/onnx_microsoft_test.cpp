// Operators of com.microsoft: values from their formulas, which ONNX Runtime 1.32 was seen to follow.
#include "tests/unit/onnx_models.h"
#include <cmath>

namespace trellis::onnx {
namespace {

// A node with constants: quantised tensors are [n] of u8, scales and zero points scalars.
struct Quantised {
  ModelMaker m{17};
  NodeProto *n;
  std::vector<std::string> names;

  explicit Quantised(const char *op) {
    m.opset_import("com.microsoft", 1);
    n = m.node(op, {}, {"y"});
    n->set_domain("com.microsoft");
    m.output("y");
  }
  Quantised &bytes(std::vector<int64_t> dims, std::vector<int> values, int type = TensorProto::UINT8) {
    TensorProto *t = m.graph->add_initializer();
    t->set_name("c" + std::to_string(m.graph->initializer_size())), t->set_data_type(type);
    for (int64_t d : dims) t->add_dims(d);
    for (int v : values) t->add_int32_data(v);
    n->add_input(t->name());
    return *this;
  }
  Quantised &numbers(std::vector<int64_t> dims, std::vector<float> values) {
    std::string name = "c" + std::to_string(m.graph->initializer_size() + 1);
    m.floats(name, dims, values), n->add_input(name);
    return *this;
  }
  Quantised &scale(float v) { return numbers({}, {v}); }
  Quantised &zero(int v) { return bytes({}, {v}); }
  Quantised &none() { return n->add_input(""), *this; }
  Tensor run() { return onnx::run(m, {})[0]; }
};

double gelu_exact(double x) { return x * 0.5 * (1 + std::erf(x / std::sqrt(2.0))); }

} // namespace

TEST(OnnxMicrosoft, SumsAndProductsOfQuantisedNumbers) {
  // (10 - 8) 0.5 + (7 - 4) 0.25 = 1.75, and their product 0.75; over 0.25, plus 100.
  for (bool sum : {true, false}) {
    Quantised q(sum ? "QLinearAdd" : "QLinearMul");
    q.bytes({2}, {10, 8}).scale(0.5f).zero(8).bytes({1}, {7}).scale(0.25f).zero(4).scale(0.25f).zero(100);
    expect(q.run(), {2}, sum ? std::vector<double>{107, 103} : std::vector<double>{103, 100});
  }
}

TEST(OnnxMicrosoft, FunctionsOfQuantisedNumbers) {
  Quantised s("QLinearSigmoid");
  expect(s.bytes({3}, {0, 128, 255}).scale(0.1f).zero(128).scale(1.0f / 256).zero(0).run(), {3}, {0, 128, 255});
  Quantised l("QLinearLeakyRelu");
  attribute(l.n, "alpha")->set_f(0.5f);
  expect(l.bytes({2}, {100, 140}).scale(1).zero(120).scale(1).zero(50).run(), {2}, {40, 70});
  Quantised soft("QLinearSoftmax");
  set_int(soft.n, "axis", -1), set_int(soft.n, "opset", 13);
  expect(soft.bytes({1, 2}, {7, 7}).scale(1).zero(0).scale(1.0f / 256).zero(0).run(), {1, 2}, {128, 128});
}

TEST(OnnxMicrosoft, QuantisedPoolsAndJoins) {
  for (bool last : {false, true}) {
    Quantised q("QLinearGlobalAveragePool");
    set_int(q.n, "channels_last", last);
    q.bytes({1, 2, 2}, {10, 20, 30, 50}).scale(2).zero(10).scale(1).zero(0);
    expect(q.run(), {1, last ? 1 : 2, last ? 2 : 1}, last ? std::vector<double>{20, 50} : std::vector<double>{10, 60});
  }
  Quantised p("QLinearAveragePool");
  set_ints(p.n, "kernel_shape", {2});
  expect(p.bytes({1, 1, 3}, {10, 20, 40}).scale(1).zero(10).scale(0.5f).zero(1).run(), {1, 1, 2}, {11, 41});
  Quantised c("QLinearConcat");
  set_int(c.n, "axis", 0);
  expect(c.scale(0.5f).zero(10).bytes({1}, {4}).scale(2).zero(1).bytes({2}, {5, 6}).scale(1).zero(5).run(), {3},
         {22, 10, 12});
}

TEST(OnnxMicrosoft, ConvolutionsTakeChannelsLast) {
  for (bool last : {false, true}) {
    Quantised q("QLinearConv");
    set_int(q.n, "channels_last", last);
    // Two channels at two positions, with weights 1 and 10; over 2, plus 3.
    q.bytes({1, 2, 2}, last ? std::vector<int>{11, 12, 13, 14} : std::vector<int>{11, 13, 12, 14}).scale(1).zero(10);
    q.bytes({1, 2, 1}, {1, 10}).scale(1).zero(0).scale(2).zero(3);
    expect(q.run(), {1, last ? 2 : 1, last ? 1 : 2}, {10 + 3, 22 + 3}); // 21 / 2 is rounded to even
  }
}

TEST(OnnxMicrosoft, QuantisedProducts) {
  Quantised g("QGemm");
  set_int(g.n, "transB", 1);
  // [1 2] with [[3 4], [5 6]]^T = 11, 17, plus 10, 20, times 0.5 and each column's scale.
  g.bytes({1, 2}, {11, 12})
      .scale(0.5f)
      .zero(10)
      .bytes({2, 2}, {3, 4, 5, 6}, TensorProto::INT8)
      .numbers({2}, {1, 2})
      .bytes({2}, {0, 0}, TensorProto::INT8);
  g.bytes({2}, {10, 20}, TensorProto::INT32);
  expect(g.run(), {1, 2}, {10.5, 37});
  Quantised m("MatMulIntegerToFloat");
  m.bytes({1, 2}, {11, 12})
      .bytes({2, 1}, {3, 4}, TensorProto::INT8)
      .scale(0.5f)
      .scale(2)
      .zero(10)
      .none()
      .numbers({1}, {100});
  expect(m.run(), {1, 1}, {111});
  Quantised d("DynamicQuantizeMatMul"); // 0 to 255: scale 1, zero 0
  d.numbers({1, 2}, {255, 2}).bytes({2, 1}, {4, 6}).scale(0.5f).zero(3);
  expect(d.run(), {1, 1}, {0.5 * (255 + 2 * 3)});
}

TEST(OnnxMicrosoft, PackedWeightsUnpack) {
  Quantised q("MatMulNBits");
  set_int(q.n, "N", 2), set_int(q.n, "K", 3), set_int(q.n, "bits", 4), set_int(q.n, "block_size", 16);
  std::vector<int> packed(16);
  packed[0] = 0x21, packed[1] = 0x03, packed[8] = 0x98, packed[9] = 0x0a; // 1 2 3 and 8 9 10
  q.numbers({1, 3}, {1, 10, 100}).bytes({2, 1, 8}, packed).numbers({2}, {1, 0.5f});
  expect(q.run(), {1, 2}, {-7 - 60 - 500, 0.5 * (0 + 10 + 200)}); // less 8, where no zero point is given
}

TEST(OnnxMicrosoft, FusedProductsAndActivations) {
  Quantised c("FusedConv");
  attribute(c.n, "activation")->set_s("LeakyRelu");
  attribute(c.n, "activation_params")->add_floats(0.5f);
  c.numbers({1, 1, 2}, {1, -4}).numbers({1, 1, 1}, {2}).numbers({1}, {1}).numbers({1, 1, 2}, {10, 1});
  expect(c.run(), {1, 1, 2}, {13, -3});
  Quantised m("FusedMatMul");
  set_int(m.n, "transA", 1), attribute(m.n, "alpha")->set_f(2);
  expect(m.numbers({2, 1}, {1, 2}).numbers({2, 1}, {3, 4}).run(), {1, 1}, {22});
  Quantised g("FusedGemm");
  attribute(g.n, "activation")->set_s("Relu");
  expect(g.numbers({1, 2}, {1, 2}).numbers({2, 2}, {1, -1, 1, -1}).numbers({2}, {0.5f, 1}).run(), {1, 2}, {3.5, 0});
  Quantised bias("BiasGelu");
  expect(bias.numbers({2}, {1, -2}).numbers({2}, {0.5f, 1}).run(), {2}, {gelu_exact(1.5), gelu_exact(-1)});
  Quantised quick("QuickGelu");
  expect(quick.numbers({1}, {2}).run(), {1}, {2 / (1 + std::exp(-2 * 1.702))});
  Quantised fast("FastGelu");
  expect(fast.numbers({1}, {1}).run(), {1}, {0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * 1.044715))});
}

TEST(OnnxMicrosoft, NormsOfSums) {
  Quantised s("SkipLayerNormalization");
  s.numbers({1, 2}, {1, 2})
      .numbers({1, 2}, {1, 4})
      .numbers({2}, {1, 2})
      .numbers({2}, {0, 5})
      .numbers({2}, {0, 2}); // 2 and 8
  s.n->add_output(""), s.n->add_output(""), s.n->add_output("sum"), s.m.output("sum");
  std::vector<Tensor> y = run(s.m, {});
  expect(y[0], {1, 2}, {-1, 7}), expect(y[1], {1, 2}, {2, 8});
  Quantised r("SkipSimplifiedLayerNormalization");
  r.numbers({1, 2}, {1, 2}).numbers({1, 2}, {2, 2}).numbers({2}, {1, 2});
  expect(r.run(), {1, 2}, {3 / std::sqrt(12.5), 8 / std::sqrt(12.5)});
  Quantised e("EmbedLayerNormalization");
  e.bytes({1, 1}, {1}, TensorProto::INT32)
      .none()
      .numbers({2, 2}, {9, 9, 1, 2})
      .numbers({2, 2}, {1, 4, 9, 9})
      .none()
      .numbers({2}, {1, 1})
      .numbers({2}, {0, 0});
  expect(e.run(), {1, 1, 2}, {-1, 1});
}

// Scores of zero: a query gets the mean of the values that it sees.
TEST(OnnxMicrosoft, AttentionMasksInTheirForms) {
  auto means = [](auto &&with, bool causal) {
    Quantised q("MultiHeadAttention");
    set_int(q.n, "num_heads", 1), set_int(q.n, "unidirectional", causal);
    q.numbers({1, 2, 1}, {0, 0}).numbers({1, 2, 1}, {1, 2}).numbers({1, 2, 1}, {1, 3});
    with(q);
    return q.run();
  };
  expect(means([](Quantised &) {}, false), {1, 2, 1}, {2, 2});
  expect(means([](Quantised &) {}, true), {1, 2, 1}, {1, 2});
  expect(means([](Quantised &q) { q.none().bytes({1}, {1}, TensorProto::INT32); }, false), {1, 2, 1}, {1, 1});
  expect(means([](Quantised &q) { q.none().bytes({1, 2}, {0, 1}, TensorProto::INT32); }, false), {1, 2, 1}, {3, 3});
  expect(
      means([](Quantised &q) { q.none().none().none().numbers({1, 1, 1, 1}, {5}).numbers({1, 1, 1, 1}, {8}); }, true),
      {1, 2, 1}, {4.5, 4});
}

TEST(OnnxMicrosoft, AttentionProjectsAndKeepsItsCache) {
  Quantised q("Attention");
  set_int(q.n, "num_heads", 1);
  q.numbers({1, 2, 1}, {1, 3}).numbers({1, 3}, {0, 1, 1}).numbers({3}, {0, 0, 10}); // values 11 and 13
  q.n->add_output("cache"), q.m.output("cache");
  std::vector<Tensor> y = run(q.m, {});
  expect(y[0], {1, 2, 1}, {12, 12}), expect(y[1], {2, 1, 1, 2, 1}, {1, 3, 11, 13});
  Quantised i("QAttention");
  set_int(i.n, "num_heads", 1);
  i.bytes({1, 2, 1}, {11, 13})
      .bytes({1, 3}, {0, 1, 1}, TensorProto::INT8)
      .numbers({3}, {0, 0, 10})
      .scale(1)
      .scale(1)
      .none()
      .zero(10);
  expect(i.run(), {1, 2, 1}, {12, 12});
}

TEST(OnnxMicrosoft, RotaryEmbeddingTurnsByPosition) {
  Quantised q("RotaryEmbedding");
  q.numbers({1, 2, 2}, {1, 0, 0, 1})
      .bytes({1}, {1}, TensorProto::INT32)
      .numbers({3, 1}, {9, 0, 1})
      .numbers({3, 1}, {9, 1, 0});
  expect(q.run(), {1, 2, 2}, {0, 1, 0, 1}); // by a quarter, then not at all
}

} // namespace trellis::onnx

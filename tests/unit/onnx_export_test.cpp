// Graphs written as ONNX and read again give the same: the text of every op, and their gradients.
#include "compiler/onnx/export.h"
#include "compiler/onnx/exporter.h"
#include "ir/bind.h"
#include "ir/build.h"
#include "ir/parse.h"
#include "ir/verify.h"
#include "passes/autodiff.h"
#include "passes/pass.h"
#include "tests/unit/onnx_models.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

namespace trellis::onnx {
namespace {

namespace fs = std::filesystem;

File file_of(const Graph &g, std::span<const NamedTensor> values = {}) {
  return {"again.onnx", ".", std::make_shared<ModelProto>(export_model(g, values))};
}

std::map<std::string, Tensor> random_inputs(const Graph &g, std::mt19937 &random) {
  std::map<std::string, Tensor> out;
  for (Value v : g.inputs()) {
    Tensor t(v.dtype(), dims_of(v.shape()));
    for (int64_t i = 0; i < t.size(); ++i)
      if (is_float(t.dtype()))
        t.set(i, double(int64_t(random() % 4001) - 2000) / 1000);
      else
        t.set_int(i, int64_t(random() % (t.dtype() == DType::boolean ? 2 : 4)));
    out.emplace(v.node->attrs.word(Attr::name), t);
  }
  return out;
}

void expect_same(const Tensor &got, const Tensor &want, const std::string &what) {
  ASSERT_EQ(got.type(), want.type()) << what;
  double tolerance = want.dtype() == DType::f16 || want.dtype() == DType::bf16 ? 2e-2
                     : want.dtype() == DType::f64                              ? 1e-6
                                                                               : 1e-5; // attributes are f32
  for (int64_t i = 0; i < want.size(); ++i) {
    if (!is_float(want.dtype())) {
      ASSERT_EQ(got.get_int(i), want.get_int(i)) << what << ", element " << i;
      continue;
    }
    double a = got.get(i), b = want.get(i);
    bool same = std::isnan(b) ? std::isnan(a) : a == b || std::fabs(a - b) <= tolerance * std::max(1.0, std::fabs(b));
    ASSERT_TRUE(same) << what << ", element " << i << ": " << a << ", but " << b << " is right";
  }
}

// Both by the interpreter.
void round_trip(const Graph &g, const std::string &what) {
  std::mt19937 random(7);
  File file = file_of(g);
  std::map<std::string, Tensor> inputs = random_inputs(g, random);
  std::vector<Tensor> next, want = evaluate(g, inputs, &next);
  for (Tensor &t : next) want.push_back(t);
  Imported again = import_model(file, {inputs, {}});
  verify(*again.graph);
  std::vector<Tensor> got = evaluate(*again.graph, inputs);
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i)
    expect_same(got[i], want[i], what + ", output " + again.graph->outputs[i].name);
}

std::unique_ptr<Graph> read(const fs::path &path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  std::unique_ptr<Graph> g = parse(text.str(), path.string());
  Bindings dims;
  for (const std::string &s : symbols(*g)) dims[s] = 3;
  return dims.empty() ? std::move(g) : bind_dims(*g, dims);
}

std::vector<std::string> texts() {
  std::vector<std::string> out;
  for (const auto &e : fs::directory_iterator(TRELLIS_SOURCE_DIR "/tests/ops"))
    if (e.path().extension() == ".trl") out.push_back(e.path().stem().string());
  std::sort(out.begin(), out.end());
  return out;
}

class OnnxExport : public ::testing::TestWithParam<std::string> {
protected:
  std::unique_ptr<Graph> graph() const { return read(TRELLIS_SOURCE_DIR "/tests/ops/" + GetParam() + ".trl"); }
};

TEST_P(OnnxExport, ReadsBackAsItWas) {
  if (GetParam() == "bitcast") GTEST_SKIP() << "bits of floats have no form in opset 20";
  round_trip(*graph(), GetParam());
}

// Of the last output that is a floating scalar.
TEST_P(OnnxExport, AndItsGradient) {
  GraphPtr g = graph();
  Value loss;
  for (const NamedValue &o : g->outputs)
    if (is_float(o.value.dtype()) && o.value.rank() == 0) loss = o.value;
  Values of;
  for (Value v : g->inputs())
    if (is_float(v.dtype())) of.push_back(v);
  if (!loss || of.empty()) GTEST_SKIP() << "no gradient";
  Values grads;
  try {
    grads = gradients(loss, of);
  } catch (const CompileError &e) { GTEST_SKIP() << e.what(); }
  g->outputs.clear();
  for (size_t i = 0; i < of.size(); ++i)
    if (grads[i]) g->outputs.push_back({"grad." + of[i].node->attrs.word(Attr::name), dense(grads[i], of[i])});
  if (g->outputs.empty()) GTEST_SKIP() << "no gradient";
  round_trip(*g, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Ops, OnnxExport, ::testing::ValuesIn(texts()), [](const auto &info) { return info.param; });

} // namespace

TEST(OnnxExportTable, EveryCoreOpIsWritten) {
  for (int i = 0; i < kOpCount; ++i) {
    const OpInfo &row = info(Op(i));
    EXPECT_TRUE(row.kind == OpKind::composite || Op(i) == Op::input || export_rows().contains(Op(i))) << row.name;
  }
}

TEST(OnnxExportModel, ValuesAreInitialisersAndSuccessorsOutputs) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[2]) {\n  param %w : f32[2]\n  state %s : f32[2]\n  %y = mul %x, %w\n"
                 "  %n = add %s, %y\n  update %s, %n\n  return %y\n}\n",
                 "t.trl");
  NamedTensor values[] = {{"w", floats({2}, {3, 4})}, {"s", floats({2}, {5, 6})}};
  ModelProto m = export_model(*g, values);
  ASSERT_EQ(m.graph().input_size(), 2);
  EXPECT_EQ(m.graph().input(0).name(), "x");
  EXPECT_EQ(m.graph().input(1).name(), "s");
  EXPECT_EQ(m.graph().initializer_size(), 2);
  ASSERT_EQ(m.graph().output_size(), 2);
  EXPECT_EQ(m.graph().output(0).name(), "y");
  EXPECT_EQ(m.graph().output(1).name(), "s.next");
  Imported again = import_model({"t.onnx", ".", std::make_shared<ModelProto>(m)});
  std::map<std::string, Tensor> inputs{{"x", floats({2}, {1, 2})}};
  for (const NamedTensor &w : again.weights) inputs.emplace(w.name, w.tensor);
  std::vector<Tensor> out = evaluate(*again.graph, inputs);
  expect(out[0], {2}, {3, 8});
  expect(out[1], {2}, {8, 14});
}

// The model's Cast gets no value out of range, so every runtime gives these.
TEST(OnnxExportModel, FloatsSaturateAsIntegers) {
  for (DType to : {DType::i8, DType::u8, DType::i16, DType::u16, DType::i32, DType::u32, DType::i64}) {
    Graph g("t");
    Value x = g.input("x", {DType::f32, {7}});
    g.outputs = {{"y", cast(x, to)}};
    File file = file_of(g);
    float least = is_signed_int(to) ? -std::ldexp(1.f, 8 * size_of(to) - 1) : 0;
    Tensor in = floats({7}, {NAN, INFINITY, -INFINITY, 3.7f, -3.7f, 1e30f, least});
    ImportOptions o;
    Imported again = import_model(file, o);
    std::vector<Tensor> got = evaluate(*again.graph, {{"x", in}}), want = evaluate(g, std::vector<Tensor>{in});
    expect_same(got[0], want[0], std::string(name(to)));
    EXPECT_EQ(got[0].get_int(0), 0);
    int casts = 0; // from floats, each behind a Clip
    for (const NodeProto &n : file.model->graph().node()) casts += n.op_type() == "Clip";
    EXPECT_EQ(casts, 1);
  }
}

TEST(OnnxExportModel, WhatHasNoFormIsNamed) {
  auto g = parse("trellis 1\ngraph @t(%x: f32[2]) {\n  %y = bitcast %x, dtype=i32\n  return %y\n}\n", "t.trl");
  try {
    export_model(*g, {});
    FAIL();
  } catch (const CompileError &e) {
    EXPECT_EQ(
        std::string(e.what()).find("t.trl:3:8: error: op 'bitcast' can not be written as ONNX: bits of f32 as i32"), 0u)
        << e.what();
  }
}

} // namespace trellis::onnx

// Files that are refused: unsupported, corrupt, hostile.
#include "tests/unit/onnx_models.h"
#include <cmath>
#include <filesystem>
#include <fstream>

namespace trellis::onnx {

TEST(OnnxErrors, EveryUnsupportedOperatorIsReported) {
  ModelMaker m;
  m.opset_import("custom", 3);
  m.input("x", {2});
  m.node("Frobnicate", {"x"}, {"a"});
  m.node("Relu", {"a"}, {"b"});
  m.node("Twist", {"b"}, {"y"})->set_domain("custom");
  m.node("Gelu", {"x"}, {"z"})->set_domain("elsewhere");
  m.output("y");
  std::string report = refusal_of(m);
  EXPECT_NE(
      report.find("net.onnx: node 'make_a' (Frobnicate): error: operator Frobnicate (version 17) is not supported"),
      std::string::npos)
      << report;
  EXPECT_NE(report.find(
                "node 'make_y' (Twist): error: operator custom.Twist (version 3 of domain 'custom') is not supported"),
            std::string::npos)
      << report;
  EXPECT_NE(report.find("the model imports no operator set of domain 'elsewhere'"), std::string::npos) << report;
  EXPECT_EQ(report.find("Relu"), std::string::npos) << report;
}

TEST(OnnxErrors, ValuesThatNoNodeGives) {
  ModelMaker m;
  m.input("x", {2});
  m.node("Add", {"x", "b"}, {"a"});
  m.node("Add", {"x", "a"}, {"b"}); // a cycle
  m.output("c");
  std::string report = refusal_of(m);
  EXPECT_NE(
      report.find(
          "node 'make_a' (Add): error: uses 'b', which is no input, no initializer and no result of an earlier node"),
      std::string::npos);
  EXPECT_NE(report.find("output 'c': error: no node gives it"), std::string::npos);
}

TEST(OnnxErrors, ExtentsWhoseProductOverflows) {
  ModelMaker m;
  m.input("x", {4});
  m.ints("shape", {int64_t(1) << 40, int64_t(1) << 40, int64_t(1) << 40, 4});
  m.node("Reshape", {"x", "shape"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("node 'make_y' (Reshape): error: reshape: no tensor can have the new shape"),
            std::string::npos)
      << refusal_of(m);
}

TEST(OnnxErrors, AttentionOfOtherRanks) {
  ModelMaker m;
  m.opset_import("", 23);
  for (const char *name : {"q", "k", "v"}) m.input(name, {1, 2, 3, 4});
  m.input("past", {3, 4});
  m.input("hidden", {});
  m.node("Attention", {"q", "k", "v", "", "past", "past"}, {"y"});
  m.node("Attention", {"q", "k", "v", "hidden"}, {"z"});
  m.output("y");
  m.output("z");
  std::string report = refusal_of(m);
  EXPECT_NE(report.find("node 'make_y' (Attention): error: past keys and values need rank 4"), std::string::npos)
      << report;
  EXPECT_NE(report.find("node 'make_z' (Attention): error: the mask is a scalar"), std::string::npos) << report;
}

TEST(OnnxErrors, TensorsThatDoNotHoldTogether) {
  ModelMaker m;
  m.input("x", {2});
  TensorProto *w = m.floats("w", {2}, {1, 2});
  m.node("Add", {"x", "w"}, {"y"});
  m.output("y");
  w->add_float_data(3);
  EXPECT_NE(refusal_of(m).find("initializer 'w': error: 3 elements for f32[2]"), std::string::npos);
  w->clear_float_data(), w->set_raw_data("1234567");
  EXPECT_NE(refusal_of(m).find("7 bytes of raw data for f32[2], which has 8"), std::string::npos);
  w->set_dims(0, int64_t(1) << 62);
  EXPECT_NE(refusal_of(m).find("no tensor can have the dims"), std::string::npos);
  w->set_dims(0, -1);
  EXPECT_NE(refusal_of(m).find("no tensor can have the dims"), std::string::npos);
  w->set_dims(0, 2), w->set_data_type(TensorProto::STRING);
  EXPECT_NE(refusal_of(m).find("element type string is not supported"), std::string::npos);
}

TEST(OnnxErrors, ExternalDataStaysInTheFolder) {
  ModelMaker m;
  m.input("x", {2});
  TensorProto *w = m.floats("w", {2}, {});
  w->set_data_location(TensorProto::EXTERNAL);
  StringStringEntryProto *location = w->add_external_data();
  location->set_key("location");
  m.node("Add", {"x", "w"}, {"y"});
  m.output("y");
  for (const char *path : {"/etc/passwd", "../w.bin", "a/../../w.bin", ""}) {
    location->set_value(path);
    EXPECT_NE(refusal_of(m).find("is no file in the model's folder"), std::string::npos) << path;
  }
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "onnx_external";
  std::filesystem::create_directories(folder);
  float values[] = {0, 5, 7};
  std::ofstream(folder / "w.bin", std::ios::binary).write(reinterpret_cast<const char *>(values), sizeof values);
  location->set_value("w.bin");
  StringStringEntryProto *offset = w->add_external_data();
  offset->set_key("offset"), offset->set_value("4");
  File f = m.file();
  f.folder = folder.string();
  Imported imported = import_model(f);
  expect(imported.weights.at(0).tensor, {2}, {5, 7});
  offset->set_value("8");
  f.model = std::make_shared<ModelProto>(m.model);
  EXPECT_THROW(import_model(f), CompileError);
}

TEST(OnnxErrors, FilesThatAreNoModels) {
  std::string path = testing::TempDir() + "/no_model.onnx";
  auto refused = [&](const std::string &bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      read_file(path);
    } catch (const CompileError &e) { return std::string(e.what()).find("is no ONNX model") != std::string::npos; }
    return false;
  };
  EXPECT_TRUE(refused(""));
  EXPECT_TRUE(refused("trellis 1\n\ngraph @f() {}\n"));
  ModelMaker m;
  m.input("x", {2});
  m.output("x");
  std::string whole = m.model.SerializeAsString();
  std::ofstream(path, std::ios::binary) << whole;
  EXPECT_NO_THROW(read_file(path));
  EXPECT_TRUE(refused(whole.substr(0, whole.size() - 3)));
  // If in If, deeper than any reader's stack should go.
  GraphProto *g = m.graph;
  for (int k = 0; k < 200; ++k) {
    AttributeProto *a = g->add_node()->add_attribute();
    a->set_name("then_branch"), g = a->mutable_g();
  }
  EXPECT_TRUE(refused(m.model.SerializeAsString()));
}

TEST(OnnxErrors, MistakesOfANodeNameIt) {
  ModelMaker m;
  m.input("x", {2, 3}), m.input("z", {2, 3});
  m.node("MatMul", {"x", "z"}, {"a"});
  set_int(m.node("Softmax", {"x"}, {"b"}), "axis", 5);
  m.output("a"), m.output("b");
  std::string report = refusal_of(m);
  EXPECT_NE(report.find("net.onnx: node 'make_a' (MatMul): error: dot: shapes do not fit"), std::string::npos)
      << report;
  EXPECT_NE(report.find("net.onnx: node 'make_b' (Softmax): error: axis 5 is out of range for rank 2"),
            std::string::npos)
      << report;
}

// Ranks and sizes that recipes index by.
TEST(OnnxErrors, RanksAreCheckedBeforeAxesAreRead) {
  auto refused = [](const char *domain, const char *op, std::vector<std::vector<int64_t>> shapes, auto &&with) {
    ModelMaker m(20);
    m.opset_import("com.microsoft", 1);
    std::vector<std::string> names;
    for (const auto &dims : shapes) names.push_back("x" + std::to_string(names.size())), m.input(names.back(), dims);
    NodeProto *n = m.node(op, names, {"y"});
    n->set_domain(domain), with(n);
    m.output("y");
    return refusal_of(m);
  };
  auto heads = [](NodeProto *n) { set_int(n, "num_heads", 1); };
  EXPECT_NE(refused("", "GridSample", {{}, {}}, [](NodeProto *) {}).find("a grid "), std::string::npos);
  EXPECT_NE(
      refused("com.microsoft", "SkipLayerNormalization", {{}, {}, {}}, [](NodeProto *) {}).find("a scalar has no norm"),
      std::string::npos);
  EXPECT_NE(refused("com.microsoft", "Attention", {{2}, {2}}, heads).find("an input of rank 3"), std::string::npos);
  EXPECT_NE(refused("com.microsoft", "MultiHeadAttention", {{1, 1, 1}, {1, 1}, {1, 1, 1}}, heads)
                .find("the keys are f32[1, 1]"),
            std::string::npos);
}

// --- sizes: a few bytes of a file must not take gigabytes, nor overflow ---

namespace {
struct OneNode {
  ModelMaker m{22};
  NodeProto *n;
  using Inputs = std::vector<std::pair<std::vector<int64_t>, int>>;
  OneNode(const std::string &op, const Inputs &inputs, const std::string &domain = "") {
    m.opset_import("ai.onnx.ml", 3), m.opset_import("com.microsoft", 1);
    std::vector<std::string> names;
    for (const auto &[dims, type] : inputs) {
      names.push_back("x" + std::to_string(names.size()));
      m.input(names.back(), dims, type);
    }
    n = m.node(op, names, {"y"});
    n->set_domain(domain);
    m.output("y");
  }
  void set_floats(const std::string &name, const std::vector<float> &values) {
    AttributeProto *a = attribute(n, name);
    for (float v : values) a->add_floats(v);
  }
  void refused(const std::string &text) {
    std::string report = refusal_of(m);
    EXPECT_NE(report.find("net.onnx: node 'make_y' (" + n->op_type() + "): error: "), std::string::npos) << report;
    EXPECT_NE(report.find(text), std::string::npos) << report;
  }
};
constexpr int64_t kHuge = int64_t(1) << 62;
constexpr int kFloat = TensorProto::FLOAT, kInt = TensorProto::INT64;
} // namespace

TEST(OnnxErrors, TablesOfGramsAreBounded) {
  auto grams = [](int64_t tokens, int64_t column, int64_t skips) {
    OneNode o("TfIdfVectorizer", {{{tokens}, kInt}});
    set_ints(o.n, "pool_int64s", {1, 2}), set_ints(o.n, "ngram_counts", {0, 0}),
        set_ints(o.n, "ngram_indexes", {column});
    set_int(o.n, "min_gram_length", 2), set_int(o.n, "max_gram_length", 2), set_int(o.n, "max_skip_count", skips);
    attribute(o.n, "mode")->set_s("TF");
    return o;
  };
  grams(4, 2000000000, 0)
      .refused("the columns that 'ngram_indexes' names, for each length, would have more than 134217728");
  grams(100000, 0, INT64_MAX).refused("need more than 16384 comparisons");
  EXPECT_EQ(refusal_of(grams(4, 1000, INT64_MAX).m), "was accepted");
}

TEST(OnnxErrors, EdgesOfMelFiltersAreNumbers) {
  for (float edge : {NAN, INFINITY, -1e6f, 1e30f}) {
    ModelMaker m(17);
    for (auto [name, v] : {std::pair{"bands", 2}, {"length", 16}, {"rate", 8192}}) m.ints(name, {v});
    m.floats("low", {}, {0}), m.floats("high", {}, {edge});
    m.node("MelWeightMatrix", {"bands", "length", "rate", "low", "high"}, {"y"});
    m.output("y");
    std::string report = refusal_of(m);
    EXPECT_NE(report.find("(MelWeightMatrix): error: an edge lies beyond the spectrum"), std::string::npos) << report;
  }
}

TEST(OnnxErrors, WindowsAndFiltersAreBounded) {
  ModelMaker m(17);
  m.ints("n", {int64_t(1) << 30})->clear_dims();
  m.node("HannWindow", {"n"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("the window would have more than"), std::string::npos) << refusal_of(m);

  for (float edge : {NAN, INFINITY, 1e30f}) {
    ModelMaker r(13);
    r.input("x", {1, 1, 4, 4});
    r.floats("roi", {8}, {0, 0, 0, edge, 1, 1, 1, 1}), r.floats("scales", {4}, {1, 1, 1, 1});
    attribute(r.node("Resize", {"x", "roi", "scales"}, {"y"}), "coordinate_transformation_mode")
        ->set_s("tf_crop_and_resize");
    r.output("y");
    EXPECT_NE(refusal_of(r).find("node 'make_y' (Resize): error: a region's edge is"), std::string::npos)
        << refusal_of(r);
  }
}

TEST(OnnxErrors, RegionsAreNumbers) {
  for (float edge : {NAN, INFINITY, 1e30f}) {
    ModelMaker m(16);
    m.input("x", {1, 1, 4, 4});
    m.floats("rois", {1, 4}, {0, 0, edge, 2}), m.ints("batch", {0});
    m.node("RoiAlign", {"x", "rois", "batch"}, {"y"});
    m.output("y");
    std::string report = refusal_of(m);
    EXPECT_NE(report.find("(RoiAlign): error: a region is too large, or has an edge that is no number"), report.npos)
        << report;
  }
}

TEST(OnnxErrors, AGridHasThetasBatch) {
  ModelMaker m(20);
  m.input("theta", {1, 2, 3});
  m.ints("size", {4, 1, 2, 2});
  m.node("AffineGrid", {"theta", "size"}, {"y"});
  m.output("y");
  std::string report = refusal_of(m);
  EXPECT_NE(report.find("(AffineGrid): error: the size has a batch of 4, but theta one of 1"), std::string::npos)
      << report;
}

// Offsets of half a billion positions are a type, and take no memory before the model runs.
TEST(OnnxErrors, DeformedConvolutionsBuildNoTables) {
  int64_t side = 1 << 15;
  OneNode o("DeformConv",
            {{{1, 1, side, side}, kFloat}, {{1, 1, 3, 3}, kFloat}, {{1, 18, side - 2, side - 2}, kFloat}});
  EXPECT_EQ(refusal_of(o.m), "was accepted");
  OneNode groups("DeformConv", {{{1, 0, 4, 4}, kFloat}, {{1, 0, 1, 1}, kFloat}, {{1, 2, 4, 4}, kFloat}});
  set_int(groups.n, "offset_group", kHuge);
  groups.refused("the channels do not divide into the groups");
}

TEST(OnnxErrors, VectorMachinesDoNotOverflow) {
  auto machine = [](int64_t width, std::vector<int64_t> per_class, size_t labels) {
    OneNode o("SVMClassifier", {{{1, width}, kFloat}}, "ai.onnx.ml");
    std::vector<int64_t> names;
    for (size_t k = 0; k < labels; ++k) names.push_back(int64_t(k));
    set_ints(o.n, "classlabels_ints", names), set_ints(o.n, "vectors_per_class", per_class);
    o.set_floats("rho", std::vector<float>(labels * (labels - 1) / 2, 0.5f));
    return o;
  };
  constexpr int64_t kMany = int64_t(1) << 31;
  machine(kMany, {kMany - 1, kMany - 1}, 2).refused("the matrix of support vectors would have more than");
  OneNode many = machine(0, std::vector<int64_t>(1000, 1), 1000); // 1000 vectors by half a million pairs
  many.set_floats("coefficients", std::vector<float>(999 * 1000, 1));
  many.refused("the table of coefficients by pair would have more than");
  OneNode r("SVMRegressor", {{{1, kMany}, kFloat}}, "ai.onnx.ml");
  set_int(r.n, "n_supports", kHuge), r.set_floats("rho", {1});
  r.refused("the support vectors do not fit the features");
}

TEST(OnnxErrors, SumsOfWidthsDoNotOverflow) {
  OneNode o("Attention", {{{1, 2, 4}, kFloat}, {{4, 12}, kFloat}}, "com.microsoft");
  set_int(o.n, "num_heads", 1);
  set_ints(o.n, "qkv_hidden_sizes", {INT64_MAX, INT64_MAX, 14});
  o.refused("the weights do not divide into queries, keys and values");
  OneNode t("ConvTranspose", {{{1, 1, 4}, kFloat}, {{1, 1, 3}, kFloat}});
  set_ints(t.n, "output_padding", {kHuge}), set_ints(t.n, "pads", {0, 0});
  t.refused("a padding or dim of the output is negative, or too large");
  OneNode u("MaxUnpool", {{{1, 1, 4}, kFloat}, {{1, 1, 4}, kInt}});
  set_ints(u.n, "kernel_shape", {kHuge}), set_ints(u.n, "strides", {kHuge});
  u.refused("a kernel, stride or padding is negative, or too large");
  OneNode d("SpaceToDepth", {{{1, 1, 0, 0}, kFloat}});
  set_int(d.n, "blocksize", kHuge);
  d.refused("does not divide into blocks");
}

TEST(OnnxErrors, SequencesAreBounded) {
  OneNode o("SplitToSequence", {{{1 << 20}, kFloat}});
  o.refused("a sequence of 1048576 parts is not supported");
}

TEST(OnnxErrors, NumbersThatAreNotWhole) {
  ModelMaker m(17);
  m.input("x", {4});
  m.floats("axis", {}, {NAN});
  m.node("CumSum", {"x", "axis"}, {"y"});
  m.output("y");
  std::string report = refusal_of(m);
  EXPECT_NE(report.find("(CumSum): error: operand 2 is nan, which is out of range"), std::string::npos) << report;
}

} // namespace trellis::onnx

// Files that are refused: unsupported, corrupt, hostile.
#include "tests/unit/onnx_models.h"
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
  EXPECT_NE(report.find("net.onnx: node 'make_a' (Frobnicate): error: operator Frobnicate (version 17) is not supported"), std::string::npos) << report;
  EXPECT_NE(report.find("node 'make_y' (Twist): error: operator custom.Twist (version 3 of domain 'custom') is not supported"), std::string::npos) << report;
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
  EXPECT_NE(report.find("node 'make_a' (Add): error: uses 'b', which is no input, no initializer and no result of an earlier node"), std::string::npos);
  EXPECT_NE(report.find("output 'c': error: no node gives it"), std::string::npos);
}

TEST(OnnxErrors, ExtentsWhoseProductOverflows) {
  ModelMaker m;
  m.input("x", {4});
  m.ints("shape", {int64_t(1) << 40, int64_t(1) << 40, int64_t(1) << 40, 4});
  m.node("Reshape", {"x", "shape"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("node 'make_y' (Reshape): error: reshape: no tensor can have the new shape"), std::string::npos) << refusal_of(m);
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
  EXPECT_NE(report.find("node 'make_y' (Attention): error: past keys and values need rank 4"), std::string::npos) << report;
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
  EXPECT_NE(report.find("net.onnx: node 'make_a' (MatMul): error: dot: shapes do not fit"), std::string::npos) << report;
  EXPECT_NE(report.find("net.onnx: node 'make_b' (Softmax): error: axis 5 is out of range for rank 2"), std::string::npos) << report;
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
  EXPECT_NE(refused("com.microsoft", "SkipLayerNormalization", {{}, {}, {}}, [](NodeProto *) {}).find("a scalar has no norm"), std::string::npos);
  EXPECT_NE(refused("com.microsoft", "Attention", {{2}, {2}}, heads).find("an input of rank 3"), std::string::npos);
  EXPECT_NE(refused("com.microsoft", "MultiHeadAttention", {{1, 1, 1}, {1, 1}, {1, 1, 1}}, heads).find("the keys are f32[1, 1]"), std::string::npos);
}

} // namespace trellis::onnx

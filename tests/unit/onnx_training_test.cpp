// Gradients of values that a model computes: by hand.
#include "tests/unit/onnx_models.h"

namespace trellis::onnx {
namespace {

NodeProto *gradient(ModelMaker &m, const std::vector<std::string> &in, const std::vector<std::string> &xs,
                    const std::string &y, const std::vector<std::string> &out) {
  NodeProto *n = m.node("Gradient", in, out);
  n->set_domain("ai.onnx.preview.training");
  AttributeProto *a = attribute(n, "xs");
  for (const std::string &x : xs) a->add_strings(x);
  attribute(n, "y")->set_s(y);
  return n;
}

ModelMaker product() { // z = (a + b) a
  ModelMaker m(12);
  m.opset_import("ai.onnx.preview.training", 1);
  m.input("a", {2}), m.input("b", {2});
  m.node("Add", {"a", "b"}, {"c"}), m.node("Mul", {"c", "a"}, {"z"});
  return m;
}
const std::map<std::string, Tensor> kInputs{{"a", floats({2}, {2, 3})}, {"b", floats({2}, {5, -1})}};

} // namespace

TEST(OnnxTraining, GradientsOfAProduct) {
  ModelMaker m = product();
  gradient(m, {"a", "b"}, {"a", "b"}, "z", {"da", "db"});
  m.output("da"), m.output("db");
  std::vector<Tensor> y = run(m, kInputs);
  expect(y[0], {2}, {9, 5}), expect(y[1], {2}, {2, 3}); // 2 a + b and a
}

TEST(OnnxTraining, GradientOfAGradient) {
  ModelMaker m = product();
  gradient(m, {"a"}, {"a"}, "z", {"da"}), gradient(m, {"a", "b"}, {"a", "b"}, "da", {"daa", "dab"});
  m.output("daa"), m.output("dab");
  std::vector<Tensor> y = run(m, kInputs);
  expect(y[0], {2}, {2, 2}), expect(y[1], {2}, {1, 1});
}

TEST(OnnxTraining, GradientOfAnIntermediateAndElsewhere) {
  ModelMaker m = product();
  m.floats("elsewhere", {2}, {10, 20});
  gradient(m, {"c"}, {"c"}, "z", {"dc"}), gradient(m, {"elsewhere"}, {"c"}, "z", {"same"});
  gradient(m, {"elsewhere"}, {"a"}, "z", {"there"}); // as if a were that
  for (const char *name : {"dc", "same", "there"}) m.output(name);
  std::vector<Tensor> y = run(m, kInputs);
  expect(y[0], {2}, {2, 3}), expect(y[1], {2}, {2, 3}), expect(y[2], {2}, {25, 39});
}

TEST(OnnxTraining, GradientRefusesWhatHasNone) {
  ModelMaker m = product();
  gradient(m, {"a"}, {"a"}, "nothing", {"da"});
  m.output("da");
  EXPECT_NE(refusal_of(m).find("node 'make_da' (Gradient): error: 'nothing' is no tensor of the graph"),
            std::string::npos)
      << refusal_of(m);
  ModelMaker f = product();
  f.node("Floor", {"z"}, {"whole"});
  gradient(f, {"a"}, {"a"}, "whole", {"da"});
  f.output("da");
  EXPECT_NE(refusal_of(f).find("floor"), std::string::npos) << refusal_of(f);
}

} // namespace trellis::onnx

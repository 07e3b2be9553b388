// The importer: names, bindings, what is folded, branches, functions.
#include "tests/unit/onnx_models.h"
#include <set>

namespace trellis::onnx {

TEST(OnnxImport, RunsANetworkWithNamedWeights) {
  ModelMaker m;
  m.input("x", {-1, 2});
  m.floats("w", {2, 2}, {1, -1, 2, 3}), m.floats("b", {2}, {0.5f, -10});
  set_int(m.node("Gemm", {"x", "w", "b"}, {"h"}), "transB", 1);
  m.node("Relu", {"h"}, {"y"});
  m.output("y");
  Imported imported = import_model(m.file(), {{}, {{"N", 1}}});
  ASSERT_EQ(imported.weights.size(), 2u);
  EXPECT_EQ(imported.weights[0].name, "w");
  // x w^T + b = [3 - 1, 6 + 3] + b.
  expect(run(m, {{"x", floats({1, 2}, {3, 1})}})[0], {1, 2}, {2.5, 0});
}

TEST(OnnxImport, ShapeArithmeticVanishes) {
  ModelMaker m;
  m.input("x", {-1, 2, 3});
  m.ints("zero", {0}), m.ints("rest", {-1});
  m.node("Shape", {"x"}, {"shape"});
  m.node("Gather", {"shape", "zero"}, {"batch"});
  set_int(m.node("Concat", {"batch", "rest"}, {"to"}), "axis", 0);
  m.node("Reshape", {"x", "to"}, {"y"});
  m.output("y");
  Imported imported = import_model(m.file(), {{}, {{"N", 4}}});
  std::set<Op> ops;
  for (const Node *n : imported.graph->reachable()) ops.insert(n->op);
  EXPECT_EQ(ops, (std::set<Op>{Op::input, Op::reshape}));
  EXPECT_EQ(imported.graph->outputs[0].value.type().str(), "f32[4, 6]");
}

TEST(OnnxImport, AShapeThatIsAnInputIsBuiltIn) {
  ModelMaker m;
  m.input("x", {4}), m.input("to", {2}, TensorProto::INT64);
  m.node("Reshape", {"x", "to"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("must be known when the model is imported"), std::string::npos);
  Imported imported = import_model(m.file(), {{{"to", integers({2, 2})}}, {}});
  EXPECT_EQ(imported.specialised, std::vector<std::string>{"to"});
  EXPECT_EQ(imported.graph->outputs[0].value.type().str(), "f32[2, 2]");
}

TEST(OnnxImport, DimsAreBoundOnce) {
  ModelMaker m;
  m.input("x", {-1}), m.input("z", {-1});
  m.node("Add", {"x", "z"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("net.onnx: input 'x': error: dim 'N' has no number"), std::string::npos);
  EXPECT_NE(refusal_of(m, {{{"x", floats({2}, {1, 2})}, {"z", floats({3}, {1, 2, 3})}}, {}})
                .find("dim 'N' is 2, but f32[3] is given"),
            std::string::npos);
  EXPECT_NE(refusal_of(m, {{{"x", integers({1})}}, {}}).find("is of f32, but i64[1] is given"), std::string::npos);
}

static void branches_of(NodeProto *n) {
  for (const char *name : {"then_branch", "else_branch"}) {
    GraphProto *g = attribute(n, name)->mutable_g();
    ModelMaker::fill(g->add_node(), name[0] == 't' ? "Neg" : "Abs", {"x"}, {"r"}); // x is the outer graph's
    g->add_output()->set_name("r");
  }
}
TEST(OnnxImport, BranchesAreChosenOrSelected) {
  ModelMaker m;
  m.input("x", {1}), m.input("c", {}, TensorProto::BOOL);
  branches_of(m.node("If", {"c"}, {"y"}));
  m.output("y");
  for (bool c : {true, false}) {
    Tensor condition = Tensor::scalar_int(DType::boolean, c);
    expect(run(m, {{"x", floats({1}, {3})}, {"c", condition}})[0], {1}, {c ? -3.0 : 3.0});
    Imported open = import_model(m.file()); // the condition is not known
    expect(evaluate(*open.graph, {{"x", floats({1}, {3})}, {"c", condition}})[0], {1}, {c ? -3.0 : 3.0});
  }
}

TEST(OnnxImport, FunctionsAreInlinedWithTheirAttributes) {
  ModelMaker m;
  m.opset_import("own", 1);
  FunctionProto *f = m.model.add_functions();
  f->set_name("Slope"), f->set_domain("own"), f->add_input("a"), f->add_output("b"), f->add_attribute("k");
  f->add_opset_import()->set_version(17);
  AttributeProto *a = attribute(ModelMaker::fill(f->add_node(), "LeakyRelu", {"a"}, {"b"}), "alpha");
  a->set_ref_attr_name("k");
  m.input("x", {2});
  NodeProto *n = m.node("Slope", {"x"}, {"y"});
  n->set_domain("own");
  attribute(n, "k")->set_f(0.25f);
  m.output("y");
  expect(run(m, {{"x", floats({2}, {-4, 4})}})[0], {2}, {-1, 4});
}

TEST(OnnxImport, FunctionsThatCallThemselvesAreRefused) {
  ModelMaker m;
  m.opset_import("own", 1);
  FunctionProto *f = m.model.add_functions();
  f->set_name("F"), f->set_domain("own"), f->add_input("a"), f->add_output("b");
  OperatorSetIdProto *o = f->add_opset_import();
  o->set_domain("own"), o->set_version(1);
  ModelMaker::fill(f->add_node(), "F", {"a"}, {"b"})->set_domain("own");
  m.input("x", {2});
  m.node("F", {"x"}, {"y"})->set_domain("own");
  m.output("y");
  EXPECT_NE(refusal_of(m).find("nested too deeply, or call themselves"), std::string::npos);
}

} // namespace trellis::onnx

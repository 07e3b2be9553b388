// Loops, scans, branches, sequences and optionals; values by hand.
#include "tests/unit/onnx_models.h"
#include <set>

namespace trellis::onnx {
namespace {

/// A body for a node's attribute, made like a model's graph.
struct Body {
  explicit Body(NodeProto *n, const std::string &name = "body") : g(attribute(n, name)->mutable_g()) {}
  void in(const std::string &name) { g->add_input()->set_name(name); }
  void out(const std::string &name) { g->add_output()->set_name(name); }
  NodeProto *node(const std::string &op, const std::vector<std::string> &in, const std::vector<std::string> &out) {
    return ModelMaker::fill(g->add_node(), op, in, out);
  }
  GraphProto *g;
};

Tensor number(int64_t v) { return Tensor::scalar_int(DType::i64, v); }
Tensor truth(bool v) { return Tensor::scalar_int(DType::boolean, v); }

/// Imported without the inputs' elements, and the op that it must have.
std::vector<Tensor> run_unseen(const ModelMaker &m, const std::map<std::string, Tensor> &inputs, Op op) {
  Imported imported = import_model(m.file());
  int found = 0;
  for (const Node *n : imported.graph->reachable()) found += n->op == op;
  EXPECT_EQ(found, 1) << name(op);
  EXPECT_TRUE(imported.specialised.empty());
  return run(imported, inputs);
}

// x doubles while it is below a bound that the body captures, at most `n` times.
ModelMaker doubling(bool scan_rows) {
  ModelMaker m;
  m.input("n", {}, TensorProto::INT64), m.input("go", {}, TensorProto::BOOL), m.input("x", {2}), m.input("bound", {});
  NodeProto *loop = m.node("Loop", {"n", "go", "x"}, {"y"});
  Body b(loop);
  b.in("i"), b.in("c"), b.in("v");
  b.node("Add", {"v", "v"}, {"w"});
  b.node("ReduceMax", {"w"}, {"most"});
  attribute(b.g->mutable_node(1), "keepdims")->set_i(0);
  b.node("Less", {"most", "bound"}, {"d"});
  b.out("d"), b.out("w");
  if (scan_rows) b.out("w"), loop->add_output("rows"), m.output("rows");
  m.output("y");
  return m;
}

TEST(OnnxControl, ALoopEndsByItsConditionOrItsCount) {
  ModelMaker m = doubling(false);
  auto with = [&](int64_t n, bool go, float bound) {
    return std::map<std::string, Tensor>{
        {"n", number(n)}, {"go", truth(go)}, {"x", floats({2}, {1, 3})}, {"bound", floats({}, {bound})}};
  };
  for (auto run_it :
       {+[](const ModelMaker &m, std::map<std::string, Tensor> in) { return run_unseen(m, in, Op::loop); },
        +[](const ModelMaker &m, std::map<std::string, Tensor> in) { return run(m, in); }}) {
    expect(run_it(m, with(100, true, 20))[0], {2}, {8, 24});
    expect(run_it(m, with(2, true, 20))[0], {2}, {4, 12});
    expect(run_it(m, with(0, true, 20))[0], {2}, {1, 3});
    expect(run_it(m, with(5, false, 20))[0], {2}, {1, 3});
  }
}

TEST(OnnxControl, RowsOfALoopAreStacked) {
  ModelMaker m = doubling(true);
  std::map<std::string, Tensor> in{
      {"n", number(100)}, {"go", truth(true)}, {"x", floats({2}, {1, 3})}, {"bound", floats({}, {20})}};
  std::vector<Tensor> y = run(m, in);
  expect(y[0], {3, 2}, {2, 6, 4, 12, 8, 24});
  expect(y[1], {2}, {8, 24});
  in["n"] = number(0);
  expect(run(m, in)[0], {0, 2}, {});
}

// As many rows as there may be, and how many there are.
TEST(OnnxControl, RowsOfALoopThatMayEndEarlyAreCounted) {
  ModelMaker m;
  m.input("x", {2}), m.input("bound", {});
  TensorProto *most = m.ints("most", {10});
  most->clear_dims();
  NodeProto *loop = m.node("Loop", {"most", "", "x"}, {"y", "rows"});
  Body b(loop);
  b.in("i"), b.in("c"), b.in("v");
  b.node("Add", {"v", "v"}, {"w"});
  set_int(b.node("ReduceMax", {"w"}, {"top"}), "keepdims", 0);
  b.node("Less", {"top", "bound"}, {"d"}), b.node("Neg", {"w"}, {"n"});
  b.out("d"), b.out("w"), b.out("n");
  m.output("rows"), m.output("y");
  for (float bound : {20.0f, 1.0f}) {
    std::vector<Tensor> y = run_unseen(m, {{"x", floats({2}, {1, 3})}, {"bound", floats({}, {bound})}}, Op::loop);
    if (bound > 1)
      expect(y[0], {3, 2}, {-2, -6, -4, -12, -8, -24}), expect(y[1], {2}, {8, 24});
    else
      expect(y[0], {1, 2}, {-2, -6}), expect(y[1], {2}, {2, 6});
  }
}

// Loops that would hold up the import, or never end.
TEST(OnnxControl, EndlessLoopsDoNotRunAtImport) {
  ModelMaker m;
  m.input("x", {1});
  m.floats("bound", {}, {1e30f});
  Body b(m.node("Loop", {"", "", "x"}, {"y"}));
  b.in("i"), b.in("c"), b.in("v");
  b.node("Identity", {"v"}, {"w"});
  set_int(b.node("ReduceMax", {"w"}, {"top"}), "keepdims", 0);
  b.node("Less", {"top", "bound"}, {"d"});
  b.out("d"), b.out("w");
  m.node("NonZero", {"y"}, {"z"}), m.node("ConstantOfShape", {"z"}, {"s"});
  m.output("s");
  EXPECT_NE(refusal_of(m, {{{"x", floats({1}, {0})}}, {}}).find("(ConstantOfShape): error: "), std::string::npos);
  b.g->mutable_output(0)->set_name("c");
  EXPECT_NE(refusal_of(m).find("(Loop): error: the loop never ends"), std::string::npos) << refusal_of(m);
}

// Few nodes and iterations, but each iteration makes many elements.
TEST(OnnxControl, LargeBodiesDoNotRunAtImport) {
  ModelMaker m;
  m.input("x", {1}), m.ints("trips", {1000})->clear_dims(), m.ints("many", {1000000}), m.floats("start", {1}, {1});
  Body b(m.node("Loop", {"trips", "", "start"}, {"y"}));
  b.in("i"), b.in("c"), b.in("v");
  b.node("Expand", {"v", "many"}, {"w"}), b.node("Sin", {"w"}, {"u"});
  set_int(b.node("ReduceMax", {"u"}, {"top"}), "keepdims", 1);
  b.out("c"), b.out("top");
  set_int(m.node("Cast", {"y"}, {"n"}), "to", TensorProto::INT64), m.node("Expand", {"x", "n"}, {"z"});
  m.output("z");
  EXPECT_NE(refusal_of(m).find("(Expand): error: "), std::string::npos) << refusal_of(m);
  m.graph->mutable_initializer(1)->set_int64_data(0, 10);
  EXPECT_EQ(refusal_of(m), "was accepted");
}

// Small tensors, but much work for each element: a convolution with a large kernel, the scores of a long attention.
TEST(OnnxControl, LargeOperatorsDoNotRunAtImport) {
  for (bool conv : {true, false}) {
    ModelMaker m;
    m.input("x", {1}), m.floats("one", {1}, {1}), m.ints("image", {1, 1, 511, 511}), m.ints("kernel", {1, 1, 256, 256});
    m.ints("heads", {1, 1, 8192, 4});
    if (conv)
      m.node("Expand", {"one", "image"}, {"a"}), m.node("Expand", {"one", "kernel"}, {"b"}),
          m.node("Conv", {"a", "b"}, {"y"});
    else
      m.node("Expand", {"one", "heads"}, {"a"}), m.node("Attention", {"a", "a", "a"}, {"y"});
    m.model.mutable_opset_import(0)->set_version(23);
    set_int(m.node("ReduceMax", {"y"}, {"top"}), "keepdims", 0);
    m.ints("first", {1}), m.node("Reshape", {"top", "first"}, {"flat"});
    set_int(m.node("Cast", {"flat"}, {"n"}), "to", TensorProto::INT64), m.node("Expand", {"x", "n"}, {"z"});
    m.output("z");
    EXPECT_NE(refusal_of(m).find("(Expand): error: "), std::string::npos) << refusal_of(m);
  }
}

// sum over i < 6 of i * w, where w is outside; and each partial sum.
TEST(OnnxControl, ALoopOfAKnownCountIsAScan) {
  ModelMaker m;
  m.input("w", {2});
  TensorProto *n = m.ints("n", {6});
  n->clear_dims();
  m.floats("zero", {2}, {0, 0});
  Body b(m.node("Loop", {"n", "", "zero"}, {"sum", "parts"}));
  b.in("i"), b.in("c"), b.in("v");
  attribute(b.node("Cast", {"i"}, {"f"}), "to")->set_i(TensorProto::FLOAT);
  b.node("Mul", {"f", "w"}, {"p"});
  b.node("Add", {"v", "p"}, {"s"});
  b.node("Identity", {"c"}, {"d"});
  b.out("d"), b.out("s"), b.out("s");
  m.output("sum"), m.output("parts");
  std::vector<Tensor> y = run_unseen(m, {{"w", floats({2}, {1, 10})}}, Op::scan);
  expect(y[0], {2}, {15, 150});
  expect(y[1], {6, 2}, {0, 0, 1, 10, 3, 30, 6, 60, 10, 100, 15, 150});
}

// A value that grows: unrolled.
TEST(OnnxControl, ALoopWhoseShapesChangeIsUnrolled) {
  ModelMaker m;
  m.input("x", {1});
  TensorProto *n = m.ints("n", {6});
  n->clear_dims();
  Body b(m.node("Loop", {"n", "", "x"}, {"y"}));
  b.in("i"), b.in("c"), b.in("v");
  attribute(b.node("Concat", {"v", "x"}, {"w"}), "axis")->set_i(0);
  b.node("Identity", {"c"}, {"d"});
  b.out("d"), b.out("w");
  m.output("y");
  expect(run(m, {{"x", floats({1}, {4})}})[0], {7}, {4, 4, 4, 4, 4, 4, 4});
}

TEST(OnnxControl, ALoopThatCanNotBeReadIsRefusedWithItsReason) {
  ModelMaker m;
  m.input("x", {1}), m.input("n", {}, TensorProto::INT64);
  Body b(m.node("Loop", {"n", "", "x"}, {"y"}));
  b.in("i"), b.in("c"), b.in("v");
  attribute(b.node("Concat", {"v", "x"}, {"w"}), "axis")->set_i(0);
  b.node("Identity", {"c"}, {"d"});
  b.out("d"), b.out("w");
  m.output("y");
  std::string said = refusal_of(m);
  EXPECT_NE(said.find("node 'make_y' (Loop): error: carried value 1 is f32[1] at first, but the body gives f32[2]"),
            std::string::npos)
      << said;
}

TEST(OnnxControl, ScanRunsAlongAxesAndBackwards) {
  for (bool back : {false, true}) {
    ModelMaker m;
    m.input("x", {2, 3}), m.floats("zero", {2}, {0, 0});
    NodeProto *n = m.node("Scan", {"zero", "x"}, {"last", "all"});
    set_int(n, "num_scan_inputs", 1), set_ints(n, "scan_input_axes", {1}), set_ints(n, "scan_output_axes", {-1});
    set_ints(n, "scan_input_directions", {back}), set_ints(n, "scan_output_directions", {back});
    Body b(n);
    b.in("s"), b.in("e");
    b.node("Add", {"s", "e"}, {"t"});
    b.node("Identity", {"t"}, {"u"});
    b.out("t"), b.out("u");
    m.output("last"), m.output("all");
    std::vector<Tensor> y = run_unseen(m, {{"x", floats({2, 3}, {1, 2, 3, 10, 20, 30})}}, Op::scan);
    expect(y[0], {2}, {6, 60});
    if (back)
      expect(y[1], {2, 3}, {6, 5, 3, 60, 50, 30});
    else
      expect(y[1], {2, 3}, {1, 3, 6, 10, 30, 60});
  }
}

TEST(OnnxControl, ScanOfABatchStopsAtEachLength) {
  ModelMaker m(8);
  m.input("x", {2, 3, 1}), m.ints("lengths", {2, 3}), m.floats("zero", {2, 1}, {0, 0});
  NodeProto *n = m.node("Scan", {"lengths", "zero", "x"}, {"last", "all"});
  set_int(n, "num_scan_inputs", 1);
  Body b(n);
  b.in("s"), b.in("e");
  b.node("Add", {"s", "e"}, {"t"});
  b.node("Identity", {"t"}, {"u"});
  b.out("t"), b.out("u");
  m.output("last"), m.output("all");
  std::vector<Tensor> y = run(m, {{"x", floats({2, 3, 1}, {1, 2, 3, 10, 20, 30})}});
  expect(y[0], {2, 1}, {3, 60});
  expect(y[1], {2, 3, 1}, {1, 3, 0, 10, 30, 60});
}

// A branch with a product of matrices must not run where it is not taken.
TEST(OnnxControl, ADearBranchIsChosenAtRunTime) {
  ModelMaker m;
  m.input("c", {}, TensorProto::BOOL), m.input("x", {2, 2}), m.input("w", {2, 2});
  NodeProto *n = m.node("If", {"c"}, {"y"});
  Body yes(n, "then_branch"), no(n, "else_branch");
  yes.node("MatMul", {"x", "w"}, {"p"}), yes.out("p");
  no.node("Neg", {"x"}, {"q"}), no.out("q");
  m.output("y");
  for (bool c : {true, false}) {
    std::map<std::string, Tensor> in{
        {"c", truth(c)}, {"x", floats({2, 2}, {1, 2, 3, 4})}, {"w", floats({2, 2}, {0, 1, 1, 0})}};
    expect(run_unseen(m, in, Op::cond)[0], {2, 2},
           c ? std::vector<double>{2, 1, 4, 3} : std::vector<double>{-1, -2, -3, -4});
  }
}

TEST(OnnxControl, SequencesAreCarriedAndMapped) {
  ModelMaker m;
  m.input("x", {3});
  TensorProto *n = m.ints("n", {3});
  n->clear_dims();
  m.node("SequenceEmpty", {}, {"none"});
  Body b(m.node("Loop", {"n", "", "none"}, {"s"}));
  b.in("i"), b.in("c"), b.in("q");
  b.node("Gather", {"x", "i"}, {"e"});
  b.node("SequenceInsert", {"q", "e"}, {"r"});
  b.node("Identity", {"c"}, {"d"});
  b.out("d"), b.out("r");
  Body f(m.node("SequenceMap", {"s", "x"}, {"t"}));
  f.in("e"), f.in("whole");
  f.node("Add", {"e", "whole"}, {"sum"}), f.out("sum");
  attribute(m.node("ConcatFromSequence", {"t"}, {"y"}), "axis")->set_i(0);
  attribute(&*m.graph->mutable_node()->rbegin(), "new_axis")->set_i(1);
  m.output("y");
  expect(run(m, {{"x", floats({3}, {1, 2, 3})}})[0], {3, 3}, {2, 3, 4, 3, 4, 5, 4, 5, 6});
}

TEST(OnnxControl, OptionalsAreKnownAtImport) {
  ModelMaker m(18);
  m.input("x", {2});
  m.node("Optional", {"x"}, {"some"}), m.node("Optional", {}, {"none"});
  m.node("OptionalHasElement", {"some"}, {"yes"}), m.node("OptionalHasElement", {"none"}, {"no"}),
      m.node("OptionalHasElement", {}, {"nothing"});
  m.node("OptionalGetElement", {"some"}, {"y"});
  for (const char *o : {"yes", "no", "nothing", "y"}) m.output(o);
  std::vector<Tensor> y = run(m, {{"x", floats({2}, {5, 6})}});
  expect(y[0], {}, {1}), expect(y[1], {}, {0}), expect(y[2], {}, {0}), expect(y[3], {2}, {5, 6});
  m.node("OptionalGetElement", {"none"}, {"z"}), m.output("z");
  EXPECT_NE(refusal_of(m).find("(OptionalGetElement): error: the optional has no element"), std::string::npos)
      << refusal_of(m);
}

// --- random numbers in bodies ---

void expect_all_differ(const Tensor &t) {
  std::set<double> seen;
  for (int64_t k = 0; k < t.size(); ++k) seen.insert(t.get(k));
  EXPECT_EQ(int64_t(seen.size()), t.size()) << t.type().str();
}
TensorProto *count(ModelMaker &m, const std::string &name, int64_t v) {
  TensorProto *t = m.ints(name, {v});
  t->clear_dims();
  return t;
}

TEST(OnnxControl, EachIterationOfALoopDrawsAnew) {
  for (int64_t trips : {3, 20})       // unrolled, and a scan
    for (bool ends : {false, true}) { // by a condition that depends on data: a loop
      ModelMaker m;
      m.input("bound", {}), count(m, "n", trips), m.floats("x", {}, {0});
      Body b(m.node("Loop", {"n", "", "x"}, {"y", "rows"}));
      b.in("i"), b.in("c"), b.in("v");
      set_ints(b.node("RandomUniform", {}, {"r"}), "shape", {2});
      set_ints(b.node("RandomNormal", {}, {"q"}), "shape", {2});
      attribute(b.node("Concat", {"r", "q"}, {"row"}), "axis")->set_i(0);
      b.node("Add", {"v", "v"}, {"w"});
      if (ends)
        b.node("LessOrEqual", {"w", "bound"}, {"d"});
      else
        b.node("Identity", {"c"}, {"d"});
      b.out("d"), b.out("w"), b.out("row");
      m.output("rows");
      Tensor rows = run(import_model(m.file()), {{"bound", floats({}, {1})}})[0];
      EXPECT_EQ(rows.dims(), (std::vector<int64_t>{trips, 4}));
      expect_all_differ(rows);
    }
}

TEST(OnnxControl, EachIterationOfAScanDrawsAnew) {
  ModelMaker m;
  m.input("x", {20, 3});
  NodeProto *n = m.node("Scan", {"x"}, {"rows"});
  set_int(n, "num_scan_inputs", 1);
  Body b(n);
  b.in("e");
  b.node("RandomUniformLike", {"e"}, {"r"}), b.out("r");
  m.output("rows");
  Imported imported = import_model(m.file());
  std::map<std::string, Tensor> in{{"x", floats({20, 3}, std::vector<float>(60, 1))}};
  Tensor rows = run(imported, in)[0];
  EXPECT_EQ(rows.dims(), (std::vector<int64_t>{20, 3}));
  expect_all_differ(rows);
  EXPECT_TRUE(rows == run(imported, in)[0]);
}

TEST(OnnxControl, IterationsWithinIterationsDrawAnew) {
  ModelMaker m;
  count(m, "n", 12), m.floats("x", {}, {0});
  Body outer(m.node("Loop", {"n", "", "x"}, {"y", "rows"}));
  outer.in("i"), outer.in("c"), outer.in("v");
  Body inner(outer.node("Loop", {"n", "", "v"}, {"w", "r"}));
  inner.in("j"), inner.in("d"), inner.in("u");
  inner.node("RandomUniformLike", {"u"}, {"s"}), inner.node("Identity", {"d"}, {"e"});
  inner.out("e"), inner.out("u"), inner.out("s");
  outer.node("Identity", {"c"}, {"f"}), outer.out("f"), outer.out("w"), outer.out("r");
  m.output("rows");
  Tensor rows = run(import_model(m.file()), {})[0];
  EXPECT_EQ(rows.dims(), (std::vector<int64_t>{12, 12}));
  expect_all_differ(rows);
}

TEST(OnnxControl, TrainingDropsAnewInEachIteration) {
  ModelMaker m;
  m.input("x", {8, 64});
  NodeProto *n = m.node("Scan", {"x"}, {"rows"});
  set_int(n, "num_scan_inputs", 1);
  Body b(n);
  b.in("e"), b.node("Dropout", {"e"}, {"r"}), b.out("r");
  m.output("rows");
  ImportOptions o;
  o.trainable = true;
  Tensor ones = floats({8, 64}, std::vector<float>(512, 1)), seed(DType::u64, {});
  Tensor rows = run(import_model(m.file(), o), {{"x", ones}, {"dropout.seed", seed}})[0];
  std::set<std::vector<bool>> masks;
  for (int64_t r = 0; r < 8; ++r) {
    std::vector<bool> mask;
    for (int64_t c = 0; c < 64; ++c) mask.push_back(rows.get(r * 64 + c) != 0);
    masks.insert(mask);
  }
  EXPECT_EQ(masks.size(), 8u);
}

} // namespace
} // namespace trellis::onnx

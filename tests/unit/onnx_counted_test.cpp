// Results whose number of elements depends on data: imported without the data, run, cut; values by hand.
#include "tests/unit/onnx_models.h"

namespace trellis::onnx {
namespace {

std::vector<Tensor> run_unseen(const ModelMaker &m, const std::map<std::string, Tensor> &inputs) {
  Imported imported = import_model(m.file());
  EXPECT_TRUE(imported.specialised.empty());
  EXPECT_FALSE(imported.counted.empty());
  return run(imported, inputs);
}
Tensor truths(std::vector<int64_t> v) {
  return Tensor::of<int64_t>(DType::boolean, {int64_t(v.size())}, std::span<const int64_t>(v));
}

TEST(OnnxCounted, NonZeroCounts) {
  ModelMaker m;
  m.input("x", {2, 3});
  m.node("NonZero", {"x"}, {"y"}), m.output("y");
  expect(run_unseen(m, {{"x", floats({2, 3}, {0, 5, 0, -1, 0, 2})}})[0], {2, 3}, {0, 1, 1, 1, 0, 2});
  expect(run_unseen(m, {{"x", floats({2, 3}, {0, 0, 0, 0, 0, 0})}})[0], {2, 0}, {});
  expect(run_unseen(m, {{"x", floats({2, 3}, {1, 1, 1, 1, 1, 1})}})[0], {2, 6}, {0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2});
}

TEST(OnnxCounted, CompressKeepsPartOfAnAxis) {
  for (bool axis : {true, false}) {
    ModelMaker m;
    m.input("x", {2, 3}), m.input("c", {3}, TensorProto::BOOL);
    NodeProto *n = m.node("Compress", {"x", "c"}, {"y"});
    if (axis) set_int(n, "axis", 1);
    m.output("y");
    std::map<std::string, Tensor> in{{"x", floats({2, 3}, {1, 2, 3, 4, 5, 6})}, {"c", truths({1, 0, 1})}};
    if (axis)
      expect(run_unseen(m, in)[0], {2, 2}, {1, 3, 4, 6});
    else
      expect(run_unseen(m, in)[0], {2}, {1, 3});
  }
}

TEST(OnnxCounted, UniqueTellsFirstsGroupsAndNumbers) {
  for (bool sorted : {true, false}) {
    ModelMaker m;
    m.input("x", {6});
    set_int(m.node("Unique", {"x"}, {"y", "i", "g", "n"}), "sorted", sorted);
    for (const char *o : {"y", "i", "g", "n"}) m.output(o);
    std::vector<Tensor> y = run_unseen(m, {{"x", floats({6}, {2, 1, 1, 3, 4, 3})}});
    if (sorted)
      expect(y[0], {4}, {1, 2, 3, 4}), expect(y[1], {4}, {1, 0, 3, 4}), expect(y[2], {6}, {1, 0, 0, 2, 3, 2}),
          expect(y[3], {4}, {2, 1, 2, 1});
    else
      expect(y[0], {4}, {2, 1, 3, 4}), expect(y[1], {4}, {0, 1, 3, 4}), expect(y[2], {6}, {0, 1, 1, 2, 3, 2}),
          expect(y[3], {4}, {1, 2, 2, 1});
  }
}

TEST(OnnxCounted, UniqueRowsAreOrderedByTheirFirstElements) {
  ModelMaker m;
  m.input("x", {4, 2});
  set_int(m.node("Unique", {"x"}, {"y", "i", "g", "n"}), "axis", 0);
  for (const char *o : {"y", "i", "g", "n"}) m.output(o);
  std::vector<Tensor> y = run_unseen(m, {{"x", floats({4, 2}, {2, 1, 1, 9, 2, 1, 1, 3})}});
  expect(y[0], {3, 2}, {1, 3, 1, 9, 2, 1});
  expect(y[1], {3}, {3, 1, 0}), expect(y[2], {4}, {2, 1, 2, 0}), expect(y[3], {3}, {1, 1, 2});
}

TEST(OnnxCounted, SuppressionKeepsTheBestOfWhatOverlaps) {
  ModelMaker m;
  m.input("boxes", {1, 4, 4}), m.input("scores", {1, 2, 4});
  TensorProto *most = m.ints("most", {2});
  most->clear_dims();
  m.floats("share", {}, {0.5}), m.floats("least", {}, {0.2});
  m.node("NonMaxSuppression", {"boxes", "scores", "most", "share", "least"}, {"y"}), m.output("y");
  // Boxes 0 and 1 are nearly one; 2 and 3 stand apart. Class 0: 1 before 0, then 3; 2 scores too little. Class 1: 2, then
  // no third one.
  std::map<std::string, Tensor> in{{"boxes", floats({1, 4, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 5, 5, 6, 6, 9, 9, 8, 8})},
                                   {"scores", floats({1, 2, 4}, {0.8f, 0.9f, 0.1f, 0.3f, 0.4f, 0.3f, 0.9f, 0.5f})}};
  expect(run_unseen(m, in)[0], {4, 3}, {0, 0, 1, 0, 0, 3, 0, 1, 2, 0, 1, 3});
}

// What a detector does: boxes of the selected indices, their number, a part of them.
TEST(OnnxCounted, ConsumersFollowTheCount) {
  ModelMaker m;
  m.input("x", {5}), m.input("t", {5, 2});
  m.floats("limit", {}, {2});
  m.ints("minus", {-1}), m.ints("from", {1}), m.ints("to", {3}), m.ints("zero", {0}), m.ints("last", {INT64_MAX});
  m.node("Greater", {"x", "limit"}, {"c"}), m.node("NonZero", {"c"}, {"i"});       // [1, count]
  m.node("Squeeze", {"i", "zero"}, {"j"}), m.node("Gather", {"t", "j"}, {"rows"}); // [count, 2]
  m.node("Add", {"rows", "rows"}, {"twice"});
  m.node("Shape", {"twice"}, {"shape"}), m.node("Size", {"twice"}, {"size"});
  m.node("Slice", {"twice", "from", "to"}, {"part"}), m.node("Slice", {"twice", "minus", "last"}, {"end"});
  m.node("Gather", {"twice", "minus"}, {"final"});
  attribute(m.node("Concat", {"rows", "t", "twice"}, {"joined"}), "axis")->set_i(0);
  m.ints("one", {1});
  set_int(m.node("ReduceSum", {"rows", "one"}, {"sums"}), "keepdims", 0);
  for (const char *o : {"twice", "shape", "size", "part", "end", "final", "joined", "sums"}) m.output(o);
  Tensor t = floats({5, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  std::vector<Tensor> y = run_unseen(m, {{"x", floats({5}, {3, 0, 4, 0, 5})}, {"t", t}}); // rows 0, 2, 4
  expect(y[0], {3, 2}, {0, 2, 8, 10, 16, 18}), expect(y[1], {2}, {3, 2}), expect(y[2], {}, {6});
  expect(y[3], {2, 2}, {8, 10, 16, 18}), expect(y[4], {1, 2}, {16, 18}), expect(y[5], {1, 2}, {16, 18});
  expect(y[6], {11, 2}, {0, 1, 4, 5, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 2, 8, 10, 16, 18});
  expect(y[7], {3}, {1, 9, 17});
  y = run_unseen(m, {{"x", floats({5}, {0, 9, 0, 0, 0})}, {"t", t}}); // row 1
  expect(y[0], {1, 2}, {4, 6}), expect(y[1], {2}, {1, 2}), expect(y[3], {0, 2}, {}), expect(y[4], {1, 2}, {4, 6}),
      expect(y[7], {1}, {5});
}

// y[c] = v, as exporters write it.
TEST(OnnxCounted, ScatterDropsWhatLiesBehindTheCount) {
  ModelMaker m;
  m.input("x", {4});
  m.floats("limit", {}, {2}), m.floats("base", {4}, {9, 9, 9, 9});
  m.node("Greater", {"x", "limit"}, {"c"}), m.node("NonZero", {"c"}, {"i"}), m.node("Transpose", {"i"}, {"at"});
  m.node("GatherND", {"x", "at"}, {"v"}), m.node("ScatterND", {"base", "at", "v"}, {"y"});
  m.output("y"), m.output("v");
  std::vector<Tensor> y = run_unseen(m, {{"x", floats({4}, {1, 3, 0, 7})}});
  expect(y[0], {4}, {9, 3, 9, 7}), expect(y[1], {2}, {3, 7});
}

TEST(OnnxCounted, OthersBuildItInOrRefuse) {
  ModelMaker m;
  m.input("x", {4}), m.input("w", {2, 3});
  m.node("NonZero", {"x"}, {"i"});
  attribute(m.node("Cast", {"i"}, {"f"}), "to")->set_i(TensorProto::FLOAT);
  m.node("MatMul", {"f", "w"}, {"y"}), m.output("y");
  std::string said = refusal_of(m);
  EXPECT_NE(said.find("node 'make_y' (MatMul): error: the number of elements of operand 1 ('f') depends on data, which "
                      "this operator does not take"),
            std::string::npos)
      << said;
  Imported imported = import_model(m.file(), {{{"x", floats({4}, {0, 1, 0, 1})}}, {}});
  EXPECT_EQ(imported.specialised, std::vector<std::string>{"x"});
  expect(run(imported, {{"x", floats({4}, {0, 1, 0, 1})}, {"w", floats({2, 3}, {1, 2, 3, 4, 5, 6})}})[0], {1, 3},
         {13, 17, 21});
}

// A number that no input decides is the shape.
TEST(OnnxCounted, KnownNumbersAreShapes) {
  ModelMaker m;
  m.input("x", {4}), m.floats("mask", {4}, {0, 1, 1, 0});
  attribute(m.node("Cast", {"mask"}, {"c"}), "to")->set_i(TensorProto::BOOL);
  m.node("NonZero", {"mask"}, {"i"}), m.node("Compress", {"x", "c"}, {"y"});
  m.output("i"), m.output("y");
  Imported imported = import_model(m.file());
  EXPECT_TRUE(imported.counted.empty());
  std::vector<Tensor> y = run(imported, {{"x", floats({4}, {5, 6, 7, 8})}});
  expect(y[0], {1, 2}, {1, 2}), expect(y[1], {2}, {6, 7});
}

// Equal shapes, other counts: added element by element they would be wrong.
TEST(OnnxCounted, DifferentCountsDoNotMix) {
  ModelMaker m;
  m.input("x", {4}), m.input("z", {4});
  m.node("NonZero", {"x"}, {"i"}), m.node("NonZero", {"z"}, {"j"}), m.node("Add", {"i", "j"}, {"y"}), m.output("y");
  EXPECT_NE(refusal_of(m).find("node 'make_y' (Add): error: the number of elements of an operand depends on data"),
            std::string::npos)
      << refusal_of(m);
}

} // namespace
} // namespace trellis::onnx

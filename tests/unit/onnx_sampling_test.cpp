// Reads at real coordinates: values by hand, from planes and from shifts.
#include "tests/unit/onnx_models.h"
#include <cmath>

namespace trellis::onnx {
namespace {

void set_word(NodeProto *n, const char *name, const char *value) { attribute(n, name)->set_s(value); }

// y(row, column) = 10 row + column: linear interpolation is exact.
std::vector<float> plane(int64_t rows, int64_t columns) {
  std::vector<float> v;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) v.push_back(float(10 * r + c));
  return v;
}

Tensor sampled(const char *mode, const char *padding, bool corners, const std::vector<float> &grid) {
  ModelMaker m(20);
  int64_t points = int64_t(grid.size()) / 2;
  m.input("x", {1, 1, 3, 4}), m.input("grid", {1, 1, points, 2});
  NodeProto *n = m.node("GridSample", {"x", "grid"}, {"y"});
  set_word(n, "mode", mode), set_word(n, "padding_mode", padding), set_int(n, "align_corners", corners);
  m.output("y");
  return run(m, {{"x", floats({1, 1, 3, 4}, plane(3, 4))}, {"grid", floats({1, 1, points, 2}, grid)}})[0];
}

} // namespace

TEST(OnnxSampling, GridPointsReadThePlane) {
  // (x, y) from -1 to 1: column 3 (x + 1) / 2, row y + 1.
  expect(sampled("linear", "zeros", true, {-1, -1, 1, 1, 0, 0.5f}), {1, 1, 1, 3}, {0, 23, 16.5});
  expect(sampled("nearest", "zeros", true, {0.4f, 0.1f}), {1, 1, 1, 1}, {12});
  expect(sampled("cubic", "zeros", true, {-1, 0, 1.0f / 3, 0}), {1, 1, 1, 2}, {10, 12}, 1e-4);
  // Edges of pixels: column 2 (x + 1) - 1 / 2.
  expect(sampled("linear", "zeros", false, {0, 0}), {1, 1, 1, 1}, {11.5});
}

TEST(OnnxSampling, OutsideIsZeroBorderOrReflection) {
  // Column 4, row 1: one beyond the last.
  std::vector<float> beyond{5.0f / 3, 0};
  expect(sampled("linear", "zeros", true, beyond), {1, 1, 1, 1}, {0}, 1e-5);
  expect(sampled("linear", "border", true, beyond), {1, 1, 1, 1}, {13});
  expect(sampled("linear", "reflection", true, beyond), {1, 1, 1, 1}, {12}, 1e-5);
  // Half a pixel beyond: half of it is zero.
  expect(sampled("linear", "zeros", true, {4.0f / 3, 0}), {1, 1, 1, 1}, {6.5}, 1e-5);
}

TEST(OnnxSampling, AffineGridIsThetaOfPositions) {
  for (bool corners : {false, true}) {
    ModelMaker m(20);
    m.input("theta", {1, 2, 3});
    m.ints("size", {1, 1, 1, 3});
    set_int(m.node("AffineGrid", {"theta", "size"}, {"y"}), "align_corners", corners);
    m.output("y");
    double edge = corners ? 1 : 2.0 / 3; // a single row lies in the middle
    expect(run(m, {{"theta", floats({1, 2, 3}, {3, 10, 100, 6, 20, 200})}})[0], {1, 1, 3, 2},
           {100 - 3 * edge, 200 - 6 * edge, 100, 200, 100 + 3 * edge, 200 + 6 * edge}, 1e-4);
  }
}

TEST(OnnxSampling, RoiAlignAveragesBins) {
  for (int64_t ratio : {0, 2}) { // 0: as many points as a bin is wide, by the region
    ModelMaker m(16);
    m.input("x", {2, 1, 8, 8});
    m.floats("rois", {2, 4}, {1, 1, 5, 5, 0.5f, 0.5f, 4.5f, 6.5f}), m.ints("batch", {1, 0});
    NodeProto *n = m.node("RoiAlign", {"x", "rois", "batch"}, {"y"});
    set_int(n, "output_height", 2), set_int(n, "output_width", 1), set_int(n, "sampling_ratio", ratio);
    m.output("y");
    std::vector<float> x = plane(8, 8), other = x;
    for (float v : other) x.push_back(v + 1000);
    // The mean of a plane is its value in the middle of the bin; pixels' centres lie at halves.
    expect(run(m, {{"x", floats({2, 1, 8, 8}, x)}})[0], {2, 1, 2, 1}, {1015 + 2.5, 1035 + 2.5, 15 + 2, 45 + 2}, 1e-3);
  }
}

TEST(OnnxSampling, RoiAlignNeedsRegionsThatDecideItsPoints) {
  ModelMaker m(16);
  m.input("x", {1, 1, 4, 4}), m.input("rois", {1, 4}), m.ints("batch", {0});
  m.node("RoiAlign", {"x", "rois", "batch"}, {"y"});
  m.output("y");
  EXPECT_NE(refusal_of(m).find("node 'make_y' (RoiAlign): error: without 'sampling_ratio' the regions must be known"),
            std::string::npos)
      << refusal_of(m);
}

TEST(OnnxSampling, MaxRoiPoolTakesWholeBins) {
  ModelMaker m(16);
  m.input("x", {1, 1, 4, 6});
  m.floats("rois", {2, 5}, {0, 0, 0, 4, 3, 0, 20, 20, 30, 30}); // the second lies outside
  set_ints(m.node("MaxRoiPool", {"x", "rois"}, {"y"}), "pooled_shape", {2, 2});
  m.output("y");
  // Five columns in two bins share the third.
  expect(run(m, {{"x", floats({1, 1, 4, 6}, plane(4, 6))}})[0], {2, 1, 2, 2}, {12, 14, 32, 34, 0, 0, 0, 0});
}

TEST(OnnxSampling, DeformedConvolutionReadsDisplaced) {
  ModelMaker m(19);
  m.input("x", {1, 2, 3, 4}), m.input("offset", {1, 4, 3, 4}), m.input("mask", {1, 2, 3, 4});
  m.floats("w", {1, 2, 1, 1}, {1, 100}), m.floats("b", {1}, {1000});
  set_int(m.node("DeformConv", {"x", "w", "offset", "b", "mask"}, {"y"}), "offset_group", 2);
  m.output("y");
  std::vector<float> x = plane(3, 4), offset(48, 0), mask(24, 1);
  for (float v : plane(3, 4)) x.push_back(v);
  for (size_t k = 0; k < 12; ++k)
    offset[12 + k] = 0.5f, offset[24 + k] = 1, mask[12 + k] = 0.5f; // half right; one down, halved
  std::vector<double> want;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 4; ++c) {
      double right = c < 3 ? 10 * r + c + 0.5 : (10 * r + c) * 0.5, down = r < 2 ? 10 * (r + 1) + c : 0;
      want.push_back(1000 + right + 50 * down);
    }
  expect(run(m, {{"x", floats({1, 2, 3, 4}, x)},
                 {"offset", floats({1, 4, 3, 4}, offset)},
                 {"mask", floats({1, 2, 3, 4}, mask)}})[0],
         {1, 1, 3, 4}, want, 1e-3);
}

TEST(OnnxSampling, ColumnsOverlapIntoAnImage) {
  ModelMaker m(18);
  m.input("x", {1, 4, 2});
  m.ints("image", {2, 3}), m.ints("block", {2, 2});
  m.node("Col2Im", {"x", "image", "block"}, {"y"});
  m.output("y");
  // Rows of x: elements (0,0), (0,1), (1,0), (1,1) of both blocks; the middle column gets two.
  expect(run(m, {{"x", floats({1, 4, 2}, {1, 2, 10, 20, 100, 200, 1000, 2000})}})[0], {1, 1, 2, 3},
         {1, 12, 20, 100, 1200, 2000});
}

TEST(OnnxSampling, DeterminantsBySteps) {
  for (int64_t n : {1, 2, 3, 8, 9, 12}) { // a triangle with its rows rotated: the sign of the rotation
    std::vector<float> a(size_t(n * n));
    double want = n % 2 ? 1 : -1;
    for (int64_t r = 0; r < n; ++r)
      for (int64_t c = r; c < n; ++c) a[size_t((r + 1) % n * n + c)] = c == r ? float(r % 3 + 1) : float((r + c) % 5);
    for (int64_t r = 0; r < n; ++r) want *= double(r % 3 + 1);
    ModelMaker m(11);
    m.input("x", {1, n, n});
    m.node("Det", {"x"}, {"y"});
    m.output("y");
    expect(run(m, {{"x", floats({1, n, n}, a)}})[0], {1}, {want}, 1e-3 * std::abs(want));
  }
}

TEST(OnnxSampling, GramsAreCounted) {
  ModelMaker m(9);
  m.input("x", {6}, TensorProto::INT64);
  NodeProto *n = m.node("TfIdfVectorizer", {"x"}, {"y"});
  set_ints(n, "pool_int64s", {7, 9, 1, 2, 2, 7}), set_ints(n, "ngram_counts", {0, 2}),
      set_ints(n, "ngram_indexes", {3, 0, 1, 2});
  set_int(n, "min_gram_length", 1), set_int(n, "max_gram_length", 2), set_int(n, "max_skip_count", 1),
      set_word(n, "mode", "TFIDF");
  AttributeProto *weights = attribute(n, "weights");
  for (float w : {1.0f, 1.0f, 10.0f, 1.0f}) weights->add_floats(w);
  m.output("y");
  // 7 twice, 9 never, (1, 2) next to each other and with one between, (2, 7) once.
  expect(run(m, {{"x", integers({1, 1, 2, 7, 5, 7})}})[0], {4}, {0, 20, 1, 2});
}

TEST(OnnxSampling, MelFiltersPeakAtOne) {
  ModelMaker m(17);
  for (auto [name, v] : {std::pair{"bands", 2}, {"length", 16}, {"rate", 8192}}) m.ints(name, {v});
  m.floats("low", {}, {0}), m.floats("high", {}, {4000});
  m.node("MelWeightMatrix", {"bands", "length", "rate", "low", "high"}, {"y"});
  m.output("y");
  // Corners at mel 0, 536.5, 1073, 1609.5: 0, 427, 1114, 2220 Hz, or bins 0, 0, 2, 4 of 17 / 8192.
  expect(run(m, {})[0], {9, 2}, {1, 0, 0.5, 0.5, 0, 1, 0, 0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
}

TEST(OnnxSampling, RandomNodesHaveStreamsOfTheirOwn) {
  ModelMaker m(22);
  for (const char *name : {"a", "b"}) {
    set_ints(m.node("RandomUniform", {}, {name}), "shape", {1000});
    m.output(name);
  }
  m.node("RandomNormalLike", {"a"}, {"c"}), m.output("c");
  set_int(m.node("Bernoulli", {"a"}, {"d"}), "dtype", TensorProto::INT64), m.output("d");
  m.floats("odds", {1, 3}, {-INFINITY, 0, -INFINITY});
  set_int(m.node("Multinomial", {"odds"}, {"e"}), "sample_size", 5), m.output("e");
  std::vector<Tensor> y = run(m, {}), again = run(m, {});
  double mean[4] = {}, square = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    for (size_t k = 0; k < 3; ++k) mean[k] += y[k].get(i) / 1000;
    mean[3] += double(y[3].get_int(i)) / 1000, square += y[2].get(i) * y[2].get(i) / 1000;
    ASSERT_TRUE(y[0].get(i) >= 0 && y[0].get(i) < 1);
  }
  for (double at : {mean[0], mean[1], mean[3]}) EXPECT_NEAR(at, 0.5, 0.05); // five deviations
  EXPECT_NEAR(mean[2], 0, 0.16);
  EXPECT_NEAR(square, 1, 0.23);
  EXPECT_FALSE(y[0] == y[1]);
  EXPECT_TRUE(y[0] == again[0]);
  expect(y[4], {1, 5}, {1, 1, 1, 1, 1});
}

TEST(OnnxSampling, DropoutOfTrainingDropsAndScales) {
  ModelMaker m(13);
  m.input("x", {1000});
  m.floats("ratio", {}, {0.75f});
  TensorProto *on = m.graph->add_initializer();
  on->set_name("on"), on->set_data_type(TensorProto::BOOL), on->add_int32_data(1);
  set_int(m.node("Dropout", {"x", "ratio", "on"}, {"y", "kept"}), "seed", 7);
  m.output("y"), m.output("kept");
  std::vector<Tensor> y = run(m, {{"x", floats({1000}, std::vector<float>(1000, 3))}});
  int64_t kept = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    kept += y[1].get_int(i);
    ASSERT_EQ(y[0].get(i), y[1].get_int(i) ? 12 : 0);
  }
  EXPECT_NEAR(double(kept), 250, 70); // five deviations
}

TEST(OnnxSampling, RandomShapesAreChecked) {
  for (int64_t d : {int64_t(-1), int64_t(1) << 40}) {
    ModelMaker m(22);
    set_ints(m.node("RandomUniform", {}, {"y"}), "shape", {2, d});
    m.output("y");
    EXPECT_NE(refusal_of(m).find("node 'make_y' (RandomUniform): error: a dim is negative, or too large"),
              std::string::npos)
        << refusal_of(m);
  }
}

} // namespace trellis::onnx

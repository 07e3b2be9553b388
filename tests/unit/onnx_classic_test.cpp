// ai.onnx.ml and retired operators: values by hand.
#include "tests/unit/onnx_models.h"
#include <cmath>

namespace trellis::onnx {
namespace {

void set_word(NodeProto *n, const char *name, const char *value) { attribute(n, name)->set_s(value); }
void set_words(NodeProto *n, const char *name, const std::vector<const char *> &values) {
  AttributeProto *a = attribute(n, name);
  for (const char *v : values) a->add_strings(v);
}
void set_floats(NodeProto *n, const char *name, const std::vector<float> &values) {
  AttributeProto *a = attribute(n, name);
  for (float v : values) a->add_floats(v);
}

// One node over x of rows.
struct Rows {
  ModelMaker m{17};
  NodeProto *n;
  Rows(const char *op, std::vector<int64_t> dims, int version = 3) {
    m.opset_import("ai.onnx.ml", version);
    m.input("x", dims);
    n = m.node(op, {"x"}, {"y"});
    n->set_domain("ai.onnx.ml");
    m.output("y");
  }
  void scores() { n->add_output("z"), m.output("z"); }
  std::vector<Tensor> run(std::vector<float> x) {
    std::vector<int64_t> dims;
    for (const auto &d : m.graph->input(0).type().tensor_type().shape().dim()) dims.push_back(d.dim_value());
    return onnx::run(m, {{"x", floats(dims, x)}});
  }
};

// Two trees: x0 <= 1 ? (x1 > 5 ? 1 : 2) : 4, and x1 <= 0 ? 10 : 20 (NaN: 10); with all weights at target 0.
void two_trees(NodeProto *n, const std::string &weights) {
  set_ints(n, "nodes_treeids", {0, 0, 0, 0, 0, 7, 7, 7}), set_ints(n, "nodes_nodeids", {0, 1, 2, 3, 4, 0, 1, 2});
  set_ints(n, "nodes_featureids", {0, 1, 0, 0, 0, 1, 0, 0}), set_floats(n, "nodes_values", {1, 5, 0, 0, 0, 0, 0, 0});
  set_words(n, "nodes_modes", {"BRANCH_LEQ", "BRANCH_GT", "LEAF", "LEAF", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"});
  set_ints(n, "nodes_truenodeids", {1, 2, 0, 0, 0, 1, 0, 0}),
      set_ints(n, "nodes_falsenodeids", {4, 3, 0, 0, 0, 2, 0, 0});
  set_ints(n, "nodes_missing_value_tracks_true", {0, 0, 0, 0, 0, 1, 0, 0});
  set_ints(n, (weights + "_treeids").c_str(), {0, 0, 0, 7, 7}),
      set_ints(n, (weights + "_nodeids").c_str(), {2, 3, 4, 1, 2});
  set_ints(n, (weights + "_ids").c_str(), {0, 0, 0, 0, 0});
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

} // namespace

TEST(OnnxClassic, TreesWalkToTheirLeaves) {
  for (auto [how, want] : {std::pair{"SUM", std::vector<double>{21, 12, 24, 12}},
                           {"AVERAGE", {10.5, 6, 12, 6}},
                           {"MIN", {1, 2, 4, 2}},
                           {"MAX", {20, 10, 20, 10}}}) {
    Rows r("TreeEnsembleRegressor", {4, 2});
    two_trees(r.n, "target");
    set_floats(r.n, "target_weights", {1, 2, 4, 10, 20}), set_word(r.n, "aggregate_function", how);
    expect(r.run({1, 6, 0, -1, 2, 3, 0, NAN})[0], {4, 1}, want);
  }
}

TEST(OnnxClassic, DeepTreesAreALoop) {
  constexpr int64_t kDepth = 50; // x <= k leads to leaf k
  Rows r("TreeEnsembleRegressor", {3, 1});
  std::vector<int64_t> zeros(2 * kDepth + 1, 0), ids, yes, no, leaves;
  std::vector<float> numbers, weights;
  std::vector<const char *> modes;
  for (int64_t k = 0; k < 2 * kDepth + 1; ++k) {
    bool leaf = k % 2 == 1 || k == 2 * kDepth;
    ids.push_back(k), yes.push_back(leaf ? 0 : k + 1), no.push_back(leaf ? 0 : k + 2), numbers.push_back(float(k / 2)),
        modes.push_back(leaf ? "LEAF" : "BRANCH_LEQ");
    if (leaf) leaves.push_back(k), weights.push_back(float(100 + k / 2));
  }
  std::vector<int64_t> none(leaves.size(), 0);
  set_ints(r.n, "nodes_treeids", zeros), set_ints(r.n, "nodes_nodeids", ids), set_ints(r.n, "nodes_featureids", zeros),
      set_floats(r.n, "nodes_values", numbers);
  set_words(r.n, "nodes_modes", modes), set_ints(r.n, "nodes_truenodeids", yes),
      set_ints(r.n, "nodes_falsenodeids", no);
  set_ints(r.n, "target_treeids", none), set_ints(r.n, "target_nodeids", leaves), set_ints(r.n, "target_ids", none),
      set_floats(r.n, "target_weights", weights);
  expect(r.run({0, 30.5f, 1000})[0], {3, 1}, {100, 131, 150});
}

TEST(OnnxClassic, TreesClassify) {
  Rows r("TreeEnsembleClassifier", {2, 2});
  r.scores();
  two_trees(r.n, "class");
  set_floats(r.n, "class_weights", {1, -2, -4, -10, 2}), set_ints(r.n, "classlabels_int64s", {5, 8}),
      set_word(r.n, "post_transform", "LOGISTIC");
  std::vector<Tensor> y = r.run({1, 6, 2, 3});
  expect(y[0], {2}, {8, 5}),
      expect(y[1], {2, 2}, {logistic(-3), logistic(3), logistic(2), logistic(-2)}); // margins 3 and -2
}

TEST(OnnxClassic, BadTreesAreRefused) {
  Rows r("TreeEnsembleRegressor", {1, 2});
  two_trees(r.n, "target");
  set_floats(r.n, "target_weights", {1, 2, 4, 10, 20});
  for (AttributeProto &a : *r.n->mutable_attribute())
    if (a.name() == "nodes_truenodeids") a.set_ints(1, 0); // back to the root
  EXPECT_NE(refusal_of(r.m).find("the nodes of a tree form a circle"), std::string::npos) << refusal_of(r.m);
  for (AttributeProto &a : *r.n->mutable_attribute())
    if (a.name() == "nodes_truenodeids") a.set_ints(1, 99);
  EXPECT_NE(refusal_of(r.m).find("tree 0 has no node 99"), std::string::npos) << refusal_of(r.m);
}

TEST(OnnxClassic, LinearModels) {
  Rows r("LinearRegressor", {1, 2});
  set_int(r.n, "targets", 2), set_floats(r.n, "coefficients", {1, 2, 3, 4}), set_floats(r.n, "intercepts", {10, 20});
  expect(r.run({1, -1})[0], {1, 2}, {9, 19});
  Rows c("LinearClassifier", {2, 2});
  c.scores();
  set_floats(c.n, "coefficients", {1, 0, 0, 1, -1, -1}), set_floats(c.n, "intercepts", {0, 0, 0}),
      set_ints(c.n, "classlabels_ints", {4, 6, 9});
  set_word(c.n, "post_transform", "SOFTMAX");
  std::vector<Tensor> y = c.run({2, 1, -1, -3});
  double a = std::exp(2) + std::exp(1) + std::exp(-3), b = std::exp(-1) + std::exp(-3) + std::exp(4);
  expect(y[0], {2}, {4, 9}),
      expect(y[1], {2, 3},
             {std::exp(2) / a, std::exp(1) / a, std::exp(-3) / a, std::exp(-1) / b, std::exp(-3) / b, std::exp(4) / b});
}

TEST(OnnxClassic, VectorsVoteByPairs) {
  Rows r("SVMRegressor", {1, 2});
  set_word(r.n, "kernel_type", "RBF"), set_floats(r.n, "kernel_params", {0.5f, 0, 0}), set_int(r.n, "n_supports", 2);
  set_floats(r.n, "support_vectors", {0, 0, 1, 1}), set_floats(r.n, "coefficients", {2, -1}),
      set_floats(r.n, "rho", {0.25f});
  expect(r.run({0, 1})[0], {1, 1}, {2 * std::exp(-0.5) - std::exp(-0.5) + 0.25});
  for (bool probabilities : {false, true}) {
    Rows c("SVMClassifier", {2, 1});
    c.scores();
    set_word(c.n, "kernel_type", "LINEAR"), set_floats(c.n, "kernel_params", {0, 0, 0}),
        set_ints(c.n, "vectors_per_class", {1, 1});
    set_floats(c.n, "support_vectors", {-1, 1}), set_floats(c.n, "coefficients", {1, -1}),
        set_floats(c.n, "rho", {0.5f}), set_ints(c.n, "classlabels_ints", {3, 4});
    if (probabilities) set_floats(c.n, "prob_a", {-1}), set_floats(c.n, "prob_b", {0});
    std::vector<Tensor> y = c.run({0, 2}); // -x - x + 1/2: positive is the first class
    expect(y[0], {2}, {3, 4});
    if (probabilities)
      expect(y[1], {2, 2}, {logistic(0.5), logistic(-0.5), logistic(-3.5), logistic(3.5)},
             5e-3); // as near as libsvm goes
    else
      expect(y[1], {2, 2}, {-0.5, 0.5, 3.5, -3.5});
  }
}

TEST(OnnxClassic, FeaturesAreScaledAndEncoded) {
  Rows s("Scaler", {2, 2});
  set_floats(s.n, "offset", {1, 2}), set_floats(s.n, "scale", {10, 100});
  expect(s.run({1, 3, 0, 2})[0], {2, 2}, {0, 100, -10, 0});
  Rows l("Normalizer", {2, 2});
  set_word(l.n, "norm", "L2");
  expect(l.run({3, 4, 0, 0})[0], {2, 2}, {0.6, 0.8, 0, 0});
  Rows b("Binarizer", {3});
  attribute(b.n, "threshold")->set_f(1);
  expect(b.run({0, 1, 2})[0], {3}, {0, 0, 1});
  Rows i("Imputer", {2, 2});
  set_floats(i.n, "imputed_value_floats", {7, 8}), attribute(i.n, "replaced_value_float")->set_f(NAN);
  expect(i.run({NAN, 1, 2, NAN})[0], {2, 2}, {7, 1, 2, 8});
  Rows o("OneHotEncoder", {2});
  set_ints(o.n, "cats_int64s", {4, 2});
  expect(o.run({2, 9})[0], {2, 2}, {0, 1, 0, 0});
  Rows e("LabelEncoder", {3}, 4);
  set_floats(e.n, "keys_floats", {1, NAN}), set_ints(e.n, "values_int64s", {10, 20}), set_int(e.n, "default_int64", -5);
  expect(e.run({1, NAN, 3})[0], {3}, {10, 20, -5});
  Rows strings("LabelEncoder", {3}, 4);
  set_floats(strings.n, "keys_floats", {1}), set_words(strings.n, "values_strings", {"one"});
  EXPECT_NE(refusal_of(strings.m).find("node 'make_y' (LabelEncoder): error: strings are not supported"),
            std::string::npos)
      << refusal_of(strings.m);
}

TEST(OnnxClassic, FeaturesArePickedAndJoined) {
  Rows a("ArrayFeatureExtractor", {2, 3});
  a.m.ints("i", {2, 0}), a.n->add_input("i");
  expect(a.run({1, 2, 3, 4, 5, 6})[0], {2, 2}, {3, 1, 6, 4});
  Rows f("FeatureVectorizer", {1, 2});
  f.m.floats("w", {1, 1}, {9}), f.n->add_input("w"), set_ints(f.n, "inputdimensions", {3, 1});
  expect(f.run({1, 2})[0], {1, 4}, {1, 2, 0, 9});
}

TEST(OnnxClassic, RetiredOperatorsOfOldFiles) {
  ModelMaker m(7);
  m.input("x", {1, 1, 2});
  NodeProto *p = m.node("ParametricSoftplus", {"x"}, {"p"}), *t = m.node("ScaledTanh", {"x"}, {"t"});
  for (NodeProto *n : {p, t}) attribute(n, "alpha")->set_f(3), attribute(n, "beta")->set_f(0.5f);
  attribute(m.node("Scale", {"x"}, {"s"}), "scale")->set_f(4);
  NodeProto *g = m.node("GivenTensorFill", {}, {"g"}), *c = m.node("ConstantFill", {"x"}, {"c"});
  set_ints(g, "shape", {2}), set_floats(g, "values", {5, 6}), attribute(c, "value")->set_f(7),
      set_ints(c, "extra_shape", {1});
  m.ints("from", {1}), m.ints("to", {1000}), m.ints("axes", {-1});
  m.node("DynamicSlice", {"x", "from", "to", "axes"}, {"d"}), m.node("MeanVarianceNormalization", {"x"}, {"v"});
  for (const char *name : {"p", "t", "s", "g", "c", "d", "v"}) m.output(name);
  std::vector<Tensor> y = run(m, {{"x", floats({1, 1, 2}, {0, 2})}});
  expect(y[0], {1, 1, 2}, {3 * std::log(2.0), 3 * std::log1p(std::exp(1.0))}),
      expect(y[1], {1, 1, 2}, {0, 3 * std::tanh(1.0)});
  expect(y[2], {1, 1, 2}, {0, 8}), expect(y[3], {2}, {5, 6}), expect(y[4], {1, 1, 2, 1}, {7, 7}),
      expect(y[5], {1, 1, 1}, {2}), expect(y[6], {1, 1, 2}, {-1, 1});
}

} // namespace trellis::onnx

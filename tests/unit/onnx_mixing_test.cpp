// Linear attention, causal convolution with a state, attention with bodies; values by hand.
#include "tests/unit/onnx_models.h"
#include <cmath>

namespace trellis::onnx {
namespace {

TEST(OnnxMixing, LinearAttentionFollowsItsRule) {
  // One head of width 1: the state is a number, 1 at first; decay log 2 and log 3, beta 1/2 and 1/4.
  const double decay[] = {2, 3}, beta[] = {0.5, 0.25}, q[] = {1, 2}, k[] = {2, 3}, v[] = {5, 7};
  for (std::string rule : {"linear", "gated", "delta", "gated_delta"}) {
    bool gated = rule[0] == 'g', delta = rule.ends_with("delta");
    ModelMaker m(27);
    for (const char *x : {"q", "k", "v"}) m.input(x, {1, 2, 1});
    m.input("s", {1, 1, 1, 1});
    m.floats("g", {1, 2, 1}, {float(std::log(2)), float(std::log(3))}), m.floats("b", {1, 2, 1}, {0.5, 0.25});
    NodeProto *n = m.node("LinearAttention", {"q", "k", "v", "s", gated ? "g" : "", delta ? "b" : ""}, {"y", "t"});
    set_int(n, "q_num_heads", 1), set_int(n, "kv_num_heads", 1);
    attribute(n, "update_rule")->set_s(rule);
    attribute(n, "scale")->set_f(0.5);
    m.output("y"), m.output("t");
    double state = 1;
    std::vector<double> want;
    for (int t = 0; t < 2; ++t) {
      if (gated) state *= decay[t];
      state += k[t] * (delta ? beta[t] * (v[t] - k[t] * state) : v[t]);
      want.push_back(0.5 * q[t] * state);
    }
    std::vector<Tensor> y = run(m, {{"q", floats({1, 2, 1}, {1, 2})},
                                    {"k", floats({1, 2, 1}, {2, 3})},
                                    {"v", floats({1, 2, 1}, {5, 7})},
                                    {"s", floats({1, 1, 1, 1}, {1})}});
    SCOPED_TRACE(rule);
    expect(y[0], {1, 2, 1}, want, 1e-5);
    expect(y[1], {1, 1, 1, 1}, {state}, 1e-5);
  }
}

TEST(OnnxMixing, LinearAttentionRefusesWhatItsRuleHasNot) {
  ModelMaker m(27);
  m.input("x", {1, 2, 1});
  NodeProto *n = m.node("LinearAttention", {"x", "x", "x"}, {"y"});
  set_int(n, "q_num_heads", 1), set_int(n, "kv_num_heads", 1);
  m.output("y");
  EXPECT_NE(refusal_of(m).find("node 'make_y' (LinearAttention): error: rule 'gated_delta' needs a decay"),
            std::string::npos)
      << refusal_of(m);
}

TEST(OnnxMixing, CausalConvolutionSeesThePast) {
  for (bool past : {false, true}) {
    ModelMaker m(27);
    m.input("x", {1, 2, 2}), m.input("s", {1, 2, 2});
    m.floats("w", {2, 1, 3}, {1, 10, 100, 1, 0, -1}), m.floats("b", {2}, {0.5, 0});
    m.node("CausalConvWithState", {"x", "w", "b", past ? "s" : ""}, {"y", "t"});
    m.output("y"), m.output("t");
    std::vector<Tensor> y = run(m, {{"x", floats({1, 2, 2}, {3, 4, 5, 6})}, {"s", floats({1, 2, 2}, {1, 2, 7, 8})}});
    if (past)
      expect(y[0], {1, 2, 2}, {321.5, 432.5, 2, 2});
    else
      expect(y[0], {1, 2, 2}, {300.5, 430.5, -5, -6});
    expect(y[1], {1, 2, 2}, {3, 4, 5, 6});
  }
}

// Scores that a body makes equal: the mean of the values, halved by the other body.
TEST(OnnxMixing, BodiesChangeScoresAndProbabilities) {
  ModelMaker m(26);
  m.opset_import("ai.onnx.preview", 1);
  m.input("q", {1, 2, 1, 1}), m.input("k", {1, 1, 2, 1}), m.input("v", {1, 1, 2, 1});
  m.floats("half", {}, {0.5});
  NodeProto *n = m.node("FlexAttention", {"q", "k", "v"}, {"y"});
  n->set_domain("ai.onnx.preview");
  GraphProto *score = attribute(n, "score_mod")->mutable_g(), *prob = attribute(n, "prob_mod")->mutable_g();
  score->add_input()->set_name("s"), score->add_output()->set_name("t");
  ModelMaker::fill(score->add_node(), "Sub", {"s", "s"}, {"t"});
  prob->add_input()->set_name("p"), prob->add_output()->set_name("r");
  ModelMaker::fill(prob->add_node(), "Mul", {"p", "half"}, {"r"});
  m.output("y");
  expect(run(m, {{"q", floats({1, 2, 1, 1}, {1, 2})},
                 {"k", floats({1, 1, 2, 1}, {3, 4})},
                 {"v", floats({1, 1, 2, 1}, {6, 10})}})[0],
         {1, 2, 1, 1}, {4, 4});
}

} // namespace
} // namespace trellis::onnx

// Gradients of a third party's models, from files: of the mean cross-entropy of their logits.
#include "compiler/data/npz.h"
#include "compiler/frontend/programs.h"
#include "compiler/frontend/state.h"
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

std::string gradients_folder() {
  const char *set = std::getenv("TRELLIS_TESTDATA");
  return (set ? std::string(set) : TRELLIS_SOURCE_DIR "/../shared") + "/onnx/gradients/";
}

class OnnxGradients : public ::testing::TestWithParam<const char *> {};

TEST_P(OnnxGradients, AreThoseOfTheReference) {
  std::string base = gradients_folder() + GetParam();
  if (!std::filesystem::exists(base + ".grads.npz"))
    GTEST_SKIP() << "no " << base << ".grads.npz (set TRELLIS_TESTDATA)";
  Model m = load_model(base + ".network_infer.onnx", {{}, {}, Reading::trainable});
  TrainingOptions o;
  o.loss = "cross_entropy", o.gradients = true, o.optimiser = parse_optimiser("sgd:lr=0");
  std::unique_ptr<Graph> g = make_training_graph(*m.graph, o);
  Session s(compile(*g));
  set_states(s, m.weights);
  std::vector<NamedTensor> inputs = read_npz(base + ".inputs.npz");
  for (NamedTensor &t : inputs)
    if (t.name == "labels") t.name = "label";
  std::vector<NamedTensor> results = s.run(std::span<const NamedTensor>(inputs));
  std::vector<NamedTensor> expected = read_npz(base + ".grads.npz");
  ASSERT_FALSE(expected.empty());
  auto largest_of = [](const Tensor &t) {
    double largest = 0;
    for (int64_t i = 0; i < t.size(); ++i) largest = std::max(largest, std::fabs(t.get(i)));
    return largest;
  };
  double rounding = 0; // of sums that cancel
  for (const NamedTensor &want : expected) rounding = std::max(rounding, 1e-6 * largest_of(want.tensor));
  for (const NamedTensor &want : expected) {
    const Tensor *got = find(results, "grad." + want.name);
    ASSERT_TRUE(got) << want.name;
    ASSERT_EQ(got->type(), want.tensor.type()) << want.name;
    double largest = largest_of(want.tensor), error = 0;
    for (int64_t i = 0; i < got->size(); ++i) {
      double d = std::fabs(got->get(i) - want.tensor.get(i));
      error = d >= error || std::isnan(d) ? d : error;
    }
    EXPECT_LE(error, 1e-4 * largest + rounding) << want.name << ": largest " << largest;
  }
}
INSTANTIATE_TEST_SUITE_P(Files, OnnxGradients, ::testing::Values("CCT2_LP", "CCT2_FT1"));

} // namespace
} // namespace trellis

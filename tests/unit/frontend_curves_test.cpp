// Recorded runs of PyTorch: the same weights and batches must give the same first logits and gradients, and
// losses that follow the recorded ones.
#include "compiler/data/csv.h"
#include "compiler/data/mnist.h"
#include "compiler/data/npz.h"
#include "compiler/frontend/layers.h"
#include "compiler/frontend/training.h"
#include "frontend_compiled.h"
#include "ir/bind.h"
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

using namespace trellis;
using trellis::testing::CompiledExecutor;
using trellis::testing::Executor;
using trellis::testing::interpret;
using trellis::testing::TestSession;

static std::string data_folder() {
  const char *set = std::getenv("TRELLIS_TESTDATA");
  return set ? set : TRELLIS_SOURCE_DIR "/../shared";
}

static Tensor transposed(const Tensor &t) {
  int64_t rows = t.dims()[0], columns = t.dims()[1];
  Tensor out(t.dtype(), {columns, rows});
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) out.set(j * rows + i, t.get(i * columns + j));
  return out;
}

static void expect_close(const Tensor &got, const Tensor &want, double tolerance, const std::string &what) {
  ASSERT_EQ(got.dims(), want.dims()) << what;
  double largest = 0, error = 0;
  for (int64_t i = 0; i < want.size(); ++i) {
    largest = std::max(largest, std::fabs(want.get(i)));
    double e = std::fabs(got.get(i) - want.get(i));
    error = e <= error ? error : e; // keeps NaN
  }
  EXPECT_LE(error, tolerance * largest) << what << ": largest value " << largest;
}

struct Curve {
  std::string file;
  nn::Layer model;
  Type input; ///< with the batch as N
  TrainingOptions options;
  Dataset data;
};

// One recorded run, replayed by an executor.
class Replay {
public:
  Replay(const Curve &c, Executor execute)
      : curve_(c), npz_(data_folder() + "/curves/" + c.file + ".npz"), rows_(npz_.read("batch_index")) {
    session_.execute = std::move(execute);
    auto model = nn::build_graph(c.model, c.input, "curve");
    TrainingOptions options = c.options;
    options.logits = options.gradients = true;
    graph_ = make_training_graph(*bind_dims(*model, {{"N", rows_.dims()[1]}}), options);
    session_.initialise(*graph_);
    for (Value p : inputs_of_role(*graph_, "param")) {
      std::string name(name_of_input(p));
      session_.state[name] = ours(npz_.read("init:" + name));
    }
  }
  std::map<std::string, Tensor> step(int64_t i) {
    std::vector<uint32_t> rows;
    for (int64_t k = 0; k < rows_.dims()[1]; ++k) rows.push_back(uint32_t(rows_.get_int(i * rows_.dims()[1] + k)));
    std::string target = curve_.options.loss == "cross_entropy" ? "label" : "target";
    return session_.run(*graph_,
                        {{"x", take_rows(curve_.data.inputs, rows)}, {target, take_rows(curve_.data.targets, rows)}});
  }
  void expect_first_step(double tolerance) {
    auto out = step(0);
    expect_close(out.at("logits"), npz_.read("logits0"), tolerance, "logits");
    for (Value p : inputs_of_role(*graph_, "param")) {
      std::string name(name_of_input(p));
      expect_close(out.at("grad." + name), ours(npz_.read("grad0:" + name)), tolerance, "gradient of " + name);
    }
    EXPECT_NEAR(out.at("loss").get(0) / npz_.read("loss").get(0), 1, tolerance);
  }
  /// Logits of the first rows alone: what an interpreter can do of a large model.
  void expect_first_logits(int64_t count, double tolerance) {
    auto predict = make_inference_graph(*bind_dims(*nn::build_graph(curve_.model, curve_.input), {{"N", count}}));
    std::vector<uint32_t> rows;
    for (int64_t k = 0; k < count; ++k) rows.push_back(uint32_t(rows_.get_int(k)));
    Tensor got = session_.run(*predict, {{"x", take_rows(curve_.data.inputs, rows)}}).at("y");
    Tensor all = npz_.read("logits0"), want(all.dtype(), got.dims());
    for (int64_t i = 0; i < want.size(); ++i) want.set(i, all.get(i));
    expect_close(got, want, tolerance, "logits");
  }
  void expect_losses(int64_t steps, double tolerance) {
    Tensor want = npz_.read("loss");
    for (int64_t i = 0; i < steps; ++i)
      ASSERT_NEAR(step(i).at("loss").get(0) / want.get(i), 1, tolerance) << "step " << i;
  }

private:
  // Linear weights are [out, in] there and [in, out] here.
  static Tensor ours(const Tensor &t) { return t.rank() == 2 ? transposed(t) : t; }
  const Curve &curve_;
  NpzReader npz_;
  Tensor rows_;
  std::unique_ptr<Graph> graph_;
  TestSession session_;
};

static Dataset mnist() { return load_mnist(data_folder() + "/data/mnist").train; }

static Curve mlp() {
  using namespace nn;
  return {"mlp-mnist-sgd",
          Flatten() >> Dense(256) >> ReLU() >> Dense(256) >> ReLU() >> Dense(10),
          {DType::f32, {Dim::symbol("N"), 1, 28, 28}},
          {{.loss = "cross_entropy", .output = {}}, parse_optimiser("sgd:lr=0.1")},
          mnist()};
}
static Curve kerasconv() {
  using namespace nn;
  return {"kerasconv-mnist-adam",
          Conv2d(32, 3) >> ReLU() >> MaxPool(2) >> Conv2d(64, 3) >> ReLU() >> MaxPool(2) >> Flatten() >> Dense(10),
          {DType::f32, {Dim::symbol("N"), 1, 28, 28}},
          {{.loss = "cross_entropy", .output = {}}, parse_optimiser("adam:lr=0.001")},
          mnist()};
}
static Curve wine() {
  using namespace nn;
  Dataset data = read_csv(data_folder() + "/data/tabular/winequality-red.csv",
                          {.target = CsvOptions::Target::values, .dtype = DType::f64});
  apply_scaling(fit_scaling(data.inputs), data.inputs);
  return {"wine-mlp-fp64-adam",
          Dense(32) >> Tanh() >> Dense(32) >> Softplus() >> Dense(1),
          {DType::f64, {Dim::symbol("N"), 11}},
          {{.loss = "mse", .output = {}}, parse_optimiser("adam:lr=0.01")},
          std::move(data)};
}

class Curves : public ::testing::Test {
protected:
  void SetUp() override {
    if (!std::filesystem::exists(data_folder() + "/curves"))
      GTEST_SKIP() << "no test data in " << data_folder() << " (set TRELLIS_TESTDATA)";
  }
};

TEST_F(Curves, InterpretedFirstSteps) {
  Curve a = mlp(), b = wine(), c = kerasconv();
  Replay(a, interpret).expect_first_step(1e-5);
  Replay(b, interpret).expect_first_step(1e-12);
  Replay(c, interpret).expect_first_logits(3, 1e-5);
}
TEST_F(Curves, InterpretedWine) {
  Curve c = wine();
  Replay(c, interpret).expect_losses(300, 1e-9);
}

TEST_F(Curves, Mlp) {
  Curve c = mlp();
  Replay(c, CompiledExecutor()).expect_first_step(1e-5);
  Replay(c, CompiledExecutor()).expect_losses(50, 1e-3);
}
TEST_F(Curves, KerasConv) {
  Curve c = kerasconv();
  Replay(c, CompiledExecutor()).expect_first_step(1e-5);
  Replay(c, CompiledExecutor()).expect_losses(50, 1e-3);
}
TEST_F(Curves, Wine) {
  Curve c = wine();
  Replay(c, CompiledExecutor()).expect_first_step(1e-12);
  Replay(c, CompiledExecutor()).expect_losses(300, 1e-9);
}

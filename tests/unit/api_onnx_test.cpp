// ONNX files by the C interface: their dims are bound by each call, their weights are trained and kept.
#include "onnx.pb.h"
#include "tests/unit/api_model.h"
#include <fstream>

using namespace trellis::testing;
using trellis::onnx::ModelProto;

namespace {

// y = x w for x [N, 2], w = [3, 4]; training drops elements of x where asked.
std::string linear_file(bool open = true, bool drops = false) {
  ModelProto m;
  m.set_ir_version(8);
  m.add_opset_import()->set_version(17);
  auto *g = m.mutable_graph();
  g->set_name("linear");
  auto declare = [&](auto *v, const char *name, int64_t columns) {
    v->set_name(name);
    auto *t = v->mutable_type()->mutable_tensor_type();
    t->set_elem_type(1);
    open ? t->mutable_shape()->add_dim()->set_dim_param("N") : t->mutable_shape()->add_dim()->set_dim_value(2);
    t->mutable_shape()->add_dim()->set_dim_value(columns);
  };
  declare(g->add_input(), "x", 2);
  declare(g->add_output(), "y", 1);
  auto *w = g->add_initializer();
  w->set_name("w"), w->set_data_type(1), w->add_dims(2), w->add_dims(1), w->add_float_data(3), w->add_float_data(4);
  if (drops) {
    auto *d = g->add_node();
    d->set_name("drop"), d->set_op_type("Dropout"), d->add_input("x"), d->add_output("kept");
  }
  auto *n = g->add_node();
  n->set_name("product"), n->set_op_type("MatMul"), n->add_input(drops ? "kept" : "x"), n->add_input("w"),
      n->add_output("y");
  std::string path = temporary("linear.onnx");
  std::ofstream(path, std::ios::binary) << m.SerializeAsString();
  return path;
}

ModelPtr load(const std::string &path) {
  char why[1024] = "";
  trellis_model *m = nullptr;
  EXPECT_EQ(trellis_model_load(path.c_str(), &m, why, sizeof why), TRELLIS_OK) << why;
  return ModelPtr(m);
}

} // namespace

TEST(ApiOnnx, TellsWhatTheFileSays) {
  ModelPtr m = load(linear_file());
  ASSERT_TRUE(m);
  EXPECT_STREQ(trellis_model_name(m.get()), "linear");
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_INPUTS, 0)->type, "f32[N, 2]");
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_OUTPUTS, 0)->type, "f32[N, 1]");
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_PARAMS, 0)->name, "w");
  EXPECT_STREQ(trellis_model_dim(m.get(), 0), "N");
}

TEST(ApiOnnx, RunsForEveryBinding) {
  ModelPtr m = load(linear_file());
  ASSERT_TRUE(m);
  for (int64_t n : {1, 3}) {
    Floats x("x", {n, 2}, std::vector<float>(size_t(2 * n), 1)), y("y", {n, 1}, std::vector<float>(size_t(n)));
    trellis_named_tensor in[] = {x}, out[] = {y};
    EXPECT_OK(m, trellis_model_run(m.get(), TRELLIS_FORM_MODEL, in, 1, out, 1));
    EXPECT_EQ(y.values, std::vector<float>(size_t(n), 7));
  }
  Floats wrong("x", {1, 3}, {1, 1, 1});
  trellis_named_tensor in[] = {wrong};
  EXPECT_REFUSED(m, trellis_model_run(m.get(), TRELLIS_FORM_MODEL, in, 1, nullptr, 0), TRELLIS_BAD_DIMS, "x");
}

TEST(ApiOnnx, TrainsFromItsOwnWeights) {
  ModelPtr m = load(linear_file());
  ASSERT_TRUE(m);
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.5", "mse"));
  // At x = (1, 0) the model says 3, not 1: the loss is 4, its derivative 4, so w becomes (1, 4).
  Floats x("x", {1, 2}, {1, 0}), target("target", {1, 1}, {1}), w("w", {2, 1}, {0, 0});
  trellis_named_tensor in[] = {x, target};
  double loss = 0;
  EXPECT_OK(m, trellis_model_train_step(m.get(), in, 2, &loss, nullptr));
  EXPECT_EQ(loss, 4);
  trellis_tensor to = w.tensor();
  EXPECT_OK(m, trellis_model_get(m.get(), "w", &to));
  EXPECT_EQ(w.values, (std::vector<float>{1, 4}));
  std::string kept = temporary("w.safetensors");
  EXPECT_OK(m, trellis_model_save_weights(m.get(), kept.c_str()));
  ModelPtr again = load(linear_file(false));
  EXPECT_OK(again, trellis_model_load_weights(again.get(), kept.c_str()));
  Floats rows("x", {2, 2}, {1, 0, 0, 1}), y("y", {2, 1}, {0, 0});
  trellis_named_tensor ask[] = {rows}, out[] = {y};
  EXPECT_OK(again, trellis_model_run(again.get(), TRELLIS_FORM_INFERENCE, ask, 1, out, 1));
  EXPECT_EQ(y.values, (std::vector<float>{1, 4}));
}

// The seed is of training alone: programs that predict take a checkpoint that has it.
TEST(ApiOnnx, LoadsACheckpointOfTrainingWithDropout) {
  std::string file = linear_file(true, true), kept = temporary("dropout.safetensors");
  ModelPtr m = load(file), again = load(file);
  ASSERT_TRUE(m && again);
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0", "mse"));
  Floats x("x", {1, 2}, {1, 0}), target("target", {1, 1}, {1}), y("y", {1, 1}, {0});
  trellis_named_tensor in[] = {x, target}, out[] = {y};
  double loss = 0;
  EXPECT_OK(m, trellis_model_train_step(m.get(), in, 2, &loss, nullptr));
  EXPECT_OK(m, trellis_model_save_weights(m.get(), kept.c_str()));
  EXPECT_OK(again, trellis_model_load_weights(again.get(), kept.c_str()));
  EXPECT_OK(again, trellis_model_run(again.get(), TRELLIS_FORM_MODEL, in, 1, out, 1));
  EXPECT_EQ(y.values, std::vector<float>{3});
}

// s' = s + x, given as an ONNX file.
static std::string running_sum_file() {
  ModelProto m;
  m.set_ir_version(8);
  m.add_opset_import()->set_version(17);
  auto *g = m.mutable_graph();
  g->set_name("sum");
  for (auto *v : {g->add_input(), g->add_input(), g->add_output()}) {
    auto *t = v->mutable_type()->mutable_tensor_type();
    t->set_elem_type(1);
    t->mutable_shape()->add_dim()->set_dim_value(2);
  }
  g->mutable_input(0)->set_name("x"), g->mutable_input(1)->set_name("before"), g->mutable_output(0)->set_name("after");
  auto *n = g->add_node();
  n->set_op_type("Add"), n->add_input("x"), n->add_input("before"), n->add_output("after");
  std::string path = temporary("sum.onnx");
  std::ofstream(path, std::ios::binary) << m.SerializeAsString();
  return path;
}

TEST(ApiOnnx, CarriesStateFromCallToCall) {
  ModelPtr m = load(running_sum_file());
  ASSERT_TRUE(m);
  EXPECT_REFUSED(m, trellis_model_carry(m.get(), "after", "y"), TRELLIS_BAD_MODEL, "no input 'y'");
  EXPECT_REFUSED(m, trellis_model_carry(m.get(), "y", "before"), TRELLIS_BAD_MODEL, "no output 'y'");
  EXPECT_OK(m, trellis_model_carry(m.get(), "after", "before"));
  EXPECT_EQ(trellis_model_count(m.get(), TRELLIS_INPUTS), 1u);
  EXPECT_STREQ(trellis_model_value(m.get(), TRELLIS_STATES, 0)->name, "before");
  Floats x("x", {2}, {1, 2}), y("after", {2}, {0, 0}), s("before", {2}, {0, 0});
  trellis_named_tensor in[] = {x}, out[] = {y};
  for (float i : {1.f, 2.f, 3.f}) {
    EXPECT_OK(m, trellis_model_run(m.get(), TRELLIS_FORM_MODEL, in, 1, out, 1));
    EXPECT_EQ(y.values, (std::vector<float>{i, 2 * i}));
  }
  trellis_tensor state = s.tensor();
  EXPECT_OK(m, trellis_model_get(m.get(), "before", &state));
  EXPECT_EQ(s.values, (std::vector<float>{3, 6}));
  s.values = {0, 0};
  EXPECT_OK(m, trellis_model_set(m.get(), "before", &state));
  EXPECT_OK(m, trellis_model_run(m.get(), TRELLIS_FORM_MODEL, in, 1, out, 1));
  EXPECT_EQ(y.values, (std::vector<float>{1, 2}));
}

TEST(ApiOnnx, RefusesWhatIsNone) {
  std::string path = temporary("net.onnx");
  std::ofstream(path) << "no model";
  char why[256] = "";
  trellis_model *m = nullptr;
  EXPECT_EQ(trellis_model_load(path.c_str(), &m, why, sizeof why), TRELLIS_BAD_MODEL);
  EXPECT_NE(std::string(why).find("is no ONNX model"), std::string::npos) << why;
  EXPECT_EQ(trellis_model_load((path + "x.onnx").c_str(), &m, why, sizeof why), TRELLIS_BAD_FILE);
}

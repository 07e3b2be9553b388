// Running, training, values and export by the C interface. Expected numbers are worked out by hand.
#include "tests/unit/api_model.h"
#include <atomic>
#include <cmath>
#include <cstdio>
#include <dlfcn.h>
#include <fstream>
#include <limits>
#include <thread>

using namespace trellis::testing;

namespace {

trellis_status run(const ModelPtr &m, trellis_form form, std::vector<trellis_named_tensor> in,
                   std::vector<trellis_named_tensor> out) {
  return trellis_model_run(m.get(), form, in.data(), uint32_t(in.size()), out.data(), uint32_t(out.size()));
}

trellis_status step(const ModelPtr &m, std::vector<trellis_named_tensor> in, double &loss) {
  return trellis_model_train_step(m.get(), in.data(), uint32_t(in.size()), &loss, nullptr);
}

float value(const ModelPtr &m, const char *name) {
  float v = -999;
  trellis_tensor t{&v, TRELLIS_F32, 0, nullptr};
  EXPECT_OK(m, trellis_model_get(m.get(), name, &t));
  return v;
}

} // namespace

TEST(ApiRun, ValuesForSeveralBindings) {
  ModelPtr m = parse_model(kLinear);
  Floats w("w", {2, 3}, {1, 2, 3, 4, 5, 6}), b("b", {3}, {10, 20, 30});
  trellis_tensor wt = w.tensor(), bt = b.tensor();
  EXPECT_OK(m, trellis_model_set(m.get(), "w", &wt));
  EXPECT_OK(m, trellis_model_set(m.get(), "b", &bt));
  Floats x("x", {2, 2}, {1, 0, 1, 1}), y("y", {2, 3}, std::vector<float>(6));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{11, 22, 33, 15, 27, 39}));
  Floats one("x", {1, 2}, {0, 2}), z("y", {1, 3}, std::vector<float>(3));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {one}, {z}));
  EXPECT_EQ(z.values, (std::vector<float>{18, 30, 42}));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {})); // outputs that nobody wants
  int64_t calls = 0;
  trellis_tensor counter{&calls, TRELLIS_I64, 0, nullptr};
  EXPECT_OK(m, trellis_model_get(m.get(), "calls", &counter));
  EXPECT_EQ(calls, 3); // over both programs
}

TEST(ApiRun, CompileTellsTheProgram) {
  ModelPtr m = parse_model(kLinear);
  const trellis_program *p = nullptr;
  EXPECT_REFUSED(m, trellis_model_compile(m.get(), TRELLIS_FORM_MODEL, nullptr, 0, &p), TRELLIS_BAD_DIMS, "'N'");
  EXPECT_EQ(p, nullptr);
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", 5));
  EXPECT_OK(m, trellis_model_compile(m.get(), TRELLIS_FORM_MODEL, nullptr, 0, &p));
  ASSERT_NE(p, nullptr);
  const trellis_tensor_info *y = trellis_output_info(p, 0);
  EXPECT_STREQ(y->name, "y");
  EXPECT_EQ(y->dims[0], 5);
  EXPECT_EQ(y->dims[1], 3);
  const trellis_program *again = nullptr;
  EXPECT_OK(m, trellis_model_compile(m.get(), TRELLIS_FORM_MODEL, nullptr, 0, &again));
  EXPECT_EQ(again, p);
}

TEST(ApiRun, WrongTensorsAreRefused) {
  ModelPtr m = parse_model(kLinear);
  Floats x("x", {2, 2}, {1, 0, 1, 1}), y("y", {2, 3}, std::vector<float>(6, -1));
  Named<double> wide("x", {2, 2}, {1, 0, 1, 1});
  Floats flat("x", {4}, {1, 0, 1, 1}), bad("x", {2, 3}, std::vector<float>(6)), other("u", {2, 2}, {0, 0, 0, 0});
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {wide}, {y}), TRELLIS_BAD_DTYPE,
                 "input 'x' should be f32[N, 2], but is f64");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {flat}, {y}), TRELLIS_BAD_RANK, "f32[4]");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {bad}, {y}), TRELLIS_BAD_DIMS, "f32[2, 3]");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x, other}, {y}), TRELLIS_BAD_NAME, "known: 'x'");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x, x}, {y}), TRELLIS_BAD_NAME, "twice");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x}, {other}), TRELLIS_BAD_NAME, "known: 'y'");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {}, {y}), TRELLIS_BAD_DIMS, "'N'");
  Floats small("y", {1, 3}, std::vector<float>(3));
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x}, {small}), TRELLIS_BAD_DIMS, "y");
  trellis_named_tensor t = x;
  t.name = nullptr;
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_POINTER, "name");
  t = x, t.tensor.data = nullptr;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_POINTER);
  t = x, t.tensor.data = reinterpret_cast<char *>(x.values.data()) + 1;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_POINTER);
  t = x, t.tensor.dims = nullptr;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_POINTER);
  t = x, t.tensor.dtype = 77;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_DTYPE);
  t = x, t.tensor.rank = -1;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_RANK);
  t = x, t.tensor.rank = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_RANK);
  int64_t huge[] = {std::numeric_limits<int64_t>::max(), 2}, negative[] = {-2, 2};
  t = x, t.tensor.dims = huge;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_DIMS);
  t = x, t.tensor.dims = negative;
  EXPECT_EQ(run(m, TRELLIS_FORM_MODEL, {t}, {y}), TRELLIS_BAD_DIMS);
  EXPECT_EQ(trellis_model_run(m.get(), TRELLIS_FORM_MODEL, nullptr, 3, nullptr, 0), TRELLIS_BAD_POINTER);
  EXPECT_REFUSED(m, run(m, trellis_form(12), {x}, {y}), TRELLIS_BAD_OPTION, "12");
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_TRAINING, {x}, {y}), TRELLIS_BAD_OPTION, "set_training");
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", 3));
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}), TRELLIS_BAD_DIMS, "bound to 3, but 2");
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", -1));
  EXPECT_EQ(y.values, std::vector<float>(6, -1)); // nothing was written
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
}

TEST(ApiTrain, StepsByHand) {
  ModelPtr m = parse_model(kScale);
  double loss = 0;
  Floats x("x", {2, 1}, {1, 2}), t("target", {2, 1}, {0, 0});
  EXPECT_REFUSED(m, step(m, {x, t}, loss), TRELLIS_BAD_OPTION, "set_training");
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.125", "mse"));
  // mean((2 x)^2) = 10, gradient mean(2 x 2 x) = 10: w = 2 - 1.25
  EXPECT_OK(m, step(m, {x, t}, loss));
  EXPECT_EQ(loss, 10);
  EXPECT_EQ(value(m, "w"), 0.75f);
  // A shorter batch goes on from there: (3 - 1)^2, gradient 2 * 4 * 2.
  Floats x1("x", {1, 1}, {4}), t1("target", {1, 1}, {1});
  EXPECT_OK(m, step(m, {x1, t1}, loss));
  EXPECT_EQ(loss, 4);
  EXPECT_EQ(value(m, "w"), -1.25f);
  // Judging changes nothing; the first program, too, goes on from the newest values.
  Floats l("loss", {}, {0});
  EXPECT_OK(m, run(m, TRELLIS_FORM_EVALUATION, {x1, t1}, {l}));
  EXPECT_EQ(l.values[0], 36);
  EXPECT_EQ(value(m, "w"), -1.25f);
  EXPECT_OK(m, step(m, {x, t}, loss));
  EXPECT_EQ(loss, 1.25 * 1.25 * 2.5);
  EXPECT_EQ(trellis_model_train_step(m.get(), nullptr, 0, nullptr, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_REFUSED(m, step(m, {x}, loss), TRELLIS_BAD_COUNT, "'target' (f32[2, 1]) is missing");
}

TEST(ApiTrain, ALossThatIsNotFinite) {
  ModelPtr m = parse_model(kScale);
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.125", "mse"));
  Floats x("x", {1, 1}, {std::numeric_limits<float>::infinity()}), t("target", {1, 1}, {0});
  double loss = 0;
  EXPECT_REFUSED(m, step(m, {x, t}, loss), TRELLIS_NOT_FINITE, "inf");
  EXPECT_EQ(loss, std::numeric_limits<double>::infinity());
}

TEST(ApiTrain, CorrectAnswersAreCounted) {
  ModelPtr m = parse_model("trellis 1\ngraph @c(%x: f32[N, 2], %label: i64[N]) {\n  param %b : f32[2] init(zero)\n"
                           "  %z = add %x, %b\n  %loss = cross_entropy %z, %label\n  return %loss\n}\n");
  EXPECT_OK(m, trellis_model_set_training(m.get(), "adam:lr=0.1", nullptr));
  Floats x("x", {3, 2}, {1, 0, 0, 1, 1, 0});
  Named<int64_t> label("label", {3}, {0, 1, 1});
  trellis_named_tensor in[] = {x, label};
  double loss = 0;
  int64_t correct = -7;
  EXPECT_OK(m, trellis_model_train_step(m.get(), in, 2, &loss, &correct));
  EXPECT_EQ(correct, 2);
  EXPECT_NEAR(loss, (2 * std::log1p(std::exp(-1.0)) + std::log1p(std::exp(1.0))) / 3, 1e-6);
  Floats logits("logits", {3, 2}, std::vector<float>(6));
  EXPECT_OK(m, run(m, TRELLIS_FORM_INFERENCE, {x}, {logits})); // without the label
}

TEST(ApiTrain, ASavedRunGoesOnAsIfItHadNotStopped) {
  Floats x("x", {2, 1}, {1, 2}), t("target", {2, 1}, {3, -1});
  double loss = 0, other = 0;
  ModelPtr whole = parse_model(kScale), first = parse_model(kScale), second = parse_model(kScale);
  for (const ModelPtr *m : {&whole, &first, &second})
    EXPECT_OK(*m, trellis_model_set_training(m->get(), "adam:lr=0.1", "mse"));
  for (int i = 0; i < 4; ++i) EXPECT_OK(whole, step(whole, {x, t}, loss));
  for (int i = 0; i < 2; ++i) EXPECT_OK(first, step(first, {x, t}, other));
  std::string path = temporary("w.safetensors");
  EXPECT_OK(first, trellis_model_save_weights(first.get(), path.c_str()));
  EXPECT_OK(second, trellis_model_load_weights(second.get(), path.c_str()));
  for (int i = 0; i < 2; ++i) EXPECT_OK(second, step(second, {x, t}, other));
  EXPECT_EQ(other, loss);
  EXPECT_EQ(value(second, "w"), value(whole, "w"));
  EXPECT_EQ(value(second, "adam.m.w"), value(whole, "adam.m.w"));
  EXPECT_NE(value(whole, "w"), 2.0f);
}

TEST(ApiTrain, WeightsWithoutOptimiserStateBeginItAnew) {
  Floats x("x", {1, 1}, {1}), t("target", {1, 1}, {0});
  ModelPtr plain = parse_model(kScale), m = parse_model(kScale);
  std::string path = temporary("w.safetensors");
  EXPECT_OK(plain, trellis_model_save_weights(plain.get(), path.c_str()));
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.125,momentum=0.5", "mse"));
  double loss = 0;
  // From w = 2 the gradient is 4 and the first step 0.5; momentum would make it 0.75 the second time.
  for (int i = 0; i < 2; ++i) {
    EXPECT_OK(m, step(m, {x, t}, loss));
    EXPECT_EQ(value(m, "w"), 1.5f);
    EXPECT_OK(m, trellis_model_load_weights(m.get(), path.c_str()));
    EXPECT_EQ(value(m, "w"), 2.0f);
  }
}

// What `trellis train` keeps of kScale after a table whose column it scaled: w = 3.
std::string scaled_checkpoint(const std::string &mean, const std::string &deviation) {
  std::string path = temporary("scaled.safetensors"),
              header = R"({"__metadata__":{"scaling.mean":")" + mean + R"(","scaling.deviation":")" + deviation +
                       R"("},"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  uint64_t size = header.size();
  float w = 3;
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char *>(&size), 8) << header;
  file.write(reinterpret_cast<const char *>(&w), 4);
  return path;
}

TEST(ApiValues, ACheckpointThatScalesItsSamples) {
  std::string path = scaled_checkpoint("10", "4"), kept = temporary("kept.safetensors");
  ModelPtr m = parse_model(kScale), again = parse_model(kScale), plain = parse_model(kScale);
  Floats x("x", {2, 1}, {12, 6}), y("y", {2, 1}, {0, 0}), t("target", {2, 1}, {0, 0});
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{24, 12}));
  EXPECT_OK(m, trellis_model_load_weights(m.get(), path.c_str()));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{1.5, -3})); // 3 (x - 10) / 4
  EXPECT_OK(m, run(m, TRELLIS_FORM_INFERENCE, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{1.5, -3}));
  // A step of training sees the same samples: the mean of 1.5^2 and 3^2.
  EXPECT_OK(m, trellis_model_save_weights(m.get(), kept.c_str()));
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0", "mse"));
  double loss = 0;
  EXPECT_OK(m, step(m, {x, t}, loss));
  EXPECT_EQ(loss, 5.625);
  // It stays with values that are saved, and goes with others that are loaded.
  EXPECT_OK(again, trellis_model_load_weights(again.get(), kept.c_str()));
  EXPECT_OK(again, run(again, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{1.5, -3}));
  std::string unscaled = temporary("plain.safetensors");
  EXPECT_OK(plain, trellis_model_save_weights(plain.get(), unscaled.c_str()));
  EXPECT_OK(again, trellis_model_load_weights(again.get(), unscaled.c_str()));
  EXPECT_OK(again, run(again, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{24, 12}));
  EXPECT_REFUSED(again, trellis_model_load_weights(again.get(), scaled_checkpoint("1 2", "1 1").c_str()),
                 TRELLIS_BAD_FILE, "was trained on 2 columns");
  EXPECT_OK(again, run(again, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values, (std::vector<float>{24, 12}));
}

TEST(ApiExport, ALibraryScalesItsSamples) {
  ModelPtr m = parse_model(kScale);
  EXPECT_OK(m, trellis_model_load_weights(m.get(), scaled_checkpoint("10", "4").c_str()));
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", 2));
  std::string library = temporary("scale.so");
  EXPECT_OK(m, trellis_model_export(m.get(), TRELLIS_FORM_MODEL, TRELLIS_EXPORT_LIBRARY, library.c_str()));
  void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(handle, nullptr) << dlerror();
  auto create = reinterpret_cast<void *(*)(int)>(dlsym(handle, "scale_create"));
  auto call = reinterpret_cast<int (*)(void *, const float *, float *)>(dlsym(handle, "scale_run"));
  auto destroy = reinterpret_cast<void (*)(void *)>(dlsym(handle, "scale_destroy"));
  ASSERT_TRUE(create && call && destroy);
  void *context = create(1);
  float x[2] = {12, 6}, y[2] = {};
  EXPECT_EQ(call(context, x, y), 0);
  EXPECT_EQ(y[0], 1.5f);
  EXPECT_EQ(y[1], -3.0f);
  destroy(context);
  dlclose(handle);
}

TEST(ApiValues, WrongFilesAndTensorsChangeNothing) {
  ModelPtr scale = parse_model(kScale), linear = parse_model(kLinear);
  std::string path = temporary("w.safetensors"), garbage = temporary("garbage.safetensors");
  EXPECT_OK(linear, trellis_model_save_weights(linear.get(), path.c_str()));
  std::ofstream(garbage) << "no safetensors at all, but long enough";
  float three = 3;
  trellis_tensor t{&three, TRELLIS_F32, 0, nullptr};
  EXPECT_OK(scale, trellis_model_set(scale.get(), "w", &t));
  EXPECT_REFUSED(scale, trellis_model_load_weights(scale.get(), path.c_str()), TRELLIS_BAD_FILE, path);
  EXPECT_REFUSED(scale, trellis_model_load_weights(scale.get(), garbage.c_str()), TRELLIS_BAD_FILE, garbage);
  std::string missing = garbage + ".no";
  EXPECT_REFUSED(scale, trellis_model_load_weights(scale.get(), missing.c_str()), TRELLIS_BAD_FILE, missing);
  EXPECT_REFUSED(scale, trellis_model_save_weights(scale.get(), "/no/such/folder/w"), TRELLIS_BAD_FILE, "/no/such");
  EXPECT_REFUSED(scale, trellis_model_set(scale.get(), "v", &t), TRELLIS_BAD_NAME, "'v'");
  EXPECT_REFUSED(scale, trellis_model_set(scale.get(), "x", &t), TRELLIS_BAD_NAME, "'x'");
  double wide = 3;
  trellis_tensor d{&wide, TRELLIS_F64, 0, nullptr};
  EXPECT_REFUSED(scale, trellis_model_set(scale.get(), "w", &d), TRELLIS_BAD_DTYPE, "f32[]");
  int64_t one = 1;
  t.rank = 1, t.dims = &one;
  EXPECT_REFUSED(scale, trellis_model_get(scale.get(), "w", &t), TRELLIS_BAD_RANK, "f32[1]");
  EXPECT_EQ(value(scale, "w"), 3.0f);
}

TEST(ApiValues, AParameterWithoutInitialiserMustBeSet) {
  ModelPtr m =
      parse_model("trellis 1\ngraph @g(%x: f32[1]) {\n  param %w : f32[1]\n  %y = mul %x, %w\n  return %y\n}\n");
  Floats x("x", {1}, {3}), y("y", {1}, {0}), w("w", {1}, {5});
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}), TRELLIS_BAD_MODEL, "test.trl:3:");
  trellis_tensor t = w.tensor();
  EXPECT_OK(m, trellis_model_set(m.get(), "w", &t));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values[0], 15);
}

TEST(ApiExport, ALibraryWithTheValuesOfNow) {
  ModelPtr m = parse_model(kScale);
  float five = 5;
  trellis_tensor t{&five, TRELLIS_F32, 0, nullptr};
  EXPECT_OK(m, trellis_model_set(m.get(), "w", &t));
  std::string path = temporary("scale.so");
  auto write = [&](trellis_export kind, const std::string &to) {
    return trellis_model_export(m.get(), TRELLIS_FORM_MODEL, kind, to.c_str());
  };
  EXPECT_REFUSED(m, write(TRELLIS_EXPORT_LIBRARY, path), TRELLIS_BAD_DIMS, "'N'");
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", 2));
  EXPECT_REFUSED(m, write(trellis_export(5), path), TRELLIS_BAD_OPTION, "5");
  EXPECT_REFUSED(m, write(TRELLIS_EXPORT_HEADER, "/no/such/folder/s.h"), TRELLIS_BAD_FILE, "/no/such");
  EXPECT_OK(m, write(TRELLIS_EXPORT_LIBRARY, path));
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto create = reinterpret_cast<void *(*)(int)>(dlsym(library, "scale_create"));
  auto call = reinterpret_cast<int (*)(void *, const float *, float *)>(dlsym(library, "scale_run"));
  auto destroy = reinterpret_cast<void (*)(void *)>(dlsym(library, "scale_destroy"));
  ASSERT_TRUE(create && call && destroy);
  void *context = create(1);
  float x[2] = {1, -2}, y[2] = {0, 0};
  EXPECT_EQ(call(context, x, y), 0);
  EXPECT_EQ(y[0], 5);
  EXPECT_EQ(y[1], -10);
  destroy(context);
  dlclose(library);
  std::string header = path + ".h";
  EXPECT_OK(m, write(TRELLIS_EXPORT_HEADER, header));
  std::ifstream in(header);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_NE(text.find("scale_run"), std::string::npos);
}

TEST(ApiExport, AnotherMachineIsExportedForOnly) {
  ModelPtr m = parse_model(kScale);
#if defined(__x86_64__)
  EXPECT_OK(m, trellis_model_set_target(m.get(), "aarch64"));
#else
  EXPECT_OK(m, trellis_model_set_target(m.get(), "x86-64"));
#endif
  Floats x("x", {1, 1}, {1}), y("y", {1, 1}, {0});
  EXPECT_REFUSED(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}), TRELLIS_BAD_OPTION, "cannot run its code");
  EXPECT_OK(m, trellis_model_bind_dim(m.get(), "N", 1));
  std::string path = temporary("scale.o");
  EXPECT_OK(m, trellis_model_export(m.get(), TRELLIS_FORM_MODEL, TRELLIS_EXPORT_OBJECT, path.c_str()));
  EXPECT_TRUE(std::ifstream(path).good());
  EXPECT_REFUSED(m, trellis_model_export(m.get(), TRELLIS_FORM_MODEL, TRELLIS_EXPORT_LIBRARY, path.c_str()),
                 TRELLIS_BAD_OPTION, "export an object");
  EXPECT_OK(m, trellis_model_set_target(m.get(), "host"));
  EXPECT_OK(m, run(m, TRELLIS_FORM_MODEL, {x}, {y}));
  EXPECT_EQ(y.values[0], 2);
}

TEST(ApiRun, ThreadsAndOptionsKeepValuesAndBits) {
  ModelPtr m = parse_model(kScale);
  EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.125", "mse"));
  Floats x("x", {2, 1}, {1, 2}), t("target", {2, 1}, {0, 0});
  double loss = 0;
  EXPECT_OK(m, step(m, {x, t}, loss));
  EXPECT_OK(m, trellis_model_set_threads(m.get(), 2));
  EXPECT_EQ(value(m, "w"), 0.75f);
  EXPECT_OK(m, trellis_model_set_training(m.get(), "adam", "mse"));
  EXPECT_OK(m, step(m, {x, t}, loss));
  EXPECT_EQ(loss, 0.75 * 0.75 * 2.5);
}

TEST(ApiThreads, ModelsAtTheSameTime) {
  std::vector<std::thread> threads;
  std::vector<float> results(3);
  for (size_t k = 0; k < results.size(); ++k)
    threads.emplace_back([&results, k] {
      ModelPtr m = parse_model(kScale);
      EXPECT_OK(m, trellis_model_set_training(m.get(), "sgd:lr=0.125", "mse"));
      Floats x("x", {2, 1}, {1, 2}), t("target", {2, 1}, {0, 0});
      double loss = 0;
      EXPECT_OK(m, step(m, {x, t}, loss));
      results[k] = value(m, "w");
    });
  for (std::thread &t : threads) t.join();
  EXPECT_EQ(results, std::vector<float>(3, 0.75f));
}

TEST(ApiThreads, ASecondCallAtTheSameTimeIsRefused) {
  ModelPtr m = parse_model(kLinear);
  std::atomic<int> done = 0, odd = 0;
  auto work = [&] {
    Floats x("x", {2, 2}, {1, 0, 1, 1}), y("y", {2, 3}, std::vector<float>(6));
    for (int succeeded = 0; succeeded < 50;) {
      trellis_status s = run(m, TRELLIS_FORM_MODEL, {x}, {y});
      if (s == TRELLIS_OK)
        ++succeeded, ++done, odd += y.values != std::vector<float>{1, 1, 1, 2, 2, 2};
      else
        odd += s != TRELLIS_BUSY;
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(done, 100);
  EXPECT_EQ(odd, 0);
  int64_t calls = 0; // no call was lost or made twice
  trellis_tensor counter{&calls, TRELLIS_I64, 0, nullptr};
  EXPECT_OK(m, trellis_model_get(m.get(), "calls", &counter));
  EXPECT_EQ(calls, 100);
}

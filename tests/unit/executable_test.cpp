#include "compiler/executable.h"
#include "ir/diag.h"
#include "tests/unit/program_samples.h"
#include <gtest/gtest.h>

using namespace trellis;
using namespace trellis::samples;

namespace {

std::string failure(const std::function<void()> &f) {
  try {
    f();
  } catch (const CompileError &e) { return e.what(); }
  return "no error";
}

} // namespace

TEST(Executable, RunsWithStateAndConstants) {
  auto e = Executable::compile(accumulate(), make_target("host"), 2);
  EXPECT_EQ(e->stats().kernels, 2);
  EXPECT_EQ(e->stats().calls, 2);
  EXPECT_GT(e->stats().code_bytes, 0);
  for (int threads : {1, 2, 3, 8}) {
    Session s(e, threads);
    std::vector<float> w, x;
    for (int i = 0; i < 15; ++i) w.push_back(float(i)), x.push_back(float(i) / 4);
    s.set_state("w", filled({3, 5}, w));
    Tensor input[] = {filled({3, 5}, x)};
    for (int step = 1; step <= 3; ++step) {
      Tensor y = s.run(std::span<const Tensor>(input))[0];
      for (int i = 0; i < 15; ++i)
        EXPECT_EQ(y.as<float>()[size_t(i)], float(step) * (x[size_t(i)] + 100.f * float(i)) + w[size_t(i)]);
      EXPECT_EQ(s.state("w"), y);
    }
  }
}

TEST(Executable, RunsByName) {
  Session s(Executable::compile(accumulate(), make_target("host"), 1));
  std::vector<NamedTensor> in{{"x", Tensor(DType::f32, {3, 5})}};
  auto out = s.run(std::span<const NamedTensor>(in));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0].name, "y");
  EXPECT_EQ(out[0].tensor.as<float>()[14], 1400.f);

  in[0].name = "z";
  EXPECT_EQ(failure([&] { s.run(std::span<const NamedTensor>(in)); }),
            "error: accumulate: no input is called 'z'; known: 'x'");
  in.clear();
  EXPECT_EQ(failure([&] { s.run(std::span<const NamedTensor>(in)); }),
            "error: accumulate: input 'x' (f32[3, 5]) is missing");
}

TEST(Executable, RefusesWithTheTensorsName) {
  Session s(Executable::compile(accumulate(), make_target("host"), 1));
  Tensor wrong[] = {Tensor(DType::f32, {5, 3})};
  EXPECT_EQ(failure([&] { s.run(std::span<const Tensor>(wrong)); }),
            "error: accumulate: input 'x' should be f32[3, 5], but is f32[5, 3]");
  EXPECT_NE(failure([&] { s.state("nothing"); }).find("nothing"), std::string::npos);
  EXPECT_NE(
      failure([&] { s.set_state("w", Tensor(DType::f64, {3, 5})); }).find("'w' should be f32[3, 5], but is f64[3, 5]"),
      std::string::npos);
  EXPECT_NE(failure([&] { s.set_threads(0); }).find("threads should be 1 to"), std::string::npos);
  EXPECT_NE(failure([&] { Session(Executable::compile(accumulate(), make_target("host"), 1), 0); }).find("threads"),
            std::string::npos);
}

TEST(Executable, CodeDoesNotDependOnThreads) {
  Program p = accumulate();
  Target t = make_target("host");
  auto one = emit_program(p, t, 1).objects;
  for (int threads : {2, 3, 8}) EXPECT_EQ(emit_program(p, t, threads).objects, one);
}

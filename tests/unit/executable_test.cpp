#include "compiler/executable.h"
#include "ir/diag.h"
#include <gtest/gtest.h>

using namespace trellis;

namespace {

ProgramTensor tensor(std::string name, DType t, std::vector<int64_t> dims,
                     std::optional<Layout> layout = {}) {
  ProgramTensor p;
  p.name = std::move(name), p.type = {t, shape_of(dims)};
  p.layout = layout ? *layout : Layout::row_major(dims);
  return p;
}

Tensor filled(std::vector<int64_t> dims, std::vector<float> v) {
  return Tensor::of<float>(DType::f32, std::move(dims), v);
}

/// out[i] = a[i] + b[i], a parallel loop of rows of `width`.
Kernel add_kernel(int64_t rows, int64_t width) {
  Kernel k;
  k.name = "add";
  int a = k.add_buffer({"a", DType::f32, Space::slot, rows * width}),
      b = k.add_buffer({"b", DType::f32, Space::slot, rows * width}),
      o = k.add_buffer({"o", DType::f32, Space::slot, rows * width});
  IndexVar i = k.var(rows), j = k.var(width);
  Index at = Index(i) * width + Index(j);
  std::vector<Stmt> inner{make_store(o, at, k.op(Op::add, {k.load(a, at), k.load(b, at)}, DType::f32))};
  std::vector<Stmt> row{make_loop(Stmt::Loop::vector, j, std::move(inner), 8)};
  k.body.push_back(make_loop(Stmt::Loop::parallel, i, std::move(row)));
  return k;
}

/// y = x + w + c, and the state w becomes y; w is stored transposed, c a constant.
Program accumulate() {
  Program p;
  p.name = "accumulate";
  std::vector<int64_t> dims{3, 5};
  p.inputs = {tensor("x", DType::f32, dims)};
  p.outputs = {tensor("y", DType::f32, dims)};
  p.states = {tensor("w", DType::f32, dims, Layout::permuted(dims, {1, 0}))};
  p.constants = {tensor("c", DType::f32, dims)};
  std::vector<float> c;
  for (int i = 0; i < 15; ++i) c.push_back(float(100 * i));
  p.constant_data = {filled({15}, c)};
  using K = ProgramSlot::Kind;
  p.slots = {{K::input, 0, 0, 60},
             {K::constant, 0, 0, 60},
             {K::arena, 0, 64, 60},
             {K::state, 0, 0, 60},
             {K::output, 0, 0, 60}};
  p.arena_bytes = 128;
  p.kernels.push_back(add_kernel(3, 5));
  { // w^T stays where it is; y = t + w
    Kernel k;
    k.name = "update";
    int t = k.add_buffer({"t", DType::f32, Space::slot, 15}),
        w = k.add_buffer({"w", DType::f32, Space::slot, 15}),
        y = k.add_buffer({"y", DType::f32, Space::slot, 15});
    IndexVar i = k.var(3), j = k.var(5);
    Index rows = Index(i) * 5 + Index(j), columns = Index(j) * 3 + Index(i);
    const Expr *sum = k.op(Op::add, {k.load(t, rows), k.load(w, columns)}, DType::f32);
    std::vector<Stmt> body;
    body.push_back(make_store(y, rows, sum));
    body.push_back(make_store(w, columns, k.load(y, rows)));
    std::vector<Stmt> loops{make_loop(Stmt::Loop::serial, j, std::move(body))};
    k.body.push_back(make_loop(Stmt::Loop::serial, i, std::move(loops)));
    p.kernels.push_back(std::move(k));
  }
  p.kernels.push_back(add_kernel(3, 5)); // equal to the first: emitted once
  ProgramCall first, second;
  first.kernel = 2, first.name = "x + c", first.args = {0, 1, 2};
  second.kernel = 1, second.name = "update", second.args = {2, 3, 4};
  p.calls = {first, second};
  return p;
}

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
  EXPECT_NE(failure([&] {
              s.set_state("w", Tensor(DType::f64, {3, 5}));
            }).find("'w' should be f32[3, 5], but is f64[3, 5]"),
            std::string::npos);
  EXPECT_NE(failure([&] { s.set_threads(0); }).find("threads should be 1 to"), std::string::npos);
  EXPECT_NE(
      failure([&] { Session(Executable::compile(accumulate(), make_target("host"), 1), 0); }).find("threads"),
      std::string::npos);
}

TEST(Executable, CodeDoesNotDependOnThreads) {
  Program p = accumulate();
  Target t = make_target("host");
  auto one = emit_program(p, t, 1).objects;
  for (int threads : {2, 3, 8}) EXPECT_EQ(emit_program(p, t, threads).objects, one);
}

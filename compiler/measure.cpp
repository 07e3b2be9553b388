#include "compiler/measure.h"
#include "compiler/data/random.h"
#include <algorithm>
#include <chrono>

namespace trellis {

// More independent chains than latency times throughput of any core known (4 cycles, 2 a cycle), and few
// enough for 16 registers.
static constexpr int kChains = 12;
static constexpr int64_t kSteps = 200000;

static Program peak_program(const Machine &m, int threads) {
  int lanes = m.lanes(4);
  int64_t width = kChains * lanes;
  Kernel k;
  k.name = "peak";
  int x = k.add_buffer({"x", DType::f32, Space::slot, width}),
      y = k.add_buffer({"y", DType::f32, Space::slot, width * threads}),
      acc = k.add_buffer({"acc", DType::f32, Space::reg, width, lanes});
  IndexVar thread = k.var(threads), step = k.var(kSteps);
  auto chains = [&](auto make) {
    IndexVar i = k.var(width);
    std::vector<Stmt> body{make(Index(i))};
    return make_loop(Stmt::Loop::vector, i, std::move(body), lanes, true);
  };
  std::vector<Stmt> body, inner;
  body.push_back(chains([&](const Index &i) { return make_store(acc, i, k.load(x, i)); }));
  inner.push_back(chains([&](const Index &i) {
    const Expr *half = k.constant(DType::f32, 0.5);
    return make_store(acc, i, k.op(Op::fma, {k.load(acc, i), half, half}, DType::f32));
  }));
  body.push_back(make_loop(Stmt::Loop::serial, step, std::move(inner)));
  body.push_back(chains([&](const Index &i) { return make_store(y, Index(thread) * width + i, k.load(acc, i)); }));
  k.body.push_back(make_loop(Stmt::Loop::parallel, thread, std::move(body)));

  Program p;
  p.name = "peak";
  p.inputs = {{"x", {DType::f32, {width}}, Layout::row_major({width}), false, {}}};
  p.outputs = {{"y", {DType::f32, {width * threads}}, Layout::row_major({width * threads}), false, {}}};
  p.slots = {{ProgramSlot::Kind::input, 0, 0, width * 4}, {ProgramSlot::Kind::output, 0, 0, width * threads * 4}};
  p.kernels.push_back(std::move(k));
  p.calls = {{0, "peak", {0, 1}, 1, 0}};
  return p;
}

double measure_peak(const CompileOptions &options, int threads) {
  Target target = make_target(options.target);
  Session session(Executable::compile(peak_program(target, threads), target, 1), threads);
  const ProgramTensor &x = session.executable().inputs()[0], &y = session.executable().outputs()[0];
  std::vector<Tensor> in{Tensor(x.type.dtype, dims_of(x.type.shape))}, out{Tensor(y.type.dtype, dims_of(y.type.shape))};
  for (int64_t i = 0; i < in[0].size(); ++i) in[0].set(i, double(i)); // equal chains could become one
  using Clock = std::chrono::steady_clock;
  double best = 1e300;
  for (auto start = Clock::now(); Clock::now() - start < std::chrono::milliseconds(100);) {
    auto before = Clock::now();
    session.run_into(in, out);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return 2.0 * double(y.type.size()) * double(kSteps) / best;
}

Tensor random_input(const Executable &e, size_t input, uint64_t seed) {
  const Type &type = e.inputs()[input].type;
  Random random(seed, input);
  Tensor t(type.dtype, dims_of(type.shape));
  int64_t low = 0, high = 2;
  for (uint32_t i = 0; i < e.program().index_check_count; ++i)
    if (const trellis_index_check &c = e.program().index_checks[i]; size_t(c.input) == input)
      low = std::max(low, c.low), high = c.high;
  uint32_t range = uint32_t(std::clamp<int64_t>(high - low, 1, UINT32_MAX));
  for (int64_t i = 0; i < t.size(); ++i)
    if (is_float(type.dtype))
      t.set(i, random.uniform(-1, 1));
    else
      t.set_int(i, low + random.below(range));
  return t;
}

int64_t plan_bytes(const trellis_program &p) {
  int64_t bytes = p.arena_bytes;
  for (uint32_t i = 0; i < p.state_count; ++i) bytes += p.states[i].bytes;
  for (uint32_t i = 0; i < p.constant_count; ++i) bytes += p.constants[i].bytes;
  return bytes;
}

} // namespace trellis

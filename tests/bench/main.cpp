// bench_kernels [--threads=N] [Google Benchmark's options]
#include "compiler/frontend/state.h"
#include "compiler/measure.h"
#include "ir/parse.h"
#include "tests/bench/kernels.h"
#include <benchmark/benchmark.h>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>

using namespace trellis;

namespace {

// The most memory that the process had since the last reset: 5 in clear_refs resets it (proc(5)).
void reset_peak_bytes() { std::ofstream("/proc/self/clear_refs") << 5; }
double peak_bytes() {
  std::ifstream status("/proc/self/status");
  double kib = 0;
  for (std::string word; status >> word;)
    if (word == "VmHWM:") status >> kib;
  return kib * 1024;
}

// What a run cannot but read or write.
double touched_bytes(const Executable &e) {
  double bytes = 0;
  for (const auto *tensors : {&e.inputs(), &e.outputs(), &e.states()})
    for (const ProgramTensor &t : *tensors) bytes += double(t.type.size()) * size_of(t.type.dtype);
  return bytes;
}

void run(benchmark::State &state, const bench::KernelBench &b, int threads, double peak) {
  reset_peak_bytes();
  auto g = parse(b.text, b.name);
  CompileOptions options;
  options.threads = threads;
  Session session(compile(*g, options), threads);
  set_states(session, initial_state(*g, 0));
  const Executable &e = session.executable();
  std::vector<Tensor> in, out;
  for (size_t i = 0; i < e.inputs().size(); ++i) in.push_back(random_input(e, i, 0));
  for (const ProgramTensor &t : e.outputs()) out.emplace_back(t.type.dtype, dims_of(t.type.shape));
  auto start = std::chrono::steady_clock::now();
  for (auto _ : state) session.run_into(in, out);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  using benchmark::Counter;
  double flops = 0;
  for (const ProgramCall &c : e.calls()) flops += c.flops;
  if (flops > 0) {
    state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate);
    state.counters["of_peak"] = flops * double(state.iterations()) / seconds / peak;
  } else {
    state.counters["B/s"] = Counter(touched_bytes(e), Counter::kIsIterationInvariantRate);
  }
  state.counters["plan_bytes"] = double(plan_bytes(e.program()));
  state.counters["peak_bytes"] = peak_bytes();
}

// Takes --threads=N out of the arguments; 0 where N is no number of threads.
int threads_of(int &argc, char **argv) {
  int threads = 1, kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) != 0) {
      argv[kept++] = argv[i];
      continue;
    }
    const char *end = argv[i] + std::strlen(argv[i]);
    auto [stop, error] = std::from_chars(argv[i] + 10, end, threads);
    if (error != std::errc() || stop != end || threads < 1 || threads > TRELLIS_MAX_THREADS) return 0;
  }
  argc = kept;
  argv[argc] = nullptr;
  return threads;
}

} // namespace

int main(int argc, char **argv) {
  int threads = threads_of(argc, argv);
  if (threads == 0) {
    std::fprintf(stderr, "--threads: expected 1 to %d\n", TRELLIS_MAX_THREADS);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  double peak = 0;
  try {
    peak = measure_peak({}, threads);
  } catch (const CompileError &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  benchmark::AddCustomContext("threads", std::to_string(threads));
  benchmark::AddCustomContext("FMA peak, GFLOP/s", std::to_string(peak * 1e-9));
  auto kernels = bench::contractions();
  for (bench::KernelBench &b : bench::others()) kernels.push_back(std::move(b));
  for (const bench::KernelBench &b : kernels)
    benchmark::RegisterBenchmark(b.name.c_str(),
                                 [b, threads, peak](benchmark::State &state) {
                                   try {
                                     run(state, b, threads, peak);
                                   } catch (const CompileError &e) { state.SkipWithError(e.what()); }
                                 })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}

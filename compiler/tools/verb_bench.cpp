// trellis bench: times a model's program, or one step of its training.
#include "compiler/data/npy.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/training_programs.h"
#include "compiler/measure.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/program_args.h"
#include "compiler/tools/tensor_args.h"
#include "compiler/tools/verbs.h"
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fmt/format.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

namespace trellis {

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// When the process began: what the loader did before main shows as processor time.
const Clock::time_point kProcessStart = [] {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return Clock::now() - std::chrono::seconds(used.tv_sec) - std::chrono::nanoseconds(used.tv_nsec);
}();

constexpr int kWarmUps = 3, kLeastCalls = 7, kLossesShown = 5;

struct BenchOptions {
  ModelOptions model;
  TensorArgs tensors;
  CodeArgs code;
  WeightArgs weights;
  ProgramArgs program;
  std::string target;
  double seconds = 2.5;
  bool json = false, profile = false;
};

struct Measured {
  double compile_s = 0;
  std::vector<double> ms; ///< rising
  std::vector<double> losses;
  int64_t plan_bytes = 0, peak_bytes = 0;
  double flops = 0;
  double least() const { return ms.front(); }
  double median() const { return ms[ms.size() / 2]; }
};

std::vector<Tensor> input_buffers(const Executable &e, std::map<std::string, Tensor> given) {
  std::vector<Tensor> out;
  for (size_t i = 0; i < e.inputs().size(); ++i) {
    auto it = given.find(e.inputs()[i].name);
    out.push_back(it == given.end() ? random_input(e, i, 0) : it->second);
    if (it != given.end()) given.erase(it);
  }
  for (const auto &[name, t] : given)
    throw CompileError(fmt::format("--input {}: {} has no input of this name", name, e.name()));
  return out;
}

Measured measure(Session &s, const std::vector<Tensor> &inputs, bool train, double seconds) {
  const Executable &e = s.executable();
  std::vector<Tensor> outputs;
  for (const ProgramTensor &t : e.outputs()) outputs.emplace_back(t.type.dtype, dims_of(t.type.shape));
  Measured m;
  auto call = [&] {
    s.run_into(inputs, outputs);
    if (train && m.losses.size() < kLossesShown) m.losses.push_back(told(outputs[0].get(0))); // "loss" is first
  };
  for (int i = 0; i < kWarmUps; ++i) {
    call();
    if (i == 0) m.compile_s = since(kProcessStart);
  }
  for (auto start = Clock::now(); since(start) < seconds || int(m.ms.size()) < kLeastCalls;) {
    auto before = Clock::now();
    call();
    m.ms.push_back(since(before) * 1e3);
  }
  std::sort(m.ms.begin(), m.ms.end());
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  m.peak_bytes = int64_t(usage.ru_maxrss) * 1024;
  m.plan_bytes = plan_bytes(e.program());
  for (const ProgramCall &c : e.calls()) m.flops += c.flops;
  return m;
}

// One line a kernel call, slowest first.
std::string profile_table(Session &s, const std::vector<Tensor> &inputs, double peak) {
  std::vector<Tensor> outputs;
  for (const ProgramTensor &t : s.executable().outputs()) outputs.emplace_back(t.type.dtype, dims_of(t.type.shape));
  trellis_set_profile(s.context(), 1);
  for (auto start = Clock::now(); since(start) < 0.5;) s.run_into(inputs, outputs);
  uint64_t runs = 0;
  const uint64_t *ns = trellis_profile(s.context(), &runs);
  const std::vector<ProgramCall> &calls = s.executable().calls();
  std::vector<size_t> order(calls.size());
  double total = 0;
  for (size_t i = 0; i < calls.size(); ++i) order[i] = i, total += double(ns[i]);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ns[a] > ns[b]; });
  std::string out = fmt::format("{:<24} {:>10} {:>7} {:>9} {:>9}\n", "kernel", "ms", "share", "GFLOP/s", "of peak");
  for (size_t i : order) {
    double ms = double(ns[i]) / double(std::max<uint64_t>(runs, 1)) * 1e-6;
    out += fmt::format("{:<24} {:>10.4f} {:>5.1f} %", calls[i].name, ms, total > 0 ? double(ns[i]) / total * 100 : 0.0);
    double speed = calls[i].flops / ms * 1e-6;
    if (calls[i].flops > 0 && ms > 0) out += fmt::format(" {:>9.1f} {:>7.1f} %", speed, speed * 1e11 / peak);
    out += "\n";
  }
  trellis_set_profile(s.context(), 0);
  return out;
}

std::string report(const Measured &m, double peak, const Executable &e) {
  std::string out =
      fmt::format("time      {:.4f} ms best, {:.4f} ms median of {} calls\n", m.least(), m.median(), m.ms.size());
  if (m.flops > 0) {
    double speed = m.flops / m.least() * 1e3;
    out += fmt::format("speed     {:.1f} GFLOP/s of contractions, {:.1f} % of the FMA peak ({:.1f} GFLOP/s measured)\n",
                       speed * 1e-9, speed / peak * 100, peak * 1e-9);
  }
  out += fmt::format(
      "compile   {:.3f} s from start to the end of the first call; {} kernels, {} calls, {} bytes of code\n",
      m.compile_s, e.stats().kernels, e.stats().calls, e.stats().code_bytes);
  out += fmt::format("memory    {} bytes planned, {} bytes resident at most\n", m.plan_bytes, m.peak_bytes);
  if (!m.losses.empty()) out += fmt::format("losses    {}\n", fmt::join(m.losses, " "));
  return out;
}

void bench(BenchOptions &o) {
  int threads = o.code.threads();
  std::map<std::string, Tensor> given = o.tensors.files();
  Model m = o.model.load(seen_by_import(o.model, o.tensors, given), o.program.reading());
  if (!o.model.is_onnx()) resolve_dims(m.graph, o.model.dims(), o.tensors.types(*m.graph, given));
  o.weights.scale_samples(m.graph);
  o.program.apply(m.graph);
  const Graph &g = *m.graph;
  o.tensors.add_literals(g, given);
  if (!o.target.empty()) {
    Value v = data_inputs(g).target;
    if (!v) throw CompileError(fmt::format("--target {}: @{} has no input of targets", o.target, g.name));
    given[std::string(name_of_input(v))] = read_npy(o.target);
  }
  std::map<std::string, Tensor> data;
  std::vector<NamedTensor> states;
  std::set<std::string> names;
  for (auto &[name, t] : given) {
    Value v = g.find_input(name);
    if (v && role_of(v) != "data")
      states.push_back({name, t}), names.insert(name);
    else
      data.emplace(name, t);
  }
  for (NamedTensor &t : o.weights.values(g, m.weights, names)) states.push_back(std::move(t));

  Session s(compile(g, o.code.options()), threads);
  set_states(s, states);
  std::vector<Tensor> inputs = input_buffers(s.executable(), std::move(data));
  Measured r = measure(s, inputs, o.program.train(), o.seconds);
  if (o.json) {
    nlohmann::ordered_json j{{"compile_s", r.compile_s},   {"cached", false},
                             {"min_ms", r.least()},        {"median_ms", r.median()},
                             {"plan_bytes", r.plan_bytes}, {"peak_bytes", r.peak_bytes}};
    if (o.program.train()) j["losses"] = r.losses;
    write_out(j.dump() + "\n");
  }
  if (o.json && !o.profile) return;
  double peak = measure_peak(o.code.options(), threads);
  std::string out = o.json ? "" : report(r, peak, s.executable());
  if (o.profile) out += profile_table(s, inputs, peak);
  write_out(out);
}

} // namespace

void add_bench(Driver &d) {
  auto o = std::make_shared<BenchOptions>();
  CLI::App *app = d.app.add_subcommand("bench", "Time a model, or one step of its training");
  o->model.declare(*app);
  o->tensors.declare_inputs(*app);
  o->weights.declare(*app);
  o->code.declare_threads(*app);
  o->program.declare(*app);
  app->add_option(
         "--target", o->target,
         "the loss's targets, class numbers or values as its input has them; default: random ones, like all inputs")
      ->type_name("FILE.npy");
  app->add_option("--seconds", o->seconds, "time to measure for, after 3 calls that warm up")
      ->check(CLI::Range(0.0, 1e6))
      ->check(
          [](const std::string &text) {
            return text.find_first_of("nN") == text.npos ? "" : "should be a number of seconds";
          },
          "")
      ->capture_default_str();
  app->add_flag("--json", o->json, "print one JSON object on one line");
  app->add_flag("--profile", o->profile, "also print each kernel's time and speed");
  app->callback([&d, o] { d.chosen = [o] { bench(*o); }; });
}

} // namespace trellis

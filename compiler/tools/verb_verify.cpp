// trellis verify: runs a model's own test data and compares.
#include "compiler/frontend/state.h"
#include "compiler/onnx/test_data.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/verbs.h"
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

namespace trellis {

namespace {

struct VerifyOptions {
  ModelOptions model;
  CodeArgs code;
  std::string data;
  std::optional<double> relative, absolute;
};

struct Comparison {
  double largest = 0; ///< difference; infinite where one of two is not a number
  int64_t wrong = 0;  ///< elements outside the tolerance
};

Comparison compare(const Tensor &got, const Tensor &want, double relative, double absolute) {
  Comparison c;
  for (int64_t i = 0; i < got.size(); ++i) {
    if (!is_float(want.dtype())) {
      if (got.get_int(i) == want.get_int(i)) continue;
      double d = std::max(std::fabs(got.get(i) - want.get(i)), 1.0); // beyond 2^53 neighbours are one double
      c.largest = std::max(c.largest, d), c.wrong += d > absolute + relative * std::fabs(want.get(i));
      continue;
    }
    double a = got.get(i), b = want.get(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    double d = std::isnan(a) || std::isnan(b) ? INFINITY : std::fabs(a - b);
    c.largest = std::max(c.largest, d);
    c.wrong += !(d <= absolute + relative * std::fabs(b)) || std::isinf(d);
  }
  return c;
}

// One line an output; false where they differ.
bool report(const onnx::TestData &data, const std::vector<NamedTensor> &results, const VerifyOptions &o) {
  bool good = true;
  std::string out;
  for (const NamedTensor &want : data.outputs) {
    out += fmt::format("{}: {} : ", std::filesystem::path(data.folder).filename().string(), want.name);
    const Tensor *got = find(results, want.name);
    if (!got || got->type() != want.tensor.type()) {
      out += fmt::format("{}, but {} is expected: MISMATCH\n", got ? got->type().str() : "no output",
                         want.tensor.type().str());
      good = false;
      continue;
    }
    bool half = want.tensor.dtype() == DType::f16 || want.tensor.dtype() == DType::bf16,
         whole = !is_float(want.tensor.dtype());
    Comparison c = compare(*got, want.tensor,
                           o.relative.value_or(whole  ? 0
                                               : half ? 2e-2
                                                      : 1e-3),
                           o.absolute.value_or(whole  ? 0
                                               : half ? 1e-3
                                                      : 1e-5));
    out += fmt::format("{}, largest difference {:.3g}", got->type().str(), c.largest);
    out +=
        c.wrong ? fmt::format(", {} of {} elements outside the tolerance: MISMATCH\n", c.wrong, got->size()) : ": ok\n";
    good &= c.wrong == 0;
  }
  write_out(out);
  return good;
}

void verify_model(const VerifyOptions &o) {
  int threads = o.code.threads();
  if (!o.model.is_onnx())
    throw CompileError(fmt::format("{}: only ONNX files have test data beside them", o.model.path()));
  onnx::File file = onnx::read_file(o.model.path());
  std::string where = o.data.empty() ? file.folder : o.data;
  std::vector<std::string> sets = onnx::find_test_data(where);
  if (sets.empty())
    throw CompileError(file_location(where.empty() ? "." : where), "holds no test_data_set_* and no output_*.pb");
  int wrong = 0;
  for (const std::string &folder : sets) {
    onnx::TestData data = onnx::read_test_data(file, folder);
    std::map<std::string, Tensor> given;
    for (const NamedTensor &t : data.inputs) given.emplace(t.name, t.tensor);
    Model m = o.model.load(given);
    Session s(compile(*m.graph, o.code.options()), threads);
    set_states(s, m.weights);
    std::vector<NamedTensor> inputs;
    for (const NamedTensor &t : data.inputs)
      if (trellis_input_find(&s.executable().program(), t.name.c_str()) >= 0) inputs.push_back(t);
    std::vector<NamedTensor> results = s.run(std::span<const NamedTensor>(inputs));
    cut_to_counts(results, m.counted);
    wrong += !report(data, results, o);
  }
  if (wrong) throw CompileError(file.at(), fmt::format("{} of {} data sets give other results", wrong, sets.size()));
}

} // namespace

void add_verify(Driver &d) {
  auto o = std::make_shared<VerifyOptions>();
  CLI::App *app = d.app.add_subcommand("verify", "Run an ONNX model's own test data and compare");
  o->model.declare(*app);
  app->add_option("--data", o->data,
                  "where test_data_set_* lie, or one folder with input_*.pb and output_*.pb; default: beside the model")
      ->type_name("DIR");
  app->add_option("--rtol", o->relative,
                  "tolerance as a part of the expected value (default: 1e-3; half floats: 2e-2; integers: 0)")
      ->type_name("NUMBER")
      ->check(CLI::NonNegativeNumber.description(""));
  app->add_option("--atol", o->absolute, "tolerance added to that (default: 1e-5; half floats: 1e-3; integers: 0)")
      ->type_name("NUMBER")
      ->check(CLI::NonNegativeNumber.description(""));
  o->code.declare(*app);
  app->callback([&d, o] { d.chosen = [o] { verify_model(*o); }; });
}

} // namespace trellis

#include "compiler/tools/training_data.h"
#include "compiler/data/csv.h"
#include "compiler/data/digits.h"
#include "ir/diag.h"
#include <filesystem>
#include <fmt/format.h>

namespace trellis {

static constexpr int64_t kTrainDigits = 10000, kTestDigits = 2000;
static constexpr double kTestPart = 0.2;

static TrainingData load_table(const DataOptions &o) {
  CsvOptions csv;
  csv.target = o.classes ? CsvOptions::Target::classes : CsvOptions::Target::values;
  csv.label = o.label, csv.dtype = o.dtype;
  Dataset all = read_csv(o.from, csv);
  TrainingData out;
  std::tie(out.train, out.test) = split(all, kTestPart, o.seed);
  out.scaling = o.scaling ? *o.scaling : fit_scaling(out.train.inputs);
  if (int64_t(out.scaling->mean.size()) != out.train.inputs.dims()[1])
    throw CompileError(fmt::format("{}: has {} columns of inputs, but the model was trained on {}", o.from,
                                   out.train.inputs.dims()[1], out.scaling->mean.size()));
  apply_scaling(*out.scaling, out.train.inputs);
  apply_scaling(*out.scaling, out.test.inputs);
  return out;
}

TrainingData load_data(const DataOptions &o) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!o.label.empty() && (o.from == "digits" || fs::is_directory(o.from, ignored)))
    throw CompileError(
        fmt::format("--label {}: only tables have columns, and --data {} is none", o.label, o.from));
  if (o.from == "digits") return {{make_digits(kTrainDigits, 0), make_digits(kTestDigits, 1)}, {}};
  if (fs::is_directory(o.from, ignored)) return {load_mnist(o.from), {}};
  if (!fs::exists(o.from, ignored))
    throw CompileError(fmt::format("--data {}: there is no such file or folder; give a folder with MNIST's "
                                   "four files, a CSV file, or digits",
                                   o.from));
  return load_table(o);
}

} // namespace trellis

#include "compiler/tools/training_data.h"
#include "compiler/data/csv.h"
#include "compiler/data/digits.h"
#include "compiler/data/input.h"
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
  if (all.size() < 2) throw CompileError(file_location(o.from), "holds one sample: training and testing need one each");
  if (!o.class_names.empty() && all.class_names != o.class_names)
    throw CompileError(file_location(o.from),
                       fmt::format("has the classes {}, but the model was trained on {}",
                                   fmt::join(all.class_names, ", "), fmt::join(o.class_names, ", ")));
  TrainingData out;
  std::tie(out.train, out.test) = split(all, kTestPart, o.seed);
  out.table = true;
  return out;
}

void scale_columns(TrainingData &data, std::optional<Scaling> &scaling, bool fit) {
  if (!data.table || !is_float(data.train.inputs.dtype())) scaling.reset(), fit = false;
  if (!scaling && !fit) return;
  if (!scaling) scaling = fit_scaling(data.train.inputs);
  if (int64_t(scaling->mean.size()) != data.train.inputs.dims()[1])
    throw CompileError(data.train.where, fmt::format("has {} columns of inputs, but the model was trained on {}",
                                                     data.train.inputs.dims()[1], scaling->mean.size()));
  apply_scaling(*scaling, data.train.inputs);
  apply_scaling(*scaling, data.test.inputs);
}

TrainingData load_data(const DataOptions &o) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!o.label.empty() && (o.from == "digits" || fs::is_directory(o.from, ignored)))
    throw CompileError(fmt::format("--label {}: only tables have columns, and --data {} is none", o.label, o.from));
  if (o.from == "digits") return {{make_digits(kTrainDigits, 0), make_digits(kTestDigits, 1)}};
  if (fs::is_directory(o.from, ignored)) return {load_mnist(o.from)};
  if (!fs::exists(o.from, ignored))
    throw CompileError(fmt::format("--data {}: there is no such file or folder; give a folder with MNIST's "
                                   "four files, a CSV file, or digits",
                                   o.from));
  return load_table(o);
}

void require_known_classes(const Dataset &d, const Graph &g, Value target, const std::string &from) {
  if (!d.classes) return;
  for (const Node *n : g.reachable()) {
    if (n->op != Op::cross_entropy || !n->operands[1].is(target)) continue;
    int64_t known = n->operands[0].shape().back().value();
    int64_t ignored = n->attrs.get_or<int64_t>(Attr::label, -1);
    for (int64_t i = 0; i < d.targets.size(); ++i) {
      auto c = int64_t(d.targets.get(i));
      if (c < known || c == ignored) continue;
      std::string name = c < int64_t(d.class_names.size()) ? d.class_names[size_t(c)] : std::to_string(c);
      throw CompileError(n->loc, fmt::format("the model tells {} classes apart, but --data {} has {}, such as {}",
                                             known, from, d.classes, quote_name(name)));
    }
  }
}

} // namespace trellis

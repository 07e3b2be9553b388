#include "compiler/frontend/scaling.h"
#include "compiler/data/input.h"
#include "compiler/frontend/spec.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/training_programs.h"
#include "ir/build.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

static constexpr const char *kMean = "scaling.mean", *kDeviation = "scaling.deviation";

static std::vector<double> numbers(const SafeTensors &file, const std::string &path, const char *key) {
  std::vector<double> out;
  const std::string *all = file.find_metadata(key);
  if (!all) throw CompileError(file_location(path), fmt::format("has no metadata {}", key));
  for (size_t from = 0; from < all->size();) {
    size_t to = std::min(all->find(' ', from), all->size());
    double x = 0;
    if (!parse_number(std::string_view(*all).substr(from, to - from), x))
      throw CompileError(file_location(path),
                         fmt::format("metadata {} {} is not a list of numbers", key, quote_name(*all)));
    out.push_back(x);
    from = to + 1;
  }
  return out;
}

std::optional<Scaling> scaling_of(const SafeTensors &file, const std::string &path) {
  if (!file.find_metadata(kMean) && !file.find_metadata(kDeviation)) return std::nullopt;
  Scaling out{numbers(file, path, kMean), numbers(file, path, kDeviation)};
  if (out.mean.size() != out.deviation.size())
    throw CompileError(file_location(path),
                       fmt::format("metadata {} and {} have different lengths", kMean, kDeviation));
  return out;
}

void note_scaling(SafeTensors &file, const Scaling &scaling) {
  file.metadata.emplace_back(kMean, fmt::format("{}", fmt::join(scaling.mean, " ")));
  file.metadata.emplace_back(kDeviation, fmt::format("{}", fmt::join(scaling.deviation, " ")));
}

void require_columns(const Graph &g, const Scaling &scaling, const std::string &source) {
  Value x = data_inputs(g).sample;
  int64_t columns = 1;
  bool open = false;
  for (size_t i = 1; i < x.shape().size(); ++i)
    x.shape()[i].is_static() ? void(columns *= x.shape()[i].value()) : void(open = true);
  if (x.rank() == 0 || !is_float(x.dtype()) || (!open && columns != int64_t(scaling.mean.size())))
    throw CompileError(x.node->loc, fmt::format("input '{}' is {}, but {} was trained on {} columns of numbers",
                                                name_of_input(x), x.type().str(), source, scaling.mean.size()));
}

// Each number once for its place in a row, whatever shape rows have.
static Value row_of(Graph &into, const std::vector<double> &numbers, const Shape &samples) {
  std::vector<int64_t> dims{1};
  for (size_t i = 1; i < samples.size(); ++i) dims.push_back(samples[i].value());
  Tensor t(DType::f64, std::move(dims));
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, numbers[size_t(i)]);
  return into.constant(std::move(t));
}

std::unique_ptr<Graph> scale_samples(const Graph &g, const Scaling &scaling, const std::string &source) {
  require_columns(g, scaling, source);
  Value x = data_inputs(g).sample;
  return copy_graph(g, [&](Graph &into, Value v) {
    Value same = same_input(into, v);
    if (!v.is(x)) return same;
    Value mean = row_of(into, scaling.mean, v.shape()), deviation = row_of(into, scaling.deviation, v.shape());
    // As apply_scaling does it: in f64, rounded once.
    return cast((cast(same, DType::f64) - mean) / deviation, v.dtype());
  });
}

Binder scale_samples(Binder model, Scaling scaling, std::string source) {
  return [model = std::move(model), scaling = std::move(scaling), source = std::move(source)](
             const Bindings &dims, Reading reading) { return scale_samples(*model(dims, reading), scaling, source); };
}

} // namespace trellis

// Models and their options.
#include "compiler/api/handle.h"
#include "compiler/data/input.h"
#include "compiler/frontend/carry.h"
#include "compiler/frontend/losses.h"
#include "compiler/frontend/state.h"
#include <algorithm>
#include <cstring>
#include <fmt/format.h>

using namespace trellis;
using namespace trellis::api;

namespace trellis::api {

void List::add(std::string_view name, const std::optional<Type> &given) {
  std::vector<int64_t> &d = dims.emplace_back();
  std::vector<const char *> &s = symbols.emplace_back();
  if (!given) {
    infos.push_back({texts.emplace_back(name).c_str(), -1, -1, nullptr, nullptr, ""});
    return;
  }
  const Type &type = *given;
  for (Dim dim : type.shape) {
    d.push_back(dim.is_static() ? dim.value() : -1);
    s.push_back(dim.is_static() ? nullptr : texts.emplace_back(dim.str()).c_str());
  }
  const char *label = texts.emplace_back(name).c_str(), *text = texts.emplace_back(type.str()).c_str();
  infos.push_back({label, int32_t(type.dtype), type.rank(), d.data(), s.data(), text});
}

void tell(const std::string &text, char *error, size_t error_bytes) noexcept {
  if (!error || error_bytes == 0) return;
  size_t n = std::min(text.size(), error_bytes - 1);
  std::memcpy(error, text.data(), n);
  error[n] = 0;
}

Type checked_type(const trellis_tensor &t, const std::string &what) {
  if (t.dtype < 0 || t.dtype >= kDTypeCount)
    throw Refused{TRELLIS_BAD_DTYPE, fmt::format("{}: there is no dtype {}", what, t.dtype)};
  if (t.rank < 0 || t.rank > 64)
    throw Refused{TRELLIS_BAD_RANK, fmt::format("{}: a rank of {} is out of range", what, t.rank)};
  if (t.rank > 0 && !t.dims) throw Refused{TRELLIS_BAD_POINTER, what + ": dims is null"};
  std::span<const int64_t> dims(t.dims, size_t(t.rank));
  if (!checked_bytes(DType(t.dtype), dims))
    throw Refused{TRELLIS_BAD_DIMS, fmt::format("{}: dims of {} are out of range", what, dims_text(dims))};
  return {DType(t.dtype), Shape(dims.begin(), dims.end())};
}

static Programs::Options first_options() {
  Programs::Options o;
  o.training.optimiser = parse_optimiser("sgd:lr=0.01");
  return o;
}

} // namespace trellis::api

trellis_model::trellis_model(Model m) : model(std::move(m)), programs(model.binder(), first_options()) {
  describe();
  if (!model.weights.empty()) programs.set_state(model.weights);
}

void trellis_model::describe() {
  const Graph &g = *model.graph;
  for (List &l : lists) l = {};
  for (Value v : g.inputs()) {
    std::string_view role = role_of(v);
    lists[role == "data"    ? TRELLIS_INPUTS
          : role == "param" ? TRELLIS_PARAMS
                            : TRELLIS_STATES]
        .add(name_of_input(v), v.type());
  }
  for (const NamedValue &o : g.outputs) lists[TRELLIS_OUTPUTS].add(o.name, o.value.type());
  for (const auto &[name, type] : model.outputs) lists[TRELLIS_OUTPUTS].add(name, type);
  symbols = trellis::symbols(g);
  text = text_of(model);
}

void trellis_model::set_options(Programs::Options options) {
  scratch.clear();
  programs.set_options(std::move(options));
}

void trellis_model::restart(std::vector<NamedTensor> values) {
  scratch.clear();
  Binder binder = model.binder();
  if (scaling) binder = scale_samples(std::move(binder), *scaling, scaled_by);
  programs = Programs(std::move(binder), programs.options());
  programs.set_state(std::move(values));
}

void trellis_model::begin_values() {
  const std::vector<NamedTensor> &have = programs.state();
  const Graph *g = model.graph.get();
  std::unique_ptr<Graph> bound;
  for (Value v : g->inputs())
    if (role_of(v) != "data" && !is_static(v.type().shape) && !find(have, name_of_input(v))) {
      bound = bind_dims(*g, dims);
      g = bound.get();
      break;
    }
  std::vector<NamedTensor> begin = initial_state(*g, programs.options().seed, have);
  if (!begin.empty()) programs.merge_state(std::move(begin));
}

int trellis_compiler_api_version(void) { return TRELLIS_COMPILER_API_MAJOR * 1000 + TRELLIS_COMPILER_API_MINOR; }

trellis_status trellis_model_load(const char *path, trellis_model **model, char *error, size_t error_bytes) {
  return create(model, error, error_bytes, [&] {
    require(path, "the path");
    try {
      InputFile readable(path);
    } catch (const CompileError &e) { throw Refused{TRELLIS_BAD_FILE, e.what()}; }
    return open_model(path);
  });
}

trellis_status trellis_model_parse(const char *text, const char *name, trellis_model **model, char *error,
                                   size_t error_bytes) {
  return create(model, error, error_bytes, [&] {
    require(text, "the text");
    return parse_model(text, name ? name : "<text>", "");
  });
}

void trellis_model_destroy(trellis_model *model) { delete model; }

const char *trellis_model_error(const trellis_model *model) { return model ? model->error.c_str() : ""; }
const char *trellis_model_name(const trellis_model *model) { return model ? model->model.graph->name.c_str() : ""; }
const char *trellis_model_text(const trellis_model *model) { return model ? model->text.c_str() : ""; }

static const List *list_of(const trellis_model *model, trellis_list list) {
  return model && unsigned(list) < std::size(model->lists) ? &model->lists[list] : nullptr;
}

uint32_t trellis_model_count(const trellis_model *model, trellis_list list) {
  const List *l = list_of(model, list);
  return l ? uint32_t(l->infos.size()) : 0;
}

const trellis_value_info *trellis_model_value(const trellis_model *model, trellis_list list, uint32_t index) {
  const List *l = list_of(model, list);
  return l && index < l->infos.size() ? &l->infos[index] : nullptr;
}

const char *trellis_model_dim(const trellis_model *model, uint32_t index) {
  return model && index < model->symbols.size() ? model->symbols[index].c_str() : nullptr;
}

trellis_status trellis_model_bind_dim(trellis_model *model, const char *dim, int64_t number) {
  return call(model, TRELLIS_BAD_DIMS, [&] {
    require(dim, "the dim's name");
    if (std::find(model->symbols.begin(), model->symbols.end(), dim) == model->symbols.end())
      throw Refused{TRELLIS_BAD_NAME, fmt::format("@{} has no dim '{}'", model->model.graph->name, dim)};
    if (number < -1 || number > int64_t(1) << 31)
      throw Refused{TRELLIS_BAD_DIMS, fmt::format("dim '{}': {} is out of range", dim, number)};
    if (number == -1)
      model->dims.erase(dim);
    else
      model->dims[dim] = number;
  });
}

trellis_status trellis_model_set_threads(trellis_model *model, int threads) {
  return call(model, TRELLIS_BAD_THREADS, [&] {
    if (threads < 1 || threads > TRELLIS_MAX_THREADS)
      throw Refused{TRELLIS_BAD_THREADS, fmt::format("{} threads: expected 1 to {}", threads, TRELLIS_MAX_THREADS)};
    Programs::Options o = model->programs.options();
    o.threads = o.compile.threads = threads;
    model->set_options(std::move(o));
  });
}

trellis_status trellis_model_set_target(trellis_model *model, const char *target) {
  return call(model, TRELLIS_BAD_OPTION, [&] {
    require(target, "the target");
    make_target(target);
    Programs::Options o = model->programs.options();
    o.compile.target = target;
    model->set_options(std::move(o));
  });
}

trellis_status trellis_model_set_seed(trellis_model *model, uint64_t seed) {
  return call(model, TRELLIS_BAD_OPTION, [&] {
    Programs::Options o = model->programs.options();
    o.seed = seed;
    model->set_options(std::move(o));
  });
}

trellis_status trellis_model_carry(trellis_model *model, const char *output, const char *input) {
  return call(model, TRELLIS_BAD_MODEL, [&] {
    require(output, "the output's name");
    require(input, "the input's name");
    if (model->training) throw Refused{TRELLIS_BAD_OPTION, "a model that is set to be trained carries nothing"};
    std::vector<NamedTensor> values = model->programs.state();
    carry(model->model, {{output, input}});
    model->restart(std::move(values));
    model->describe();
  });
}

trellis_status trellis_model_set_training(trellis_model *model, const char *optimizer, const char *loss) {
  return call(model, TRELLIS_BAD_OPTION, [&] {
    require(optimizer, "the optimiser");
    Programs::Options o = model->programs.options();
    o.training.optimiser = parse_optimiser(optimizer);
    o.training.loss = loss ? loss : "";
    if (!o.training.loss.empty()) {
      const std::vector<std::string_view> &known = loss_names();
      if (std::find(known.begin(), known.end(), o.training.loss) == known.end())
        throw Refused{TRELLIS_BAD_OPTION, fmt::format("loss '{}': give {}", o.training.loss, fmt::join(known, ", "))};
    }
    model->set_options(std::move(o));
    model->training = true;
    model->optimiser = optimizer;
  });
}

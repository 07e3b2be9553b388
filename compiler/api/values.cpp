// Values of parameters and state, and what is written ahead of time.
#include "compiler/aot.h"
#include "compiler/api/handle.h"
#include "compiler/frontend/state.h"
#include <cstring>
#include <fmt/format.h>

using namespace trellis;
using namespace trellis::api;

namespace {

// The prefix of the names of the optimiser's state, as in checkpoints: "adam.".
std::string optimiser_prefix(const trellis_model &m) {
  return std::string(name(m.programs.options().training.optimiser.kind)) + ".";
}

// Whether a value belongs to the model or to the optimiser that is set.
bool is_current(const trellis_model &m, const std::string &name) {
  return m.model.graph->find_input(name) || (m.training && name.starts_with(optimiser_prefix(m)));
}

const Tensor &value_of(trellis_model &m, const char *name) {
  m.begin_values();
  const Tensor *t = find(m.programs.state(), name);
  if (!t) throw Refused{TRELLIS_BAD_NAME, fmt::format("@{} has no parameter or state '{}'", m.model.graph->name, name)};
  return *t;
}

// The values that `g` has inputs for.
std::vector<NamedTensor> values_for(const Graph &g, const std::vector<NamedTensor> &all) {
  std::vector<NamedTensor> own;
  for (const NamedTensor &t : all)
    if (g.find_input(t.name)) own.push_back(t);
  return match_state(g, own, "the model's values");
}

void check_fits(const trellis_tensor *t, const Tensor &value, const char *name) {
  require(t, "the tensor");
  std::string what = fmt::format("'{}'", name);
  Type given = checked_type(*t, what), own = value.type();
  if (given != own)
    throw Refused{given.dtype != own.dtype     ? TRELLIS_BAD_DTYPE
                  : given.rank() != own.rank() ? TRELLIS_BAD_RANK
                                               : TRELLIS_BAD_DIMS,
                  fmt::format("{} should be {}, but is {}", what, own.str(), given.str())};
  if ((!t->data && value.size() > 0) || reinterpret_cast<uintptr_t>(t->data) % size_t(size_of(own.dtype)))
    throw Refused{TRELLIS_BAD_POINTER, fmt::format("{}: data is null or not aligned", what)};
}

} // namespace

trellis_status trellis_model_get(trellis_model *model, const char *name, const trellis_tensor *to) {
  return call(model, TRELLIS_BAD_MODEL, [&] {
    require(name, "the name");
    const Tensor &value = value_of(*model, name);
    check_fits(to, value, name);
    if (value.bytes() > 0) std::memcpy(to->data, value.data(), size_t(value.bytes()));
  });
}

trellis_status trellis_model_set(trellis_model *model, const char *name, const trellis_tensor *from) {
  return call(model, TRELLIS_BAD_MODEL, [&] {
    require(name, "the name");
    Tensor value;
    // A parameter without `init` has no value to begin with, but a type.
    if (Value v = model->model.graph->find_input(name); v && role_of(v) != "data" && is_static(v.type().shape))
      value = Tensor(v.dtype(), dims_of(v.shape()));
    else
      value = value_of(*model, name).clone();
    check_fits(from, value, name);
    if (value.bytes() > 0) std::memcpy(value.data(), from->data, size_t(value.bytes()));
    model->programs.merge_state({{name, std::move(value)}});
  });
}

trellis_status trellis_model_save_weights(trellis_model *model, const char *path) {
  return call(model, TRELLIS_BAD_FILE, [&] {
    require(path, "the path");
    try {
      model->begin_values();
    } catch (const CompileError &e) { throw Refused{TRELLIS_BAD_MODEL, e.what()}; }
    SafeTensors file;
    for (const NamedTensor &t : model->programs.state())
      if (is_current(*model, t.name)) file.tensors.push_back(t);
    file.metadata = {{"model", model->model.graph->name}};
    if (model->scaling) note_scaling(file, *model->scaling);
    if (model->training) {
      file.metadata.emplace_back("optimizer", model->optimiser);
      file.metadata.emplace_back("loss", model->programs.options().training.loss);
    }
    write_safetensors(path, file);
  });
}

trellis_status trellis_model_load_weights(trellis_model *model, const char *path) {
  return call(model, TRELLIS_BAD_FILE, [&] {
    require(path, "the path");
    SafeTensors file = read_safetensors(path);
    for (const NamedTensor &own : model->model.weights) // constants among an ONNX file's weights that no program has
      if (!find(file.tensors, own.name)) file.tensors.push_back(own);
    weights_for(*model->model.graph, file, path); // refuses what is another model's
    std::optional<Scaling> scaling = scaling_of(file, path);
    if (scaling) require_columns(*model->model.graph, *scaling, path);
    model->scaling = std::move(scaling), model->scaled_by = path;
    // Programs that are compiled again give what the file has not, such as optimiser state, its beginning.
    model->restart(std::move(file.tensors));
  });
}

trellis_status trellis_model_export(trellis_model *model, trellis_form form, trellis_export kind, const char *path) {
  return call(model, TRELLIS_BAD_FILE, [&] {
    require(path, "the path");
    if (unsigned(kind) > TRELLIS_EXPORT_HEADER)
      throw Refused{TRELLIS_BAD_OPTION, fmt::format("there is no kind of export {}", int(kind))};
    const Programs::Options &o = model->programs.options();
    Target target = make_target(o.compile.target);
    if (kind == TRELLIS_EXPORT_LIBRARY && !is_this_architecture(target))
      throw Refused{TRELLIS_BAD_OPTION,
                    fmt::format("a library for '{}' cannot be linked here: export an object", target.name)};
    Program p;
    std::vector<NamedTensor> state;
    ProgramForm f = checked_form(*model, form);
    for (const std::string &s : model->symbols)
      if (!model->dims.count(s))
        throw Refused{TRELLIS_BAD_DIMS, fmt::format("dim '{}' has no number: bind it first", s)};
    try {
      std::unique_ptr<Graph> g = model->programs.graph(f, model->dims);
      std::vector<NamedTensor> begin = initial_state(*g, o.seed, model->programs.state());
      if (!begin.empty()) model->programs.merge_state(std::move(begin));
      state = values_for(*g, model->programs.state());
      p = lower_program(*g, o.compile);
    } catch (const CompileError &e) { throw Refused{TRELLIS_BAD_MODEL, e.what()}; }
    AotOptions aot{o.compile.threads, state};
    if (kind == TRELLIS_EXPORT_HEADER) return write_c_header(path, p, target, aot);
    (kind == TRELLIS_EXPORT_OBJECT ? write_object : write_shared_library)(path, p, target, aot);
  });
}

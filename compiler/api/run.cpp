// Compiling and running.
#include "compiler/api/handle.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/trainer.h"
#include <cmath>
#include <fmt/format.h>

using namespace trellis;
using namespace trellis::api;

ProgramForm trellis::api::checked_form(const trellis_model &m, trellis_form form) {
  if (unsigned(form) > TRELLIS_FORM_EVALUATION)
    throw Refused{TRELLIS_BAD_OPTION, fmt::format("there is no form {}", int(form))};
  if (form == TRELLIS_FORM_TRAINING && !m.training)
    throw Refused{TRELLIS_BAD_OPTION, "training needs an optimiser: call trellis_model_set_training first"};
  static constexpr ProgramForm kAll[] = {ProgramForm::model, ProgramForm::inference, ProgramForm::training,
                                         ProgramForm::evaluation};
  return kAll[form];
}

namespace {

std::span<const trellis_named_tensor> checked(const trellis_named_tensor *tensors, uint32_t count, const char *what) {
  if (count > 0 && !tensors) throw Refused{TRELLIS_BAD_POINTER, fmt::format("{} are null", what)};
  for (uint32_t i = 0; i < count; ++i)
    if (!tensors[i].name) throw Refused{TRELLIS_BAD_POINTER, fmt::format("{} [{}]: the name is null", what, i)};
  return {tensors, count};
}

// The bound dims, and what the inputs' shapes say of the others.
Bindings bindings(const trellis_model &m, std::span<const trellis_named_tensor> inputs) {
  const Graph &g = *m.model.graph;
  std::map<std::string, Type> types;
  for (const trellis_named_tensor &t : inputs) {
    std::string what = fmt::format("input '{}'", t.name);
    Type given = checked_type(t.tensor, what);
    Value v = g.find_input(t.name);
    if (!v || role_of(v) != "data") continue; // the program knows whether it has such an input
    auto wrong = [&](trellis_status status) {
      throw Refused{status, fmt::format("{} should be {}, but is {}", what, v.type().str(), given.str())};
    };
    if (given.dtype != v.dtype()) wrong(TRELLIS_BAD_DTYPE);
    if (given.rank() != v.rank()) wrong(TRELLIS_BAD_RANK);
    types.emplace(t.name, std::move(given));
  }
  Bindings all = m.dims;
  try {
    for (const auto &[dim, n] : bindings_of(g, types)) {
      auto [it, fresh] = all.emplace(dim, n);
      if (!fresh && it->second != n)
        throw Refused{TRELLIS_BAD_DIMS,
                      fmt::format("dim '{}' is bound to {}, but {} by the inputs", dim, it->second, n)};
    }
  } catch (const CompileError &e) { throw Refused{TRELLIS_BAD_DIMS, e.what()}; }
  for (const std::string &s : m.symbols)
    if (!all.count(s))
      throw Refused{TRELLIS_BAD_DIMS,
                    fmt::format("dim '{}' has no number: bind it, or give the inputs that have it", s)};
  return all;
}

Programs::Program &program_for(trellis_model &m, trellis_form form, std::span<const trellis_named_tensor> inputs) {
  ProgramForm f = checked_form(m, form);
  try {
    require_runs_here(make_target(m.programs.options().compile.target));
  } catch (const CompileError &e) { throw Refused{TRELLIS_BAD_OPTION, e.what()}; }
  return m.programs.get(f, bindings(m, inputs));
}

std::string known_names(const trellis_tensor_info *infos, uint32_t count) {
  std::string out;
  for (uint32_t i = 0; i < count; ++i) out += fmt::format("{}'{}'", i ? ", " : "", infos[i].name);
  return out.empty() ? "there are none" : "known: " + out;
}

// The callers' tensors in the program's order; those that were not given have no dims and no data.
std::vector<trellis_tensor> in_order(std::span<const trellis_named_tensor> given, const trellis_tensor_info *infos,
                                     uint32_t count, const char *what, std::vector<bool> &found) {
  std::vector<trellis_tensor> out(count);
  found.assign(count, false);
  for (const trellis_named_tensor &t : given) {
    uint32_t i = 0;
    while (i < count && std::string_view(infos[i].name) != t.name) ++i;
    if (i == count)
      throw Refused{TRELLIS_BAD_NAME, fmt::format("no {} is called '{}'; {}", what, t.name, known_names(infos, count))};
    if (found[i]) throw Refused{TRELLIS_BAD_NAME, fmt::format("{} '{}' is given twice", what, t.name)};
    found[i] = true;
    out[i] = t.tensor;
  }
  return out;
}

std::vector<Tensor> &scratch_of(trellis_model &m, Programs::Program &p) {
  auto [it, fresh] = m.scratch.try_emplace(&p);
  if (fresh)
    for (const ProgramTensor &t : p.session->executable().outputs())
      it->second.emplace_back(t.type.dtype, dims_of(t.type.shape));
  return it->second;
}

void run(trellis_model &m, Programs::Program &p, std::span<const trellis_named_tensor> inputs,
         std::span<const trellis_named_tensor> outputs) {
  const trellis_program &table = p.session->executable().program();
  std::vector<bool> found;
  std::vector<trellis_tensor> in = in_order(inputs, table.inputs, table.input_count, "input", found);
  for (uint32_t i = 0; i < table.input_count; ++i)
    if (!found[i])
      throw Refused{TRELLIS_BAD_COUNT, fmt::format("input '{}' ({}) is missing", table.inputs[i].name,
                                                   p.session->executable().inputs()[i].type.str())};
  std::vector<trellis_tensor> out = in_order(outputs, table.outputs, table.output_count, "output", found);
  std::vector<Tensor> &spare = scratch_of(m, p);
  for (uint32_t i = 0; i < table.output_count; ++i)
    if (!found[i]) out[i] = {spare[i].data(), table.outputs[i].dtype, table.outputs[i].rank, table.outputs[i].dims};
  m.programs.refresh(p);
  trellis_context *context = p.session->context();
  trellis_status status = trellis_run(context, in.data(), table.input_count, out.data(), table.output_count);
  if (status != TRELLIS_OK) throw Refused{status, trellis_last_error(context)};
  m.programs.ran(p);
}

} // namespace

trellis_status trellis_model_compile(trellis_model *model, trellis_form form, const trellis_named_tensor *inputs,
                                     uint32_t input_count, const trellis_program **program) {
  if (program) *program = nullptr;
  return call(model, TRELLIS_BAD_MODEL, [&] {
    Programs::Program &p = program_for(*model, form, checked(inputs, input_count, "inputs"));
    if (program) *program = &p.session->executable().program();
  });
}

trellis_status trellis_model_run(trellis_model *model, trellis_form form, const trellis_named_tensor *inputs,
                                 uint32_t input_count, const trellis_named_tensor *outputs, uint32_t output_count) {
  return call(model, TRELLIS_BAD_MODEL, [&] {
    auto in = checked(inputs, input_count, "inputs"), out = checked(outputs, output_count, "outputs");
    run(*model, program_for(*model, form, in), in, out);
  });
}

trellis_status trellis_model_train_step(trellis_model *model, const trellis_named_tensor *inputs, uint32_t input_count,
                                        double *loss, int64_t *correct) {
  return call(model, TRELLIS_BAD_MODEL, [&] {
    require(loss, "the pointer to the loss");
    auto in = checked(inputs, input_count, "inputs");
    Programs::Program &p = program_for(*model, TRELLIS_FORM_TRAINING, in);
    run(*model, p, in, {});
    const trellis_program &table = p.session->executable().program();
    const std::vector<Tensor> &results = scratch_of(*model, p);
    *loss = told(results[size_t(trellis_output_find(&table, "loss"))].get(0));
    int32_t count = trellis_output_find(&table, "correct");
    if (correct) *correct = count < 0 ? -1 : results[size_t(count)].get_int(0);
    if (!std::isfinite(*loss)) throw Refused{TRELLIS_NOT_FINITE, fmt::format("the loss is {}", *loss)};
  });
}

#include "compiler/frontend/training_programs.h"
#include "compiler/frontend/state.h"
#include <fmt/format.h>

namespace trellis {

DataInputs data_inputs(const Graph &g) {
  Values data = inputs_of_role(g, "data");
  std::string names;
  for (Value v : data) names += fmt::format("{}'{}' ({})", names.empty() ? "" : ", ", name_of_input(v), v.type().str());
  auto is_target = [](Value v) { return name_of_input(v) == "label" || name_of_input(v) == "target"; };
  if (data.size() == 1) return {data[0], {}};
  if (data.size() == 2)
    return is_target(data[0]) && !is_target(data[1]) ? DataInputs{data[1], data[0]} : DataInputs{data[0], data[1]};
  throw CompileError(g.location, fmt::format("@{} has the inputs {}: expected one of samples and one of targets",
                                             g.name, names.empty() ? "none" : names));
}

TrainingPrograms::TrainingPrograms(const Model &model, Options options)
    : dims_(options.dims), programs_(model.binder(), {options.training, options.compile, options.threads, 0}) {
  Value x = data_inputs(*model.graph).sample;
  sample_ = name_of_input(x);
  if (x.rank() == 0)
    throw CompileError(x.node->loc, fmt::format("input '{}' is a scalar: samples need a first axis", name_of_input(x)));
  Dim batch = x.shape()[0];
  if (batch.is_static()) {
    fixed_ = batch.value();
    return;
  }
  symbol_ = batch.str();
  if (batch.is_unknown())
    throw CompileError(x.node->loc,
                       fmt::format("input '{}' is {}: give its first dim a name", name_of_input(x), x.type().str()));
  if (auto it = dims_.find(symbol_); it != dims_.end()) fixed_ = it->second;
}

Bindings TrainingPrograms::dims(int64_t batch) const {
  Bindings dims = dims_;
  if (!symbol_.empty()) dims[symbol_] = batch;
  return dims;
}

std::unique_ptr<Graph> TrainingPrograms::training_graph(int64_t batch) const {
  return programs_.graph(ProgramForm::training, dims(batch));
}

std::unique_ptr<Graph> TrainingPrograms::evaluation_graph(int64_t batch) const {
  return programs_.graph(ProgramForm::evaluation, dims(batch));
}

Step TrainingPrograms::step(ProgramForm form, int64_t batch) {
  struct Run {
    Programs::Program *program;
    std::vector<Tensor> inputs, outputs;
    int sample = 0, target = -1, loss = -1, correct = -1;
  };
  auto run = std::make_shared<Run>();
  run->program = &programs_.get(form, dims(batch));
  const Executable &e = run->program->session->executable();
  for (size_t i = 0; i < e.inputs().size(); ++i) // two at most; the targets' may be the training form's own
    (e.inputs()[i].name == sample_ ? run->sample : run->target) = int(i);
  run->loss = trellis_output_find(&e.program(), "loss");
  run->correct = trellis_output_find(&e.program(), "correct");
  run->inputs.resize(e.inputs().size());
  for (const ProgramTensor &t : e.outputs()) run->outputs.emplace_back(t.type.dtype, dims_of(t.type.shape));
  return [this, run](const Tensor &inputs, const Tensor &targets) {
    run->inputs[size_t(run->sample)] = inputs;
    if (run->target >= 0) run->inputs[size_t(run->target)] = targets;
    programs_.refresh(*run->program);
    run->program->session->run_into(run->inputs, run->outputs);
    programs_.ran(*run->program);
    StepResult r;
    r.loss = told(run->outputs[size_t(run->loss)].get(0));
    if (run->correct >= 0) r.correct = run->outputs[size_t(run->correct)].get_int(0);
    return r;
  };
}

} // namespace trellis

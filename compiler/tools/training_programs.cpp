#include "compiler/tools/training_programs.h"
#include "compiler/frontend/state.h"
#include "compiler/tools/code_args.h"
#include <fmt/format.h>

namespace trellis {

TrainingPrograms::TrainingPrograms(const Graph &model, Options options)
    : model_(model), options_(std::move(options)) {
  Value x = data_inputs(model).sample;
  if (x.rank() == 0)
    throw CompileError(x.node->loc,
                       fmt::format("input '{}' is a scalar: samples need a first axis", name_of_input(x)));
  Dim batch = x.shape()[0];
  if (batch.is_static()) {
    fixed_ = batch.value();
    return;
  }
  symbol_ = batch.str();
  if (batch.is_unknown())
    throw CompileError(x.node->loc, fmt::format("input '{}' is {}: give its first dim a name",
                                                name_of_input(x), x.type().str()));
  if (auto it = options_.dims.find(symbol_); it != options_.dims.end()) fixed_ = it->second;
}

std::unique_ptr<Graph> TrainingPrograms::bound(int64_t batch) const {
  Bindings dims = options_.dims;
  if (!symbol_.empty()) dims[symbol_] = batch;
  return bind_dims(model_, dims);
}

std::unique_ptr<Graph> TrainingPrograms::training_graph(int64_t batch) const {
  return make_training_graph(*bound(batch), options_.training);
}

std::unique_ptr<Graph> TrainingPrograms::evaluation_graph(int64_t batch) const {
  return make_evaluation_graph(*bound(batch), options_.training);
}

TrainingPrograms::Program TrainingPrograms::make(const Graph &g) const {
  Program p;
  p.session = std::make_unique<Session>(compile(g, options_.compile), options_.threads);
  const Executable &e = p.session->executable();
  DataInputs data = data_inputs(g);
  p.sample = trellis_input_find(&e.program(), std::string(name_of_input(data.sample)).c_str());
  if (data.target)
    p.target = trellis_input_find(&e.program(), std::string(name_of_input(data.target)).c_str());
  p.loss = trellis_output_find(&e.program(), "loss"),
  p.correct = trellis_output_find(&e.program(), "correct");
  p.inputs.resize(e.inputs().size());
  for (const ProgramTensor &t : e.outputs()) p.outputs.emplace_back(t.type.dtype, dims_of(t.type.shape));
  return p;
}

void TrainingPrograms::set_state(std::vector<NamedTensor> values) {
  values_ = std::move(values), gathered_ = ++version_, newest_ = nullptr;
}

void TrainingPrograms::gather() {
  if (gathered_ == version_) return;
  for (NamedTensor &t : values_) t.tensor = newest_->session->state(t.name);
  gathered_ = version_;
}

std::vector<NamedTensor> TrainingPrograms::state() {
  gather();
  return values_;
}

void TrainingPrograms::refresh(Program &p) {
  if (p.version == version_) return;
  gather();
  set_states(*p.session, values_);
  p.version = version_;
}

StepResult TrainingPrograms::run(Program &p, const Tensor &inputs, const Tensor &targets) {
  p.inputs[size_t(p.sample)] = inputs;
  if (p.target >= 0) p.inputs[size_t(p.target)] = targets;
  p.session->run_into(p.inputs, p.outputs);
  StepResult r;
  r.loss = p.outputs[size_t(p.loss)].get(0);
  if (p.correct >= 0) r.correct = p.outputs[size_t(p.correct)].get_int(0);
  return r;
}

Step TrainingPrograms::training_step(int64_t batch) {
  Program *p = &training_.emplace(batch, make(*training_graph(batch))).first->second;
  return [this, p](const Tensor &inputs, const Tensor &targets) {
    refresh(*p);
    StepResult r = run(*p, inputs, targets);
    p->version = ++version_, newest_ = p;
    return r;
  };
}

Step TrainingPrograms::evaluation_step(int64_t batch) {
  Program *p = &evaluation_.emplace(batch, make(*evaluation_graph(batch))).first->second;
  return [this, p](const Tensor &inputs, const Tensor &targets) {
    refresh(*p);
    return run(*p, inputs, targets);
  };
}

} // namespace trellis

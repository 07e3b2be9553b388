#include "compiler/frontend/programs.h"
#include "compiler/frontend/state.h"
#include <algorithm>

namespace trellis {

void Programs::set_options(Options options) {
  gather();
  newest_ = nullptr;
  programs_.clear();
  options_ = std::move(options);
}

std::unique_ptr<Graph> Programs::graph(ProgramForm form, const Bindings &dims) const {
  std::unique_ptr<Graph> bound = model_(dims, form == ProgramForm::model ? Reading::exact : Reading::trainable);
  switch (form) {
  case ProgramForm::inference: return make_inference_graph(*bound);
  case ProgramForm::training: return make_training_graph(*bound, options_.training);
  case ProgramForm::evaluation: return make_evaluation_graph(*bound, options_.training);
  case ProgramForm::model: break;
  }
  return bound;
}

Programs::Program &Programs::get(ProgramForm form, const Bindings &dims) {
  auto it = programs_.find({form, dims});
  if (it != programs_.end()) return it->second;
  std::unique_ptr<Graph> g = graph(form, dims);
  std::vector<NamedTensor> begin = initial_state(*g, options_.seed, values_);
  Program p;
  p.session = std::make_unique<Session>(compile(*g, options_.compile), options_.threads);
  p.updates = !g->updates.empty();
  for (NamedTensor &t : begin) values_.push_back(std::move(t));
  return programs_.emplace(std::pair(form, dims), std::move(p)).first->second;
}

void Programs::refresh(Program &p) {
  if (p.version == version_) return;
  gather();
  set_states(*p.session, values_);
  p.version = version_;
}

void Programs::ran(Program &p) {
  if (p.updates) p.version = ++version_, newest_ = &p;
}

void Programs::gather() {
  if (gathered_ == version_) return;
  const trellis_program &table = newest_->session->executable().program();
  for (NamedTensor &t : values_)
    if (trellis_state_find(&table, t.name.c_str()) >= 0) t.tensor = newest_->session->state(t.name);
  gathered_ = version_;
}

const std::vector<NamedTensor> &Programs::state() {
  gather();
  return values_;
}

void Programs::set_state(std::vector<NamedTensor> values) {
  values_ = std::move(values), gathered_ = ++version_, newest_ = nullptr;
}

void Programs::merge_state(std::vector<NamedTensor> values) {
  std::vector<NamedTensor> all = state();
  for (NamedTensor &t : values) {
    auto it = std::find_if(all.begin(), all.end(), [&](const NamedTensor &old) { return old.name == t.name; });
    if (it == all.end())
      all.push_back(std::move(t));
    else
      it->tensor = std::move(t.tensor);
  }
  set_state(std::move(all));
}

} // namespace trellis

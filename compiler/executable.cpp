#include "compiler/executable.h"
#include "ir/diag.h"
#include <chrono>
#include <fmt/format.h>

namespace trellis {

namespace {

trellis_tensor view(const Tensor &t) {
  return {const_cast<std::byte *>(t.data()), int32_t(t.dtype()), t.rank(), t.dims().data()};
}

/// The runtime's views of tensors; few enough, as a rule, for no allocation.
struct Views {
  explicit Views(std::span<const Tensor> tensors) {
    trellis_tensor *at = few;
    if (tensors.size() > std::size(few)) many.resize(tensors.size()), at = many.data();
    data = at;
    for (const Tensor &t : tensors) *at++ = view(t);
  }
  trellis_tensor few[16];
  std::vector<trellis_tensor> many;
  const trellis_tensor *data;
};

Tensor new_tensor(const trellis_tensor_info &info) {
  return Tensor(DType(info.dtype), std::vector<int64_t>(info.dims, info.dims + info.rank));
}

} // namespace

std::shared_ptr<const Executable> Executable::compile(Program p, const Target &t, int threads) {
  return std::shared_ptr<const Executable>(new Executable(std::move(p), t, threads));
}

Executable::Executable(Program p, const Target &t, int threads) : program_(std::move(p)) {
  require_runs_here(t);
  ProgramObjects built = emit_program(program_, t, threads, process_instrument());
  stats_ = built.stats;
  program_.kernels.clear();
  auto start = std::chrono::steady_clock::now();
  std::vector<std::pair<std::string, const void *>> constants;
  for (size_t i = 0; i < program_.constant_data.size(); ++i) {
    Tensor &c = program_.constant_data[i];
    if (reinterpret_cast<uintptr_t>(c.data()) % 64 != 0) c = c.clone(); // a view into a mapped file
    constants.emplace_back(constant_symbol(program_, int(i)), c.data());
  }
  code_.emplace(built.objects, constants);
  table_ = static_cast<const trellis_program *>(code_->symbol(program_symbol(program_)));
  stats_.link_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  stats_.total_ms += stats_.link_ms;
}

Session::Session(std::shared_ptr<const Executable> executable, int threads)
    : executable_(std::move(executable)), context_(nullptr, trellis_context_destroy) {
  char error[256];
  trellis_context *made = nullptr;
  if (trellis_context_create(&executable_->program(), threads, &made, error, sizeof error) != TRELLIS_OK)
    throw CompileError(fmt::format("{}: {}", executable_->name(), error));
  context_.reset(made);
}

void Session::check(trellis_status status) const {
  if (status == TRELLIS_OK) return;
  throw CompileError(
      fmt::format("{}: {}", executable_->name(),
                  status == TRELLIS_BUSY ? trellis_status_text(status) : trellis_last_error(context_.get())));
}

std::vector<Tensor> Session::run(std::span<const Tensor> inputs) {
  const trellis_program &p = executable_->program();
  std::vector<Tensor> outputs;
  for (uint32_t i = 0; i < p.output_count; ++i) outputs.push_back(new_tensor(p.outputs[i]));
  run_into(inputs, outputs);
  return outputs;
}

std::vector<NamedTensor> Session::run(std::span<const NamedTensor> inputs) {
  const trellis_program &p = executable_->program();
  std::vector<Tensor> ordered(p.input_count);
  std::vector<bool> given(p.input_count);
  for (const NamedTensor &t : inputs) {
    int32_t i = trellis_input_find(&p, t.name.c_str());
    if (i < 0) {
      std::string known;
      for (uint32_t k = 0; k < p.input_count; ++k) known += fmt::format("{}'{}'", k ? ", " : "", p.inputs[k].name);
      throw CompileError(fmt::format("{}: no input is called '{}'; {}", executable_->name(), t.name,
                                     known.empty() ? "there are none" : "known: " + known));
    }
    if (given[size_t(i)]) throw CompileError(fmt::format("{}: input '{}' is given twice", executable_->name(), t.name));
    given[size_t(i)] = true;
    ordered[size_t(i)] = t.tensor;
  }
  for (uint32_t i = 0; i < p.input_count; ++i)
    if (!given[i])
      throw CompileError(fmt::format("{}: input '{}' ({}) is missing", executable_->name(), p.inputs[i].name,
                                     executable_->inputs()[i].type.str()));
  std::vector<Tensor> results = run(std::span<const Tensor>(ordered));
  std::vector<NamedTensor> named;
  for (uint32_t i = 0; i < p.output_count; ++i) named.push_back({p.outputs[i].name, std::move(results[i])});
  return named;
}

void Session::run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs) {
  Views in(inputs), out(outputs);
  check(trellis_run(context_.get(), in.data, uint32_t(inputs.size()), out.data, uint32_t(outputs.size())));
}

void Session::run_raw(void *const *inputs, void *const *outputs) {
  check(trellis_run_raw(context_.get(), inputs, outputs));
}

Tensor Session::state(const std::string &name) const {
  const trellis_program &p = executable_->program();
  int32_t i = trellis_state_find(&p, name.c_str());
  Tensor value = i < 0 ? Tensor(DType::f32, {}) : new_tensor(p.states[i]); // the runtime says what is wrong
  trellis_tensor to = view(value);
  check(trellis_state_get(context_.get(), name.c_str(), &to));
  return value;
}

void Session::set_state(const std::string &name, const Tensor &value) {
  trellis_tensor from = view(value);
  check(trellis_state_set(context_.get(), name.c_str(), &from));
}

void Session::set_threads(int threads) { check(trellis_set_threads(context_.get(), threads)); }

} // namespace trellis

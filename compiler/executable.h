/// A compiled program in this process, and running it.
#pragma once
#include "compiler/data/named_tensor.h"
#include "compiler/llvm/linked_code.h"
#include "compiler/llvm/program_emit.h"
#include "runtime/trellis.h"
#include <memory>
#include <optional>

namespace trellis {

/// Machine code and its table. Immutable: any number of sessions and threads may share one.
class Executable {
public:
  /// Compiles on up to `threads` threads; the code does not depend on how many. Throws CompileError.
  static std::shared_ptr<const Executable> compile(Program p, const Target &t, int threads);

  const trellis_program &program() const { return *table_; }
  const std::string &name() const { return program_.name; }
  const std::vector<ProgramTensor> &inputs() const { return program_.inputs; }
  const std::vector<ProgramTensor> &outputs() const { return program_.outputs; }
  const std::vector<ProgramTensor> &states() const { return program_.states; }
  /// In the order of the program's table.
  const std::vector<ProgramCall> &calls() const { return program_.calls; }
  const CompileStats &stats() const { return stats_; }

private:
  Executable(Program p, const Target &t, int threads);

  Program program_; // without its kernels; owns the constants' bytes
  CompileStats stats_;
  std::optional<LinkedCode> code_;
  const trellis_program *table_ = nullptr;
};

/// One user's arena and state of an executable. One call at a time. A refused call throws a CompileError that
/// names the tensor, and has written nothing.
class Session {
public:
  explicit Session(std::shared_ptr<const Executable> executable, int threads = 1);

  const Executable &executable() const { return *executable_; }

  /// Inputs in the program's order; new tensors for the outputs.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  /// Inputs by name, in any order.
  std::vector<NamedTensor> run(std::span<const NamedTensor> inputs);
  /// Into tensors that the caller keeps: nothing is allocated.
  void run_into(std::span<const Tensor> inputs, std::span<Tensor> outputs);
  /// No checks: pointers in the program's order (runtime/trellis.h, trellis_run_raw).
  void run_raw(void *const *inputs, void *const *outputs);

  /// State is all zeros at first. Tensors are dense and row-major whatever the layout inside.
  Tensor state(const std::string &name) const;
  void set_state(const std::string &name, const Tensor &value);

  int threads() const { return trellis_get_threads(context_.get()); }
  void set_threads(int threads);
  /// For what only the C interface offers: binding state, profiles.
  trellis_context *context() const { return context_.get(); }

private:
  void check(trellis_status status) const;

  std::shared_ptr<const Executable> executable_;
  std::unique_ptr<trellis_context, void (*)(trellis_context *)> context_;
};

} // namespace trellis

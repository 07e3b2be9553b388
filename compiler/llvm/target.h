// The machine that code is made for. The only place that knows CPU features and block sizes.
#pragma once
#include "compiler/loops/machine.h"
#include <memory>
#include <string>

namespace llvm {
class TargetMachine;
}

namespace trellis {

struct Target : Machine {
  std::string name; ///< as given: host, x86-64-v3, ...
  std::string triple, cpu, features;
  bool rounds = true; ///< instructions that round to an integer (x86: SSE4.1)
  bool halves = true; ///< instructions that convert f16 (x86: F16C)
};

/// "host", "x86-64" (SSE2), "x86-64-v3" (AVX2, FMA), "x86-64-v4" (AVX-512), "aarch64" (NEON). Throws
/// CompileError for other names, naming the known ones.
Target make_target(const std::string &name);
/// Whether `t` is of the architecture that this program was built for.
bool is_this_architecture(const Target &t);
/// Throws a CompileError unless this process can run the target's code.
void require_runs_here(const Target &t);
/// One for each compiling thread.
std::unique_ptr<llvm::TargetMachine> make_machine(const Target &t);

} // namespace trellis

// The machine that code is made for. The only place that knows CPU features and block sizes.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace llvm {
class TargetMachine;
}

namespace trellis {

struct Target {
  std::string name;     ///< as given: host, x86-64-v3, ...
  std::string triple, cpu, features;
  int vector_bytes = 16;
  bool fma = false;     ///< fused multiply-add in hardware
  int registers = 16;   ///< vector registers
  int64_t l1_bytes = 32 << 10, l2_bytes = 512 << 10; ///< for blocking; nominal for the family, never read from the machine
  int lanes(int element_bytes) const { return vector_bytes / element_bytes; }
};

/// "host", "x86-64" (SSE2), "x86-64-v3" (AVX2, FMA), "x86-64-v4" (AVX-512), "aarch64" (NEON). Throws CompileError for
/// other names, naming the known ones.
Target make_target(const std::string &name);
/// One for each compiling thread.
std::unique_ptr<llvm::TargetMachine> make_machine(const Target &t);

} // namespace trellis

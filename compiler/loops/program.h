// A program before code generation: kernels on slots of memory, everything but machine code. It is what
// runtime/program.h's trellis_program says, as C++ data.
#pragma once
#include "compiler/loops/tree.h"

namespace trellis {

struct ProgramTensor {
  std::string name;
  Type type;              ///< logical, all dims bound
  Layout layout;          ///< of states and constants; inputs and outputs are row-major
  bool trained = false;   ///< of a state: a parameter
  std::string init;       ///< of a state: its initialiser
};

struct ProgramSlot {
  enum class Kind : uint8_t { arena, input, output, state, constant } kind = Kind::arena;
  int index = 0;       ///< of the input, output, state or constant
  int64_t offset = 0;  ///< bytes
  int64_t bytes = 0;   ///< that the slot spans
};

struct ProgramCall {
  int kernel = 0;          ///< number in Program::kernels; calls of equal kernels share one
  std::string name;        ///< for profiles
  std::vector<int> args;   ///< slot numbers, in the order of the kernel's slots
  int64_t grain = 1;       ///< fewest iterations worth a thread
  double flops = 0;
};

struct ProgramIndexCheck {
  int input = 0;
  int64_t low = 0, high = 0;
};

struct Program {
  std::string name;
  std::vector<ProgramTensor> inputs, outputs, states, constants;
  std::vector<Tensor> constant_data; ///< in the constant's physical layout, one dimension
  std::vector<ProgramSlot> slots;
  std::vector<Kernel> kernels;
  std::vector<ProgramCall> calls;
  std::vector<ProgramIndexCheck> index_checks;
  int64_t arena_bytes = 0;
};

} // namespace trellis

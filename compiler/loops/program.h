// A program before code generation: kernels on slots of memory, everything but machine code. It is what
// runtime/program.h's trellis_program says, as C++ data.
#pragma once
#include "compiler/loops/tree.h"

namespace trellis {

struct ProgramTensor {
  std::string name;
  Type type;            ///< logical, all dims bound
  Layout layout;        ///< of states and constants; inputs and outputs are row-major
  bool trained = false; ///< of a state: a parameter
  std::string init;     ///< of a state: its initialiser
};

struct ProgramSlot {
  enum class Kind : uint8_t { arena, input, output, state, constant } kind = Kind::arena;
  int index = 0;      ///< of the input, output, state or constant
  int64_t offset = 0; ///< bytes
  int64_t bytes = 0;  ///< that the slot spans
  struct Move {
    int loop = 0;
    int64_t stride = 0; ///< bytes
  };
  std::vector<Move> moves{}; ///< added after each iteration of these loops but the last; at a loop's end all is undone
};

/// A call of a kernel, or a word of control: what runs next.
struct ProgramCall {
  int kernel = 0;        ///< number in Program::kernels; calls of equal kernels share one
  std::string name;      ///< for profiles
  std::vector<int> args; ///< slot numbers, in the order of the kernel's slots
  int64_t grain = 1;     ///< fewest iterations worth a thread
  double flops = 0;
  enum class Kind : uint8_t {
    kernel,
    loop,   ///< begins loop `loop`; with no trips on to `target`
    next,   ///< ends an iteration: back to `target` while there are trips left
    branch, ///< on to `target` where the bool in args[0] is false
    jump    ///< on to `target`
  } kind = Kind::kernel;
  int loop = 0;      ///< number of a loop, in order of the list
  int64_t trips = 0; ///< most iterations of a loop
  int target = 0;    ///< number of a call, or that of all calls: the end
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
  int loops = 0;
  int64_t arena_bytes = 0;
};

/// The list of calls as text, bodies indented.
std::string print_calls(const Program &p);

} // namespace trellis

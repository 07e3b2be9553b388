/// Whole programs as machine code. No LLVM header is needed to include this.
#pragma once
#include "compiler/llvm/target.h"
#include "compiler/loops/program.h"
#include <span>

namespace trellis {

/// Times are summed over the compiling threads, but `link_ms` and `total_ms`, which are as the caller sees
/// them.
struct CompileStats {
  double emit_ms = 0, optimize_ms = 0, codegen_ms = 0, link_ms = 0, total_ms = 0;
  int kernels = 0; ///< distinct ones
  int calls = 0;
  int64_t code_bytes = 0; ///< machine code and its literals
  int64_t object_bytes = 0;
};

/// Relocatable objects that define every kernel and the table: a `trellis_program` (runtime/program.h) named
/// program_symbol(). They refer to the bytes of constant i as constant_symbol(i), which whoever links them
/// defines.
struct ProgramObjects {
  std::vector<std::string> objects; ///< ELF bytes
  CompileStats stats;
};

/// Checks that the code makes on itself.
enum class Instrument { none, addresses };
/// For code that this process runs: addresses in a build with AddressSanitizer, which does not see code that
/// was made at run time otherwise.
Instrument process_instrument();

/// Equal kernels are emitted once. Up to `threads` threads compile; what they produce does not depend on it.
/// Throws CompileError where a kernel holds what the back end has no code for.
ProgramObjects emit_program(const Program &p, const Target &t, int threads, Instrument instrument = Instrument::none);

/// The C functions that the header of compiler/aot.h documents, as one more object. They call the runtime's C
/// interface, whose functions' names begin with `runtime_prefix`. Creating a context sets the states numbered
/// in `initial` from the dense bytes at initial_symbol().
std::string emit_interface_object(const Program &p, const Target &t, std::span<const int> initial,
                                  const std::string &runtime_prefix);

/// A name with everything that C does not allow in an identifier made `_`.
std::string c_identifier(std::string_view name);
/// Global symbols all begin with the program's name: NAME_program, NAME.constant.0, ...
std::string program_symbol(const Program &p);
std::string constant_symbol(const Program &p, int index);
std::string initial_symbol(const Program &p, int state);

enum class CodeText { llvm, optimized_llvm, assembly };
/// The kernels as text, for --emit and for tests.
std::string program_text(const Program &p, const Target &t, CodeText kind);

} // namespace trellis

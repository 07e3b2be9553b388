/// The C functions of an ahead-of-time compiled program (the header of compiler/aot.h documents them) as LLVM
/// code.
#pragma once
#include "compiler/loops/program.h"
#include <llvm/IR/Module.h>
#include <span>

namespace trellis {

/// Adds NAME_create, NAME_destroy, NAME_run, NAME_error, NAME_set_threads, NAME_abi_version, and
/// NAME_set_state and NAME_get_state where there is state. They call the runtime's C interface, whose
/// functions' names begin with `runtime_prefix`. Creation sets the states numbered in `initial` from the
/// dense bytes at initial_symbol().
void emit_interface(llvm::Module &m, const Program &p, std::span<const int> initial, const std::string &runtime_prefix);

} // namespace trellis

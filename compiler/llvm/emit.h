// Kernel trees as LLVM functions. The emitter follows the tree: every decision on order, tiles and vectors
// was taken by the schedule; what it adds is instructions and addresses.
#pragma once
#include "compiler/llvm/target.h"
#include "compiler/loops/tree.h"
#include <llvm/IR/Module.h>

namespace trellis {

/// Adds `void <symbol>(ptr args, i64 begin, i64 end)` (runtime/program.h's trellis_kernel) to the module.
/// No fast-math flag is ever set: rounding was decided in the IR.
llvm::Function *emit_kernel(llvm::Module &m, const Kernel &k, const Target &t, const std::string &symbol);

} // namespace trellis

/// A program's table (runtime/program.h) as constants of an LLVM module.
#pragma once
#include "compiler/loops/program.h"
#include <llvm/IR/Module.h>

namespace trellis {

/// Adds the constant `trellis_program` named `symbol`. `kernels` holds the symbol of each kernel; `constants`
/// that of each constant's bytes.
llvm::GlobalVariable *emit_table(llvm::Module &m, const Program &p, const std::string &symbol,
                                 const std::vector<std::string> &kernels,
                                 const std::vector<std::string> &constants);

} // namespace trellis

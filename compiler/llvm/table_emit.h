/// A program's table (runtime/program.h) as constants of an LLVM module.
#pragma once
#include "compiler/loops/program.h"
#include <llvm/IR/Module.h>

namespace trellis {

/// The code of a kernel.
struct KernelCode {
  std::string symbol;
  std::vector<int> args; ///< which of the kernel's slots each argument of the code is
};

/// Adds the constant `trellis_program` named `symbol`. `kernels` holds the code of each kernel; `constants`
/// the symbol of each constant's bytes.
llvm::GlobalVariable *emit_table(llvm::Module &m, const Program &p, const std::string &symbol,
                                 const std::vector<KernelCode> &kernels, const std::vector<std::string> &constants);

} // namespace trellis

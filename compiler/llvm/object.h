/// The one path to machine code: module -> object bytes -> linked in process, or a file.
#pragma once
#include "compiler/llvm/target.h"
#include <llvm/IR/Module.h>
#include <string>

namespace trellis {

/// A short pipeline: the code is tiled and vectorised already.
void optimize(llvm::Module &m, llvm::TargetMachine &machine);
/// Makes every access of memory ask AddressSanitizer, which the process must be linked with.
void check_addresses(llvm::Module &m);
/// ELF bytes; the module is consumed by code generation.
std::string make_object(llvm::Module &m, llvm::TargetMachine &machine);
std::string make_assembly(llvm::Module &m, llvm::TargetMachine &machine);

} // namespace trellis

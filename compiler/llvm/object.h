// The one path to machine code: module -> object bytes -> linked in process, or a file.
#pragma once
#include "compiler/llvm/target.h"
#include <llvm/IR/Module.h>
#include <llvm/Support/MemoryBuffer.h>
#include <memory>
#include <string>

namespace trellis {

/// A short pipeline: the code is tiled and vectorised already.
void optimize(llvm::Module &m, llvm::TargetMachine &machine);
/// Object bytes; the module is consumed by code generation.
std::unique_ptr<llvm::MemoryBuffer> make_object(llvm::Module &m, llvm::TargetMachine &machine);
std::string make_assembly(llvm::Module &m, llvm::TargetMachine &machine);

/// Object code linked into this process. Unloaded when destroyed.
class LinkedCode {
public:
  explicit LinkedCode(std::vector<std::unique_ptr<llvm::MemoryBuffer>> objects);
  ~LinkedCode();
  LinkedCode(LinkedCode &&) noexcept;
  /// Address of a symbol; absent is an internal error.
  void *symbol(const std::string &name) const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace trellis

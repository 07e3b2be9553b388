/// Raw bytes as an object file: how weights reach a linker without passing through LLVM.
#pragma once
#include "compiler/llvm/target.h"
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace trellis {

struct DataSymbol {
  std::string name;
  const void *data;
  size_t bytes;
};

/// Writes an ELF object in pieces, in order. Each symbol is hidden, read-only and 64-byte aligned.
void write_data_object(const Target &t, std::span<const DataSymbol> symbols,
                       const std::function<void(const void *, size_t)> &write);

} // namespace trellis

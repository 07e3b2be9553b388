// Safetensors files: a JSON header, then the tensors' bytes. The format of checkpoints and of large
// constants.
//
// The bytes that are written depend on the contents alone: header keys in the given order, no time, no path.
// Data is placed by falling element size, so that every tensor stands aligned and can be used in the mapped
// file.
#pragma once
#include "compiler/data/named_tensor.h"
#include <string>
#include <utility>
#include <vector>

namespace trellis {

struct SafeTensors {
  std::vector<NamedTensor> tensors = {};                          ///< in the header's order
  std::vector<std::pair<std::string, std::string>> metadata = {}; ///< in the header's order
  const Tensor *find(std::string_view name) const { return trellis::find(tensors, name); }
  /// The metadata's value, or null.
  const std::string *find_metadata(std::string_view key) const;
};

/// Maps the file: the tensors wrap the mapping (writes to them never reach the file) and keep it alive; those
/// that another writer left unaligned are copied. Checks dtype names, sizes, offsets, holes and overlaps.
SafeTensors read_safetensors(const std::string &path);

/// Atomic (atomic_file.h). Names and keys are UTF-8, each once.
void write_safetensors(const std::string &path, const SafeTensors &contents);

} // namespace trellis

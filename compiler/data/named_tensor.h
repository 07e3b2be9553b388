// What tensor files hold: tensors by name, in the file's order.
#pragma once
#include "ir/tensor.h"
#include <span>
#include <string>

namespace trellis {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// The tensor of that name, or null.
inline const Tensor *find(std::span<const NamedTensor> tensors, std::string_view name) {
  for (const NamedTensor &t : tensors)
    if (t.name == name) return &t.tensor;
  return nullptr;
}

} // namespace trellis

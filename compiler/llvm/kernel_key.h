/// When two kernels are the same code.
#pragma once
#include "compiler/loops/tree.h"
#include <string>
#include <vector>

namespace trellis {

struct KernelKey {
  /// Equal for two kernels only if they are equal but for the names of kernel and buffers, the order of their
  /// slots, the numbers of their variables, flops and the schedule's text.
  std::string bytes;
  /// The slots in the order in which the tree names them first; then those that it does not name.
  std::vector<int> slots;
};
KernelKey kernel_key(const Kernel &k);

/// Code that serves a kernel.
struct SharedKernel {
  int kernel;            ///< the first one that is equal: the one to emit
  std::vector<int> args; ///< which of this kernel's slots each slot of that one is
};
std::vector<SharedKernel> share_kernels(const std::vector<Kernel> &kernels);

} // namespace trellis

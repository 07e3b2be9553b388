/// When two kernels are the same code.
#pragma once
#include "compiler/loops/tree.h"

namespace trellis {

/// A string of bytes that is equal for two kernels only if they are equal but for the names of kernel and
/// buffers, the numbers of their variables, flops and the schedule's text.
std::string kernel_key(const Kernel &k);

/// For each kernel the number of the first one that is equal to it.
std::vector<int> equal_kernels(const std::vector<Kernel> &kernels);

} // namespace trellis

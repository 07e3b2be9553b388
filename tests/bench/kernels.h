// The kernels that are timed: each a small graph, as text.
#pragma once
#include <string>
#include <vector>

namespace trellis::bench {

struct KernelBench {
  std::string name, text;
};

std::vector<KernelBench> contractions();
/// Elementwise, reductions, and what is made of both: bound by memory or by special functions.
std::vector<KernelBench> others();

} // namespace trellis::bench

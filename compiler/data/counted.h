// Outputs whose number of elements along one axis is only known after a run.
#pragma once
#include "compiler/data/named_tensor.h"
#include <vector>

namespace trellis {

/// Output `output` is computed in a shape that bounds it; its first elements along `axis`, as many as the scalar output
/// `count` tells, are the result.
struct CountedOutput {
  std::string output;
  int axis = 0;
  std::string count;
};

/// The first `count` elements of `t` along `axis`.
Tensor first_along(const Tensor &t, int axis, int64_t count);
/// Cuts the outputs to what they count, and takes the counts away. Results that are not there are left out.
void cut_to_counts(std::vector<NamedTensor> &results, const std::vector<CountedOutput> &counted);

} // namespace trellis

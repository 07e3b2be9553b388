// Interpretation of movement ops through their index maps.
#pragma once
#include "ir/graph.h"

namespace trellis {

/// Fills `y`, the only result of `n`, from the operands.
void evaluate_movement(const Node &n, const std::vector<Tensor> &x, Tensor &y);

} // namespace trellis

// The two readings of a model: as it is trained, and as it is used.
#pragma once
#include "ir/graph.h"
#include <memory>

namespace trellis {

/// batch_norm_inference becomes batch_norm, and running statistics that are state are updated:
///   running += momentum (batch - running), the variance of the batch with n - 1 for n.
/// A u64 or i64 state that seeds random nodes advances by one a step, where nothing else updates it.
std::unique_ptr<Graph> training_form(const Graph &model);

/// dropout becomes its operand. No updates are left.
std::unique_ptr<Graph> inference_form(const Graph &model);

} // namespace trellis

// Finds named ops in graphs that exporters took apart: softmax, norms, GELU, attention, ... and folds
// inference batch normalisation into constant convolution weights. Simplifies on the way, since its patterns
// are written in those canonical forms. Before `decompose`, its opposite for what the target does not keep.
// Results may differ in rounding, as a named op's own evaluation may.
#pragma once
#include "passes/pass.h"

namespace trellis {

GraphPtr raise(const Graph &g);

} // namespace trellis

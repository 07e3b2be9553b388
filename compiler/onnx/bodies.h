// Bodies of control ops, out of nodes that were imported into the graph around them.
#pragma once
#include "ir/build.h"

namespace trellis::onnx {

/// A closed body, and the values of the graph around it that its inputs after the arguments stand for.
struct Closed {
  std::shared_ptr<Graph> body;
  Values captured;
};

/// The body that gives `results` from `arguments`, which are placeholders. What does not depend on an argument and is
/// older than node `from` is not the body's: it is computed once, before, and captured; constants are repeated inside.
Closed close_over(const Values &arguments, const Values &results, uint32_t from);

} // namespace trellis::onnx

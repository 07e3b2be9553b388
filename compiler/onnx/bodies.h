// Bodies of control ops, out of nodes that were imported into the graph around them.
#pragma once
#include "ir/build.h"
#include <functional>

namespace trellis::onnx {

/// A closed body, and the values of the graph around it that its inputs after the arguments stand for.
struct Closed {
  std::shared_ptr<Graph> body;
  Values captured;
};

/// The body that gives `results` from `arguments`, which are placeholders. What does not depend on an argument and is
/// older than node `from` is not the body's: it is computed once, before, and captured; constants are repeated inside.
Closed close_over(const Values &arguments, const Values &results, uint32_t from);

/// The last carried values, then the stacked rows, of a scan over axis 0 of `sliced`, which is not empty; `arguments` stand
/// for the carried values and the elements of the sliced ones.
Values close_scan(const Values &carried, const Values &sliced, const Values &arguments, const Values &results);

class Importer;
/// What one iteration makes of the carried values and its elements of the sliced ones: the next carried values, then rows.
using Iteration = std::function<Values(const Values &carried, const Values &sliced)>;
Values scan(Importer &importer, const Values &carried, const Values &sliced, const Iteration &f);

} // namespace trellis::onnx

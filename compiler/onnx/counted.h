// Operators that take tensors whose number of elements along an axis depends on data (Count): which ones, and what becomes
// of the count.
#pragma once
#include "compiler/onnx/recipe.h"

namespace trellis::onnx {

/// The operator's recipe may run on the bounding shapes of such operands, with follow_counts after it.
bool takes_counts(std::string_view op);
/// Sets the counts of the results, unless the recipe did. An error where the operator does not take its operands so.
void follow_counts(Step &s, const Values &results);

} // namespace trellis::onnx

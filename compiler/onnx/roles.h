// What an initialiser is to training.
#pragma once
#include "compiler/onnx/model.h"
#include <unordered_set>

namespace trellis::onnx {

/// Names in slots of state: running statistics of BatchNormalization, first states of LSTM, GRU and RNN. They are not
/// trained.
std::unordered_set<std::string> names_in_state_slots(const GraphProto &graph);

/// Whether an initialiser of the main graph is a value that can be replaced: parameter or state.
inline bool is_weight(const Tensor &t) { return is_float(t.dtype()) && t.rank() > 0 && t.size() > 0; }

} // namespace trellis::onnx

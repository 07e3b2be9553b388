// Graphs as standard ONNX: opset 20 of ai.onnx and nothing else, so that any runtime of the standard loads them.
#pragma once
#include "compiler/data/named_tensor.h"
#include "compiler/onnx/model.h"
#include "ir/graph.h"

namespace trellis::onnx {

/// The graph, whose dims are bound, as a model. Parameters and state become initialisers where `values` has them, else
/// inputs; one that is updated is an input as well, with its value as the default, and its successor is the output
/// NAME.next. Throws a located CompileError that names each node that ONNX has no form for.
ModelProto export_model(const Graph &g, std::span<const NamedTensor> values);

/// The same to a file, whole or not at all.
void write_model(const std::string &path, const Graph &g, std::span<const NamedTensor> values);

} // namespace trellis::onnx

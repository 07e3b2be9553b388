// From an ONNX file to a graph for one binding of its dims.
#pragma once
#include "compiler/data/counted.h"
#include "compiler/onnx/model.h"
#include "ir/bind.h"

namespace trellis::onnx {

struct ImportOptions {
  /// Inputs' tensors by name: their shapes bind dims, and their elements are there where an operator's shape depends on
  /// them. The graph then holds for these elements alone; see Imported::specialised.
  std::map<std::string, Tensor> given;
  /// Numbers of symbolic dims, by name; a dim without a name is called INPUT.AXIS.
  Bindings dims;
  /// BatchNormalization and Dropout become batch_norm_inference and dropout whatever the file says, for training_form and
  /// inference_form to read, and initialisers in slots of state (running statistics, first states) are of role "state".
  bool trainable = false;
};

struct Imported {
  std::unique_ptr<Graph> graph;
  std::vector<NamedTensor> weights;     ///< of the graph's parameters
  std::vector<std::string> specialised; ///< inputs whose given elements the graph has built in
  std::vector<CountedOutput> counted;   ///< outputs whose number of elements depends on data
};

/// Throws one CompileError that lists every operator and node that is not supported or does not hold together.
Imported import_model(const File &file, const ImportOptions &options = {});

/// What can be said without any binding: throws as import_model does where operators are not supported or the graph's
/// names and tensors do not hold together.
void check_model(const File &file);

/// A value's name and type; none where the file does not declare its shape.
struct Declared {
  std::string name;
  std::optional<Type> type;
};

/// What a file says of itself without a binding. Throws what check_model throws.
struct Interface {
  std::unique_ptr<Graph> inputs; ///< a graph of the inputs alone, dims as they are, then parameters and state
  std::vector<Declared> outputs;
  std::vector<NamedTensor> weights;
};
Interface interface_of(const File &file);

/// An operator that import reads: from each version in `since` on in a way of its own.
struct ReadableOperator {
  std::string domain, name; ///< "ai.onnx" is the standard's
  std::vector<int> since;
  std::string op; ///< the op of the table that it is, where it is just that
};
/// All of them, by domain and name.
std::vector<ReadableOperator> readable_operators();

/// Inputs, outputs, operator sets, operators with counts, parameters: a line each.
std::string describe(const File &file);

} // namespace trellis::onnx

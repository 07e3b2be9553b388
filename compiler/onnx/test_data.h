// The test data that lies beside models: folders with input_0.pb, ..., output_0.pb, ... of one TensorProto each.
#pragma once
#include "compiler/data/named_tensor.h"
#include "compiler/onnx/model.h"

namespace trellis::onnx {

struct TestData {
  std::string folder;
  std::vector<NamedTensor> inputs, outputs;
};

/// The folders test_data_set_* in `folder`, in order, or `folder` itself where it holds tensors.
std::vector<std::string> find_test_data(const std::string &folder);
/// A file's tensor is of the model's input or output that it names, else of the one at its number. Throws CompileError.
TestData read_test_data(const File &model, const std::string &folder);

} // namespace trellis::onnx

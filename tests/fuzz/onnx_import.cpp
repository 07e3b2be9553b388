// What import must hold against any bytes: a graph that verifies or a CompileError, never a crash, in bounded memory.
#include "compiler/onnx/import.h"
#include "ir/verify.h"

using namespace trellis;

static constexpr int kOpenDim = 2;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  auto model = std::make_shared<onnx::ModelProto>();
  if (!model->ParseFromArray(bytes, int(size)) || !model->has_graph() || model->opset_import_size() == 0) return 0;
  onnx::File file{"fuzz.onnx", "/nonexistent", model};
  try {
    onnx::describe(file);
  } catch (const CompileError &) {}
  for (bool trainable : {false, true}) try {
      onnx::ImportOptions options;
      options.trainable = trainable;
      for (const std::string &s : symbols(*onnx::interface_of(file).inputs)) options.dims[s] = kOpenDim;
      verify(*onnx::import_model(file, options).graph);
    } catch (const CompileError &) {}
  return 0;
}

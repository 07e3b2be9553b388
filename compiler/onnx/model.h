// An ONNX file in memory, and its tensors.
#pragma once
#include "compiler/data/input.h"
#include "onnx.pb.h"
#include <memory>
#include <string>

namespace trellis::onnx {

/// A file's messages; `folder` is where its external data lies.
struct File {
  std::string path, folder;
  std::shared_ptr<const ModelProto> model;
  Location at(std::string node = {}) const { return file_location(path, std::move(node)); }
};

/// Throws CompileError where `path` can not be read or holds no ONNX model.
File read_file(const std::string &path);

/// The dtype of TensorProto::DataType; a CompileError for types that no tensor here can have (strings, float8, ...).
DType dtype_of(int type, const Location &where);
/// "string", "float8e4m3fn": the spelling in messages.
std::string type_name(int type);

/// The elements of a tensor: shared with the message where they lie in raw form, from a file beside the model where they
/// are external. Wrong lengths and sizes beyond memory are CompileErrors at `where`.
Tensor tensor_of(const File &file, const TensorProto &t, const Location &where);
/// A sparse tensor made dense.
Tensor tensor_of(const File &file, const SparseTensorProto &t, const Location &where);

} // namespace trellis::onnx

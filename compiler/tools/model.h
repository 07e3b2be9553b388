// Models as verbs take them: a file, or standard input, with its dims bound.
#pragma once
#include "compiler/frontend/model_file.h"
#include "compiler/tools/tensor_args.h"
#include "ir/bind.h"
#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trellis {

/// The options that name a model: FILE, --dim, and --constant of verbs that ask for it.
class ModelOptions {
public:
  void declare(CLI::App &app);
  void declare_constants(CLI::App &app);
  /// Reads and verifies the graph, symbolic dims as they are. An ONNX file becomes the graph of one binding, by --dim and
  /// by the tensors in `given`. Inputs that --constant names are none any more.
  Model load(const std::map<std::string, Tensor> &given = {}, Reading reading = Reading::exact) const;
  /// For verbs that bind dims themselves.
  Model open() const;
  const std::string &path() const { return path_; }
  /// FILE is in ONNX's format.
  bool is_onnx() const { return trellis::is_onnx(path_); }
  /// --dim NAME=NUMBER, as given.
  Bindings dims() const;

private:
  std::string path_;
  std::vector<std::string> dims_;
  TensorArgs constants_;
};

/// The tensors that an ONNX file's import may build in or take dims from: those from files and those that are written out.
std::map<std::string, Tensor> seen_by_import(const ModelOptions &o, const TensorArgs &tensors,
                                             std::map<std::string, Tensor> files, bool steps = false,
                                             Literals which = Literals::known);

/// A copy of `g` with dims from --dim and, beyond those, from the inputs' types; `g` itself where it has no
/// symbols.
void resolve_dims(std::unique_ptr<Graph> &g, Bindings given, const std::map<std::string, Type> &inputs = {});

/// Refuses a model without values: none in its file, and no --weights.
void require_values(const Model &m, const std::string &weights);

/// Writes the graph to `path` (- for standard output). Constants above 64 bytes go to PATH's safetensors
/// neighbour; a path of .onnx gets standard ONNX.
void save(const Model &m, const std::string &path);

} // namespace trellis

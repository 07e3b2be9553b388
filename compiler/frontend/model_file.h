// Models as files, whatever their format: the project's text, with its large constants found beside it, and ONNX.
#pragma once
#include "compiler/data/counted.h"
#include "ir/bind.h"
#include "ir/parse.h"
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// How a model is read. `exact`: as it computes. `trainable`: as models are written here, for training_form and
/// inference_form to read, whatever mode of batch_norm and dropout the file says; a text says the same in both.
enum class Reading : uint8_t { exact, trainable };

/// The graph for one binding of the dims.
using Binder = std::function<std::unique_ptr<Graph>(const Bindings &dims, Reading reading)>;

/// A model and where its large constants came from.
struct Model {
  std::string path = {};
  std::unique_ptr<Graph> graph = {};         ///< where `bind` is not null: the inputs alone
  std::vector<NamedTensor> weights = {};     ///< that the file itself holds
  std::map<const void *, DataRef> data = {}; ///< by storage
  /// Of an open model, which is read anew for every binding of its dims; null: `graph` is whole, and bind_dims binds it.
  Binder bind = {};
  /// Names and types of the outputs of an open model; no type where the file does not say.
  std::vector<std::pair<std::string, std::optional<Type>>> outputs = {};
  std::vector<CountedOutput> counted = {}; ///< outputs whose number of elements depends on data

  /// For what binds dims again and again. `graph` must outlive it.
  Binder binder() const;
};

/// Parses and verifies a text; symbolic dims stay. `file` names it in messages, and data files are looked for
/// in `folder`. Throws CompileError.
Model parse_model(std::string_view text, const std::string &file, const std::string &folder);

struct LoadOptions {
  Bindings dims;                       ///< of an ONNX file
  std::map<std::string, Tensor> given; ///< inputs of an ONNX file: their shapes bind dims, their elements decide shapes
  Reading reading = Reading::exact;
};

/// Whether the path names an ONNX file, which an extension of .onnx says.
bool is_onnx(std::string_view path);
/// The model of a file. A text keeps its symbolic dims; an ONNX file becomes the graph of one binding, and a dim without
/// a number is a CompileError.
Model load_model(const std::string &path, const LoadOptions &options = {});
/// The same for binding later: an ONNX file gives an open model.
Model open_model(const std::string &path);

/// The graph as text. Constants that came from a data file are named where they lie; others are written
/// whole. Empty for an open model.
std::string text_of(const Model &m);

} // namespace trellis

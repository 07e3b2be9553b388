// Models as files: the text, with its large constants found beside it.
#pragma once
#include "compiler/data/named_tensor.h"
#include "ir/graph.h"
#include "ir/parse.h"
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// A model and where its large constants came from.
struct Model {
  std::string path;
  std::unique_ptr<Graph> graph;
  std::vector<NamedTensor> weights;     ///< that the file itself holds
  std::map<const void *, DataRef> data; ///< by storage
};

/// Parses and verifies a text; symbolic dims stay. `file` names it in messages, and data files are looked for
/// in `folder`. Throws CompileError.
Model parse_model(std::string_view text, const std::string &file, const std::string &folder);
/// The same from a file; its data files lie in its folder.
Model load_model(const std::string &path);

/// The graph as text. Constants that came from a data file are named where they lie; others are written
/// whole.
std::string text_of(const Model &m);

} // namespace trellis

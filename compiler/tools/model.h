// Models as verbs take them: a file, or standard input, with its dims bound and its large constants found
// beside it.
#pragma once
#include "compiler/data/safetensors.h"
#include "ir/bind.h"
#include "ir/parse.h"
#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trellis {

/// A model and where its large constants came from.
struct Model {
  std::string path;
  std::unique_ptr<Graph> graph;
  std::map<const void *, DataRef> data; ///< by storage
};

/// The options that name a model: FILE and --dim.
class ModelOptions {
public:
  void declare(CLI::App &app);
  /// Reads and verifies the graph, symbolic dims as they are.
  Model load() const;
  /// --dim NAME=NUMBER, as given.
  Bindings dims() const;

private:
  std::string path_;
  std::vector<std::string> dims_;
};

/// A copy of `g` with dims from --dim and, beyond those, from the inputs' types; `g` itself where it has no
/// symbols.
void resolve_dims(std::unique_ptr<Graph> &g, Bindings given, const std::map<std::string, Type> &inputs = {});

/// The graph as text. Constants that came from a data file are named where they lie; others are written
/// whole.
std::string text_of(const Model &m);
/// Writes the graph to `path` (- for standard output). Constants above 64 bytes go to PATH's safetensors
/// neighbour.
void save(const Model &m, const std::string &path);

} // namespace trellis

// Graph to text; the format is described in parse.h. parse(print(g)) gives g without its unreachable nodes,
// and print(parse(print(g))) == print(g).
#pragma once
#include "ir/graph.h"
#include "ir/parse.h"
#include <functional>
#include <string>
#include <string_view>

namespace trellis {

struct PrintOptions {
  /// Constants above this size are offered to `data`; without it every constant is written whole.
  int64_t inline_bytes = 64;
  /// Puts a constant into a data file and says where it lies. `name` is the value's name in the text, unique
  /// in the graph. Nothing: the constant is written whole.
  std::function<std::optional<DataRef>(const Tensor &, std::string_view name)> data;
};

std::string print(const Graph &g, const PrintOptions &options = {});
/// One node as a line of text, its operands by name or id: for messages.
std::string describe(const Node &n);

} // namespace trellis

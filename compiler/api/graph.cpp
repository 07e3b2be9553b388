// Graphs built node by node. They are kept as text: the parser is the one place that checks them.
#include "compiler/api/handle.h"
#include "ir/literal.h"
#include <algorithm>
#include <fmt/format.h>

using namespace trellis;
using namespace trellis::api;

struct trellis_graph {
  std::string name, inputs, outputs;
  std::string lines; ///< each with its end
};

namespace {

std::string quoted(const char *name, const char *what) {
  require(name, what);
  std::string_view s = name;
  bool plain = std::none_of(s.begin(), s.end(),
                            [](char c) { return c == '"' || c == '\\' || (unsigned char)(c) < ' ' || c == 0x7f; });
  if (s.empty() || !plain)
    throw Refused{TRELLIS_BAD_NAME,
                  fmt::format("{}: names are not empty, without quotes and control characters", what)};
  return fmt::format("%\"{}\"", s);
}

// Other text must stay inside its line, or it would end the statement.
std::string_view one_line(const char *text, const char *what) {
  require(text, what);
  std::string_view s = text;
  if (s.find_first_of("\r\n") != s.npos || s.find("//") != s.npos)
    throw Refused{TRELLIS_BAD_MODEL, fmt::format("{}: more than one line, or a comment", what)};
  return s;
}

template <class Body> trellis_status add(trellis_graph *graph, Body body) noexcept {
  if (!graph) return TRELLIS_BAD_POINTER;
  std::string text;
  return guarded(text, TRELLIS_BAD_MODEL, body);
}

} // namespace

trellis_status trellis_graph_create(const char *name, trellis_graph **graph) {
  if (graph) *graph = nullptr;
  std::string text;
  return guarded(text, TRELLIS_BAD_NAME, [&] {
    require(graph, "the pointer to the graph");
    require(name, "the name");
    std::string_view s = name;
    bool plain = !s.empty() && std::all_of(s.begin(), s.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!plain || (s[0] >= '0' && s[0] <= '9')) throw Refused{TRELLIS_BAD_NAME, "the name"};
    *graph = new trellis_graph{name, "", "", ""};
  });
}

void trellis_graph_destroy(trellis_graph *graph) { delete graph; }

trellis_status trellis_graph_input(trellis_graph *graph, const char *name, const char *type) {
  return add(graph, [&] {
    std::string text = fmt::format("{}: {}", quoted(name, "the input's name"), one_line(type, "the type"));
    graph->inputs += (graph->inputs.empty() ? "" : ", ") + text;
  });
}

trellis_status trellis_graph_param(trellis_graph *graph, const char *name, const char *type, const char *init) {
  return add(graph, [&] {
    std::string line = fmt::format("  param {} : {}", quoted(name, "the parameter's name"), one_line(type, "the type"));
    if (init) line += fmt::format(" init({})", one_line(init, "init"));
    graph->lines += line + "\n";
  });
}

trellis_status trellis_graph_node(trellis_graph *graph, const char *result, const char *op, const char *const *operands,
                                  uint32_t operand_count, const char *attributes) {
  return add(graph, [&] {
    std::string line = fmt::format("  {} = {}", quoted(result, "the result's name"), one_line(op, "the op"));
    if (operand_count > 0) require(operands, "operands");
    for (uint32_t i = 0; i < operand_count; ++i) {
      require(operands[i], "an operand");
      double number = 0;
      line += (i ? ", " : " ") + (parse_real(operands[i], number) ? operands[i] : quoted(operands[i], "an operand"));
    }
    if (attributes && *attributes)
      line += fmt::format("{}{}", operand_count ? ", " : " ", one_line(attributes, "attributes"));
    graph->lines += line + "\n";
  });
}

trellis_status trellis_graph_append(trellis_graph *graph, const char *statements) {
  return add(graph, [&] {
    require(statements, "the statements");
    graph->lines += fmt::format("  {}\n", statements);
  });
}

trellis_status trellis_graph_output(trellis_graph *graph, const char *value) {
  return add(graph, [&] {
    std::string text = quoted(value, "the output's name");
    graph->outputs += (graph->outputs.empty() ? "" : ", ") + text;
  });
}

trellis_status trellis_graph_model(const trellis_graph *graph, trellis_model **model, char *error, size_t error_bytes) {
  return create(model, error, error_bytes, [&] {
    require(graph, "the graph");
    return parse_model(fmt::format("trellis 1\ngraph @{}({}) {{\n{}  return {}\n}}\n", graph->name, graph->inputs,
                                   graph->lines, graph->outputs),
                       graph->name, "");
  });
}

#include "compiler/frontend/carry.h"
#include "compiler/frontend/state.h"
#include "ir/nearest.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

static Value data_input(const Graph &g, const Carry &c) {
  Value v = g.find_input(c.input);
  if (v && role_of(v) == "data") return v;
  std::vector<std::string_view> names;
  for (Value i : inputs_of_role(g, "data")) names.push_back(name_of_input(i));
  throw CompileError(g.location, fmt::format("carry {}={}: @{} has no input '{}'{}", c.output, c.input, g.name, c.input,
                                             did_you_mean(c.input, names)));
}

// A copy whose carried inputs are of role state.
static std::unique_ptr<Graph> with_states(const Graph &g, const std::vector<Carry> &carries) {
  for (size_t i = 0; i < carries.size(); ++i) {
    data_input(g, carries[i]);
    for (size_t k = 0; k < i; ++k)
      if (carries[k].input == carries[i].input)
        throw CompileError(g.location, fmt::format("carry {}={}: input '{}' is carried twice", carries[i].output,
                                                   carries[i].input, carries[i].input));
  }
  return copy_graph(g, [&](Graph &into, Value v) {
    std::string_view name = name_of_input(v);
    bool carried = std::any_of(carries.begin(), carries.end(), [&](const Carry &c) { return c.input == name; });
    return carried ? into.input(std::string(name), v.type(), "state", "zero") : same_input(into, v);
  });
}

std::unique_ptr<Graph> carry(const Graph &g, const std::vector<Carry> &carries) {
  std::unique_ptr<Graph> out = with_states(g, carries);
  for (const Carry &c : carries) {
    Value state = out->find_input(c.input), next;
    std::vector<std::string_view> names;
    for (const NamedValue &o : out->outputs) {
      names.push_back(o.name);
      if (o.name == c.output) next = o.value;
    }
    if (!next)
      throw CompileError(g.location, fmt::format("carry {}={}: @{} has no output '{}'{}", c.output, c.input, g.name,
                                                 c.output, did_you_mean(c.output, names)));
    if (next.type() != state.type())
      throw CompileError(next.node->loc, fmt::format("carry {}={}: the output is {}, but the input is {}", c.output,
                                                     c.input, next.type().str(), state.type().str()));
    out->updates.push_back({state, next});
  }
  return out;
}

void carry(Model &m, const std::vector<Carry> &carries) {
  if (!m.bind) {
    m.graph = carry(*m.graph, carries);
    return;
  }
  for (const Carry &c : carries)
    if (std::none_of(m.outputs.begin(), m.outputs.end(), [&](const auto &o) { return o.first == c.output; }))
      throw CompileError(m.graph->location,
                         fmt::format("carry {}={}: the model has no output '{}'", c.output, c.input, c.output));
  m.graph = with_states(*m.graph, carries);
  m.bind = [bind = std::move(m.bind), carries](const Bindings &dims, Reading reading) {
    return carry(*bind(dims, reading), carries);
  };
}

} // namespace trellis

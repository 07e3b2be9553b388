#include "compiler/frontend/state.h"
#include "compiler/executable.h"
#include "compiler/frontend/init.h"
#include "ir/build.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

std::string_view role_of(Value input) {
  const Attrs &a = input.node->attrs;
  return a.has(Attr::role) ? std::string_view(a.word(Attr::role)) : "data";
}
std::string_view name_of_input(Value input) { return input.node->attrs.word(Attr::name); }

Values inputs_of_role(const Graph &g, std::string_view role) {
  Values out;
  std::copy_if(g.inputs().begin(), g.inputs().end(), std::back_inserter(out),
               [&](Value v) { return role_of(v) == role; });
  return out;
}

std::vector<NamedTensor> initial_state(const Graph &g, uint64_t seed, std::span<const NamedTensor> have) {
  std::vector<NamedTensor> out;
  std::vector<Diagnostic> errors;
  for (Value v : g.inputs()) {
    if (role_of(v) == "data") continue;
    std::string name(name_of_input(v));
    if (find(have, name)) continue;
    try {
      out.push_back(
          {name, initial_value(v.node->attrs.get_or<std::string>(Attr::init, ""), v.type(), name, seed, v.node->loc)});
    } catch (const CompileError &e) {
      for (Diagnostic d : e.diagnostics())
        d.text = fmt::format("'{}': {}", name, d.text), errors.push_back(std::move(d));
    }
  }
  if (!errors.empty()) throw CompileError(std::move(errors));
  return out;
}

std::vector<NamedTensor> match_state(const Graph &g, std::span<const NamedTensor> from, const std::string &source,
                                     bool only_parameters) {
  std::vector<NamedTensor> out;
  Location at{std::make_shared<const std::string>(source), 0, 0, ""};
  auto fail = [&](const std::string &why) {
    throw CompileError(at, fmt::format("holds another model than '{}': {}", g.name, why));
  };
  for (Value v : g.inputs()) {
    if (role_of(v) == "data" || (only_parameters && role_of(v) != "param")) continue;
    std::string name(name_of_input(v));
    const Tensor *t = find(from, name);
    if (!t) fail(fmt::format("'{}' ({}) is missing", name, v.type().str()));
    if (t->type() != v.type()) fail(fmt::format("'{}' is {}, but must be {}", name, t->type().str(), v.type().str()));
    out.push_back({name, *t});
  }
  for (const NamedTensor &t : from) {
    Value v = g.find_input(t.name);
    if ((!v && !only_parameters) || (v && role_of(v) == "data"))
      fail(fmt::format("it has a tensor '{}', which the model has not", t.name));
  }
  return out;
}

std::vector<NamedTensor> weights_for(const Graph &g, const SafeTensors &file, const std::string &path) {
  std::string optimiser;
  if (const std::string *text = file.find_metadata("optimizer")) optimiser = text->substr(0, text->find(':')) + ".";
  std::vector<NamedTensor> own;
  for (const NamedTensor &t : file.tensors)
    if (g.find_input(t.name) || (t.name != kDropoutSeed && (optimiser.empty() || !t.name.starts_with(optimiser))))
      own.push_back(t);
  return match_state(g, own, path);
}

void set_states(Session &s, std::span<const NamedTensor> values) {
  for (const NamedTensor &t : values)
    if (trellis_state_find(&s.executable().program(), t.name.c_str()) >= 0) s.set_state(t.name, t.tensor);
}

} // namespace trellis

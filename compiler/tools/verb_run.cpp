// trellis run: evaluates a model once.
#include "compiler/frontend/state.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/tensor_args.h"
#include "compiler/tools/verbs.h"
#include "ir/eval.h"
#include "ir/nearest.h"
#include <fmt/format.h>
#include <memory>

namespace trellis {

namespace {

struct RunOptions {
  ModelOptions model;
  TensorArgs tensors;
  CodeArgs code;
  WeightArgs weights;
  bool interpret = false;
};

// The outputs that are asked for: any value that has a name.
void choose_outputs(Graph &g, const TensorArgs &tensors) {
  std::vector<NamedValue> all = g.outputs, shown;
  auto add = [&](const std::string &name, const char *option) {
    for (const NamedValue &o : shown)
      if (o.name == name) return;
    Value v;
    for (const NamedValue &o : all)
      if (o.name == name) v = o.value;
    if (!v) v = g.find_name(name);
    if (!v) v = g.find_input(name);
    if (!v) {
      std::vector<std::string_view> names;
      for (const NamedValue &o : all) names.push_back(o.name);
      for (const Node *n : g.reachable())
        for (uint32_t i = 0; i < n->types.size(); ++i)
          if (std::string_view s = g.name_of(n->result(i)); !s.empty()) names.push_back(s);
      throw CompileError(fmt::format("{} {}: graph @{} has no value of this name{}", option, name, g.name,
                                     did_you_mean(name, names)));
    }
    shown.push_back({name, v});
  };
  for (const std::string &name : tensors.shown()) add(name, "--outputs");
  if (shown.empty()) shown = all;
  for (const std::string &name : tensors.written()) {
    bool state = false;
    for (const Update &u : g.updates) state |= name_of_input(u.state) == name;
    if (!state) add(name, "--output");
  }
  g.outputs = std::move(shown);
}

// Outputs, then the successors of state.
std::vector<NamedTensor> interpret(const Graph &g, const std::map<std::string, Tensor> &inputs) {
  std::vector<Tensor> updates, outputs = evaluate(g, inputs, &updates);
  std::vector<NamedTensor> results;
  for (size_t i = 0; i < outputs.size(); ++i) results.push_back({g.outputs[i].name, outputs[i]});
  for (size_t i = 0; i < updates.size(); ++i)
    results.push_back({std::string(name_of_input(g.updates[i].state)), updates[i]});
  return results;
}

std::vector<NamedTensor> run_compiled(const Graph &g, const std::map<std::string, Tensor> &inputs,
                                      const CodeArgs &code) {
  Session session(compile(g, code.options()), code.threads());
  std::vector<NamedTensor> data;
  for (const auto &[name, t] : inputs) {
    Value v = g.find_input(name);
    if (v && role_of(v) != "data")
      session.set_state(name, t);
    else
      data.push_back({name, t});
  }
  std::vector<NamedTensor> results = session.run(std::span<const NamedTensor>(data));
  for (const Update &u : g.updates) {
    std::string name(name_of_input(u.state));
    results.push_back({name, session.state(name)});
  }
  return results;
}

} // namespace

void add_run(Driver &d) {
  auto o = std::make_shared<RunOptions>();
  CLI::App *app = d.app.add_subcommand("run", "Evaluate a model once");
  o->model.declare(*app);
  o->tensors.declare(*app);
  o->weights.declare(*app);
  o->code.declare(*app);
  app->add_flag("--interpret", o->interpret, "by the reference interpreter instead of compiled code");
  app->callback([&d, o] {
    d.chosen = [o] {
      o->code.threads(); // a wrong number is said first
      std::map<std::string, Tensor> inputs = o->tensors.files();
      Model m = o->model.load(inputs);
      if (!o->model.is_onnx()) resolve_dims(m.graph, o->model.dims(), o->tensors.types(*m.graph, inputs));
      o->tensors.add_literals(*m.graph, inputs);
      std::set<std::string> given;
      for (const auto &[name, t] : inputs) given.insert(name);
      for (NamedTensor &t : o->weights.values(*m.graph, m.weights, given)) inputs.emplace(t.name, std::move(t.tensor));
      choose_outputs(*m.graph, o->tensors);
      o->tensors.write(o->interpret ? interpret(*m.graph, inputs) : run_compiled(*m.graph, inputs, o->code));
    };
  });
}

} // namespace trellis

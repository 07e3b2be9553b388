// trellis run: evaluates a model once.
#include "compiler/frontend/state.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/stream_args.h"
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
  StreamArgs stream;
  bool interpret = false;
};

// The outputs that are asked for: any value that has a name.
void choose_outputs(Graph &g, const TensorArgs &tensors, const std::vector<CountedOutput> &counted) {
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
      throw CompileError(
          fmt::format("{} {}: graph @{} has no value of this name{}", option, name, g.name, did_you_mean(name, names)));
    }
    shown.push_back({name, v});
  };
  auto add_counted = [&](const std::string &name, const char *option) {
    add(name, option);
    for (const CountedOutput &c : counted)
      if (c.output == name) add(c.count, option);
  };
  for (const std::string &name : tensors.shown()) add_counted(name, "--outputs");
  if (shown.empty()) shown = all;
  for (const std::string &name : tensors.written()) {
    bool state = false;
    for (const Update &u : g.updates) state |= name_of_input(u.state) == name;
    if (!state) add_counted(name, "--output");
  }
  g.outputs = std::move(shown);
}

// What is not stacked over the steps: state.
using LastOnly = std::function<bool(const std::string &)>;

// Outputs, then the successors of state.
std::vector<NamedTensor> interpret(const Graph &g, const Sequence &sequence, const LastOnly &last) {
  std::map<std::string, Tensor> state;
  auto step = [&](std::map<std::string, Tensor> inputs) {
    for (const auto &[name, t] : state) inputs[name] = t;
    std::vector<Tensor> updates, outputs = evaluate(g, inputs, &updates);
    std::vector<NamedTensor> results;
    for (size_t i = 0; i < outputs.size(); ++i) results.push_back({g.outputs[i].name, outputs[i]});
    for (size_t i = 0; i < updates.size(); ++i) {
      std::string name(name_of_input(g.updates[i].state));
      results.push_back({name, updates[i]});
      state[name] = updates[i];
    }
    return results;
  };
  return run_steps(sequence, step, last);
}

std::vector<NamedTensor> run_compiled(const Graph &g, Sequence sequence, const LastOnly &last, const CodeArgs &code) {
  Session session(compile(g, code.options()), code.threads());
  for (auto it = sequence.fixed.begin(); it != sequence.fixed.end();) {
    Value v = g.find_input(it->first);
    bool state = v && role_of(v) != "data";
    if (state) session.set_state(it->first, it->second);
    it = state ? sequence.fixed.erase(it) : std::next(it);
  }
  auto step = [&](const std::map<std::string, Tensor> &inputs) {
    std::vector<NamedTensor> data;
    for (const auto &[name, t] : inputs) data.push_back({name, t});
    std::vector<NamedTensor> results = session.run(std::span<const NamedTensor>(data));
    for (const Update &u : g.updates) {
      std::string name(name_of_input(u.state));
      results.push_back({name, session.state(name)});
    }
    return results;
  };
  return run_steps(sequence, step, last);
}

// The model for the inputs that are given. Of sequences an ONNX file's import sees the dims of a step alone.
Model load_for(const RunOptions &o, const std::map<std::string, Tensor> &given) {
  if (!o.model.is_onnx() || !o.stream.any()) return o.model.load(given);
  Model declared = o.model.open();
  Sequence s = split_steps(*declared.graph, given);
  std::map<std::string, Type> types;
  for (const auto &[name, t] : s.stepped) types[name] = {t.dtype(), shape_of({t.dims().begin() + 1, t.dims().end()})};
  Bindings dims = o.model.dims();
  for (const auto &[name, n] : bindings_of(*declared.graph, types))
    if (auto [it, fresh] = dims.emplace(name, n); !fresh && it->second != n)
      throw CompileError(fmt::format("dim '{}' is {} by --dim, but {} by the inputs", name, it->second, n));
  return load_model(o.model.path(), {dims, s.fixed, Reading::exact});
}

void run(RunOptions &o) {
  o.code.threads(); // a wrong number is said first
  std::map<std::string, Tensor> inputs = o.tensors.files();
  Model m = load_for(o, seen_by_import(o.model, o.tensors, inputs, o.stream.any()));
  bool steps = o.stream.any() || !m.graph->updates.empty();
  if (!o.model.is_onnx()) {
    std::map<std::string, Type> types = o.tensors.types(*m.graph, inputs, steps);
    if (steps)
      for (auto &[name, t] : types)
        if (Value v = m.graph->find_input(name); v && t.rank() == v.rank() + 1) t.shape.erase(t.shape.begin());
    resolve_dims(m.graph, o.model.dims(), types);
  }
  o.weights.scale_samples(m.graph);
  o.stream.apply(m.graph);
  o.tensors.add_literals(*m.graph, inputs, steps);
  std::set<std::string> given;
  for (const auto &[name, t] : inputs) given.insert(name);
  Sequence sequence = steps ? split_steps(*m.graph, std::move(inputs)) : Sequence{std::move(inputs), {}, 1};
  for (NamedTensor &t : o.weights.values(*m.graph, m.weights, given))
    sequence.fixed.emplace(t.name, std::move(t.tensor));
  choose_outputs(*m.graph, o.tensors, m.counted);
  LastOnly last = [&](const std::string &name) {
    for (const Update &u : m.graph->updates)
      if (name_of_input(u.state) == name) return true;
    return false;
  };
  bool single = sequence.single(); // steps are stacked whole, beside their counts
  std::vector<NamedTensor> results =
      o.interpret ? interpret(*m.graph, sequence, last) : run_compiled(*m.graph, sequence, last, o.code);
  if (single) cut_to_counts(results, m.counted);
  o.tensors.write(results);
}

} // namespace

void add_run(Driver &d) {
  auto o = std::make_shared<RunOptions>();
  CLI::App *app = d.app.add_subcommand(
      "run",
      "Evaluate a model once, or a stateful one over a sequence: with --carry, or a model that has state, an input "
      "with "
      "one dim more than the model's holds a step for each index of its first axis. Outputs are stacked likewise; "
      "state is shown as the last step leaves it.");
  o->model.declare(*app);
  o->tensors.declare(*app);
  o->weights.declare(*app);
  o->stream.declare(*app);
  o->code.declare(*app);
  app->add_flag("--interpret", o->interpret, "by the reference interpreter instead of compiled code");
  app->callback([&d, o] { d.chosen = [o] { run(*o); }; });
}

} // namespace trellis

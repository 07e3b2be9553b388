#include "compiler/frontend/training.h"
#include "compiler/frontend/losses.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/training_form.h"
#include "passes/autodiff.h"
#include "passes/pass.h"
#include <fmt/format.h>
#include <utility>

namespace trellis {

namespace {

struct Loss {
  Value loss, logits, target; ///< logits and target are null where they are not known
  bool classes = false;       ///< logits are those of a cross-entropy, else what is compared with the target
};

std::string output_list(const Graph &g) {
  std::string out;
  for (const NamedValue &o : g.outputs)
    out += fmt::format("{}'{}' ({})", out.empty() ? "" : ", ", o.name, o.value.type().str());
  return out.empty() ? "none" : out;
}

// The op of a loss that the value is, or is a scaled or reduced form of: it says what is compared with what.
const Node *loss_op_behind(Value loss) {
  for (const Node *n = loss.node; n; n = n->operands.empty() ? nullptr : n->operands[0].node)
    if (n->op == Op::cross_entropy || n->op == Op::mse || n->op == Op::bce_with_logits)
      return n;
    else if (n->op != Op::reduce && n->op != Op::mul && n->op != Op::div && n->op != Op::cast && n->op != Op::reshape)
      return nullptr;
  return nullptr;
}

// The model's own loss: its one floating-point scalar output.
Loss own_loss(const Graph &g) {
  Loss out;
  for (const NamedValue &o : g.outputs)
    if (is_float(o.value.dtype()) && o.value.rank() == 0) {
      if (out.loss)
        throw CompileError(g.location,
                           fmt::format("'{}' has several scalar outputs: {}: a training graph needs one, the loss",
                                       g.name, output_list(g)));
      out.loss = o.value;
    }
  if (!out.loss) return out;
  if (const Node *n = loss_op_behind(out.loss)) {
    out.logits = n->operands[0], out.target = n->operands[1];
    out.classes = n->op == Op::cross_entropy;
    // A squared difference has no order of its own.
    auto is_data = [](Value v) { return v.node->op == Op::input && role_of(v) == "data"; };
    if (n->op == Op::mse && is_data(out.logits) && !is_data(out.target)) std::swap(out.logits, out.target);
  }
  return out;
}

Loss find_loss(Graph &g, const LossOptions &options) {
  if (options.loss.empty()) {
    Loss out = own_loss(g);
    if (!out.loss)
      throw CompileError(
          g.location,
          fmt::format("'{}' has no scalar output to train on (outputs: {}): name a loss, e.g. cross_entropy", g.name,
                      output_list(g)));
    return out;
  }
  Value y;
  for (const NamedValue &o : g.outputs)
    if (!y && (options.output.empty() || o.name == options.output)) y = o.value;
  if (!y)
    throw CompileError(
        g.location, fmt::format("'{}' has no output '{}': its outputs are {}", g.name, options.output, output_list(g)));
  LocationScope at(g, y.node->loc);
  Type type = target_type(options.loss, y.type());
  bool classes = options.loss == "cross_entropy";
  std::string name = classes ? "label" : "target";
  if (g.find_input(name))
    throw CompileError(
        g.find_input(name).node->loc,
        fmt::format("the name '{}' is needed for the loss's input, but the model has an input of that name", name));
  Value target = g.input(name, type);
  return {loss_of(options.loss, y, target), y, target, classes};
}

void require_bound(const Graph &g) {
  for (const Node *n : g.reachable())
    for (const Type &t : n->types)
      if (!is_static(t.shape))
        throw CompileError(
            n->loc, fmt::format("'{}' has the type {}: bind every dim first, e.g. --dim N=64",
                                n->op == Op::input ? n->attrs.word(Attr::name) : std::string(n->info().name), t.str()));
}

// Integer targets of a classification count right answers.
void add_correct(Graph &g, const Loss &l) {
  if (l.classes) g.outputs.push_back({"correct", count_correct(l.logits, l.target)});
}

} // namespace

std::unique_ptr<Graph> make_training_graph(const Graph &model, const TrainingOptions &options) {
  require_bound(model);
  GraphPtr g = training_form(model);
  Loss l = find_loss(*g, options);
  Values params = inputs_of_role(*g, "param");
  if (params.empty()) throw CompileError(g->location, fmt::format("'{}' has no parameters to train", g->name));
  Values grads = gradients(l.loss, params);
  for (size_t i = 0; i < params.size(); ++i)
    if (!grads[i]) check_differentiable(l.loss, params[i]);
  g->outputs = {{"loss", l.loss}};
  add_correct(*g, l);
  if (options.logits && l.logits) g->outputs.push_back({"logits", l.logits});
  if (options.gradients)
    for (size_t i = 0; i < params.size(); ++i)
      g->outputs.push_back({fmt::format("grad.{}", name_of_input(params[i])), dense(grads[i], params[i])});
  add_optimiser(options.optimiser, params, grads);
  return g;
}

std::unique_ptr<Graph> make_evaluation_graph(const Graph &model, const LossOptions &options) {
  require_bound(model);
  GraphPtr g = inference_form(model);
  Loss l = find_loss(*g, options);
  g->outputs.clear();
  if (l.logits) g->outputs.push_back({"logits", l.logits});
  g->outputs.push_back({"loss", l.loss});
  add_correct(*g, l);
  return g;
}

std::unique_ptr<Graph> make_inference_graph(const Graph &original) {
  GraphPtr model = inference_form(original);
  if (model->outputs.size() == 1)
    if (Loss l = own_loss(*model); l.logits) model->outputs = {{l.classes ? "logits" : "prediction", l.logits}};
  model->updates.clear();
  std::vector<bool> needed = needed_by(*model, model->outputs);
  return copy_graph(*model, [&](Graph &into, Value v) { return needed[v.node->id] ? same_input(into, v) : Value{}; });
}

} // namespace trellis

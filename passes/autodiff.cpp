#include "passes/autodiff.h"
#include "ir/build.h"
#include "ir/vjp.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

static std::string describe(Value v) {
  std::string_view name = v.graph().name_of(v);
  return name.empty() ? fmt::format("the result of '{}'", v.node->info().name) : fmt::format("%{}", name);
}

Values gradients(Value y, const Values &wrt, Value seed) {
  const Location &at = y.node->loc;
  if (!is_float(y.dtype()))
    throw CompileError(at, fmt::format("gradient: {} is {}, but must be floating-point", describe(y), y.type().str()));
  for (Value x : wrt)
    if (!is_float(x.dtype()))
      throw CompileError(x.node->loc, fmt::format("gradient: {} is {}: integers and bools have no derivative",
                                                  describe(x), x.type().str()));
  if (!seed) {
    if (y.type().size() != 1)
      throw CompileError(at, fmt::format("gradient: {} is {}, but must have one element (reduce it, or give a seed)",
                                         describe(y), y.type().str()));
    seed = y.graph().splat(y.type(), 1);
  }
  if (seed.type() != y.type())
    throw CompileError(
        at, fmt::format("gradient: the seed is {}, but {} is {}", seed.type().str(), describe(y), y.type().str()));
  return pull_back({{y, seed}}, wrt, false);
}

Value dense(Value cotangent, Value like) { return cotangent ? cotangent : like.graph().splat(like.type(), 0); }

void check_differentiable(Value y, Value x) {
  struct State {
    bool smooth = false;         // a differentiable path leads to y
    const Node *block = nullptr; // on some other path: the row without a derivative that is nearest to y
  };
  std::unordered_map<const Node *, State> state{{y.node, {true, nullptr}}};
  std::vector<const Node *> order, stack{y.node};
  std::unordered_map<const Node *, bool> seen{{y.node, true}};
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    order.push_back(n);
    for (Value v : n->operands)
      if (seen.try_emplace(v.node, true).second) stack.push_back(v.node);
  }
  std::sort(order.begin(), order.end(), [](const Node *a, const Node *b) { return a->id > b->id; });
  for (const Node *n : order) {
    State s = state[n];
    if (n == x.node && s.smooth) return;
    bool passes = s.smooth && !n->info().no_gradient;
    for (Value v : n->operands) {
      State &to = state[v.node];
      if (!is_float(v.dtype())) continue;
      if (passes)
        to.smooth = true;
      else if (!to.block)
        to.block = s.block ? s.block : n;
    }
  }
  if (!seen.count(x.node) || x.node == y.node) return;
  if (const Node *block = state[x.node].block)
    throw CompileError(block->loc, fmt::format("gradient: {} depends on {} only through '{}', which has no derivative",
                                               describe(y), describe(x), block->info().name));
}

Value jvp(Value y, const Values &wrt, const Values &tangents) {
  TRELLIS_CHECK(wrt.size() == tangents.size(), "jvp needs a tangent for each value");
  Graph &g = y.graph();
  // A leaf that nothing else is interned to. The vjp is linear in it, so it does not stand in the result.
  Value seed = g.make(
      Op::input, {},
      {{Attr::name, fmt::format("jvp.seed.{}", g.node_count())}, {Attr::dtype, y.dtype()}, {Attr::shape, y.shape()}});
  Values back = gradients(y, wrt, seed);
  std::vector<Cotangent> along;
  for (size_t i = 0; i < wrt.size(); ++i)
    if (back[i]) along.push_back({back[i], tangents[i]});
  return along.empty() ? Value{} : pull_back(along, {seed}, true)[0];
}

Values hvp(Value y, const Values &wrt, const Values &vectors) {
  TRELLIS_CHECK(wrt.size() == vectors.size(), "hvp needs a vector for each value");
  Values first = gradients(y, wrt);
  std::vector<Cotangent> along;
  for (size_t i = 0; i < wrt.size(); ++i)
    if (first[i]) along.push_back({first[i], vectors[i]});
  return pull_back(along, wrt, false);
}

void grad(Graph &g, const std::string &of, const std::vector<std::string> &wrt) {
  auto scalar = [](Value v) { return is_static(v.shape()) && v.type().size() == 1 && is_float(v.dtype()); };
  Value y;
  std::string names, scalars;
  for (const NamedValue &o : g.outputs) {
    names += (names.empty() ? "" : ", ") + o.name;
    if (of.empty() ? scalar(o.value) : o.name == of) {
      if (y)
        throw CompileError(g.location, fmt::format("grad: several outputs are scalar; name one of them: {}", names));
      y = o.value;
    }
  }
  if (!y)
    throw CompileError(g.location, of.empty()
                                       ? fmt::format("grad: no output is a floating-point scalar (outputs: {})", names)
                                       : fmt::format("grad: there is no output '{}' (outputs: {})", of, names));
  Values xs;
  for (const std::string &name : wrt) {
    Value x = g.find_input(name);
    if (!x) throw CompileError(g.location, fmt::format("grad: there is no input '{}'", name));
    xs.push_back(x);
  }
  if (wrt.empty())
    for (Value v : g.inputs())
      if (v.node->attrs.get_or<std::string>(Attr::role, "data") == "param" && is_float(v.dtype())) xs.push_back(v);
  if (xs.empty())
    throw CompileError(g.location, "grad: the graph has no parameter: name the inputs, e.g. grad(loss, x)");
  Values dxs = gradients(y, xs);
  for (size_t i = 0; i < xs.size(); ++i) {
    if (!dxs[i]) check_differentiable(y, xs[i]);
    std::string name = "grad." + xs[i].node->attrs.word(Attr::name);
    for (const NamedValue &o : g.outputs)
      if (o.name == name)
        throw CompileError(g.location, fmt::format("grad: the graph has an output '{}' already", name));
    Value dx = dense(dxs[i], xs[i]);
    g.set_name(dx, name);
    g.outputs.push_back({name, dx});
  }
}

} // namespace trellis

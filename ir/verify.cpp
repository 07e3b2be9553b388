#include "ir/verify.h"
#include "ir/print.h"
#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

namespace trellis {

namespace {
class Verifier {
public:
  std::vector<Diagnostic> run(const Graph &g, bool body) {
    std::vector<const Node *> nodes = g.reachable();
    std::unordered_map<size_t, std::vector<const Node *>> seen;
    for (const Node *n : nodes) {
      node(g, *n);
      size_t h = n->attrs.hash() * 31 + size_t(n->op);
      for (Value v : n->operands) h = (h ^ (v ? v.node->id : 0)) * 0x9E3779B97F4A7C15ull;
      for (const Node *o : seen[h])
        if (equal(*n, *o)) fail(*n, fmt::format("the same as node {}", o->id));
      seen[h].push_back(n);
    }
    inputs(g, nodes);
    outputs(g, body);
    updates(g);
    if (body && !g.updates.empty()) fail(g.location, fmt::format("body @{} has updates", g.name));
    for (Value v : g.inputs())
      if (body && v.node->attrs.has(Attr::role))
        fail(*v.node, fmt::format("body @{} has a parameter or state", g.name));
    return std::move(errors_);
  }

private:
  void fail(const Location &at, std::string text) {
    errors_.push_back({.where = at, .text = "verify: " + std::move(text), .source_line = {}});
  }
  void fail(const Node &n, const std::string &text) { fail(n.loc, fmt::format("{} (in: {})", text, describe(n))); }

  static bool equal(const Node &a, const Node &b) {
    return a.op == b.op && a.attrs == b.attrs && a.bodies == b.bodies && a.operands.size() == b.operands.size() &&
           std::equal(a.operands.begin(), a.operands.end(), b.operands.begin(),
                      [](Value x, Value y) { return x.is(y); });
  }

  void node(const Graph &g, const Node &n) {
    if (n.graph != &g) return fail(n, "a node of another graph");
    for (Value v : n.operands) {
      if (!v) return fail(n, "an operand is absent");
      if (v.node->graph != &g) return fail(n, "an operand of another graph");
      if (v.node->id >= n.id) return fail(n, "an operand that does not come before its user");
      if (v.index >= v.node->types.size())
        return fail(n, fmt::format("operand is result {} of a node that has {}", v.index, v.node->types.size()));
    }
    if (n.info().commutative && n.operands.size() == 2) {
      auto rank = [&](size_t i) { return std::pair(n.operands[i].node->id, n.operands[i].index); };
      if (rank(1) < rank(0)) fail(n, "operands of a commutative op are not in order");
    }
    for (const auto &b : n.bodies) {
      if (!b) return fail(n, "a body is absent");
      std::vector<Diagnostic> inner = Verifier().run(*b, true);
      errors_.insert(errors_.end(), inner.begin(), inner.end());
    }
    try {
      Attrs attrs = n.attrs;
      std::vector<Type> types = infer(n.op, n.operands, attrs, n.bodies, n.loc);
      if (!(attrs == n.attrs)) fail(n, "attributes are not canonical");
      if (types != n.types) fail(n, "types are not what the shape rule gives");
    } catch (const CompileError &e) {
      for (const Diagnostic &d : e.diagnostics()) fail(n, d.text);
    }
  }

  void inputs(const Graph &g, const std::vector<const Node *> &nodes) {
    std::unordered_set<std::string> names;
    for (Value v : g.inputs()) {
      if (v.node->op != Op::input)
        fail(*v.node, "a declared input that is none");
      else if (!names.insert(v.node->attrs.word(Attr::name)).second)
        fail(*v.node, "two inputs have one name");
    }
    for (const Node *n : nodes)
      if (n->op == Op::input && !g.find_input(n->attrs.word(Attr::name)).is(n->result()))
        fail(*n, "an input that is not declared");
  }

  void outputs(const Graph &g, bool body) {
    std::unordered_set<std::string> names;
    for (const NamedValue &o : g.outputs)
      if (!o.value || &o.value.graph() != &g)
        fail(g.location, fmt::format("output '{}' of @{} is no value of it", o.name, g.name));
      else if (!body && !o.name.empty() && !names.insert(o.name).second)
        fail(*o.value.node, fmt::format("two outputs are named '{}'", o.name));
  }

  void updates(const Graph &g) {
    std::unordered_set<const Node *> updated;
    for (const Update &u : g.updates) {
      if (!u.state || !u.next || &u.state.graph() != &g || &u.next.graph() != &g) {
        fail(g.location, fmt::format("an update of @{} is of no values of it", g.name));
        continue;
      }
      const Node &n = *u.state.node;
      if (n.op != Op::input || !n.attrs.has(Attr::role))
        fail(n, "an update of what is neither a parameter nor a state");
      if (!(u.state.type() == u.next.type())) fail(n, fmt::format("an update by a {}", u.next.type().str()));
      if (!updated.insert(&n).second) fail(n, "two updates");
    }
  }

  std::vector<Diagnostic> errors_;
};
} // namespace

void verify(const Graph &g) {
  std::vector<Diagnostic> errors = Verifier().run(g, false);
  if (!errors.empty()) throw CompileError(std::move(errors));
}

} // namespace trellis

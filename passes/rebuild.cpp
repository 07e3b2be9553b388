#include "passes/pass.h"

namespace trellis {

namespace {
using Body = std::shared_ptr<const Graph>;

class Rebuilder {
public:
  explicit Rebuilder(const NodeRewrite &rewrite) : rewrite_(rewrite) {}

  GraphPtr run(const Graph &g) {
    auto into = std::make_unique<Graph>(g.name);
    into->location = g.location;
    ValueMap map;
    for (Value v : g.inputs()) {
      const Attrs &a = v.node->attrs;
      LocationScope at(*into, v.node->loc);
      map[v.node] = {into->input(a.word(Attr::name), v.type(), a.get_or<std::string>(Attr::role, "data"),
                                 a.get_or<std::string>(Attr::init, ""))};
    }
    for (const Node *n : g.reachable()) {
      if (map.count(n)) continue;
      LocationScope at(*into, n->loc);
      Values operands, results;
      for (Value v : n->operands) operands.push_back(map.at(v.node)[v.index]);
      std::vector<Body> bodies;
      for (const Body &b : n->bodies) bodies.push_back(body(b));
      const Node *copy = into->node(n->op, std::move(operands), n->attrs, std::move(bodies));
      results = rewrite_(*copy);
      if (results.empty())
        for (uint32_t i = 0; i < copy->types.size(); ++i) results.push_back(copy->result(i));
      TRELLIS_CHECK(results.size() == n->types.size(), "a rewrite gives another number of results");
      for (uint32_t i = 0; i < results.size(); ++i)
        if (std::string_view name = g.name_of(n->result(i)); !name.empty()) into->set_name(results[i], name);
      map.emplace(n, std::move(results));
    }
    auto mapped = [&](Value v) { return v ? map.at(v.node)[v.index] : Value{}; };
    for (const NamedValue &o : g.outputs) into->outputs.push_back({o.name, mapped(o.value)});
    for (const Update &u : g.updates) into->updates.push_back({mapped(u.state), mapped(u.next)});
    return into;
  }

private:
  Body body(const Body &b) {
    Body &copy = bodies_[b.get()];
    if (!copy) copy = run(*b);
    return copy;
  }

  const NodeRewrite &rewrite_;
  std::unordered_map<const Graph *, Body> bodies_;
};
} // namespace

GraphPtr rebuild(const Graph &g, const NodeRewrite &rewrite) { return Rebuilder(rewrite).run(g); }

} // namespace trellis

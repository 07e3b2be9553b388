#include "ir/graph.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

static bool matches(TypeClass c, DType t) {
  switch (c) {
  case TypeClass::any: return true;
  case TypeClass::floating: return is_float(t);
  case TypeClass::numeric: return t != DType::boolean;
  case TypeClass::integer: return is_integer(t);
  case TypeClass::boolean: return t == DType::boolean;
  case TypeClass::integral_or_bool: return !is_float(t);
  }
  return false;
}

static const char *describe(TypeClass c) {
  static constexpr const char *kText[] = {"any", "floating-point", "numeric", "integer", "bool", "integer or bool"};
  return kText[int(c)];
}

void Infer::fail(const std::string &text) const {
  throw CompileError(loc, fmt::format("{}: {}", trellis::name(op), text));
}

int64_t Infer::axis(int64_t a, int rank) const {
  if (a < -rank || a >= rank)
    fail(fmt::format("axis {} is out of range for rank {}: give {} to {}", a, rank, -rank, rank - 1));
  return a < 0 ? a + rank : a;
}

// What holds for every op: number of operands, attributes, dtypes; elementwise rows also share their shape rule.
static void check_row(const OpInfo &row, Infer &c) {
  size_t n = c.operands.size();
  size_t most = size_t(row.arity + row.optional);
  if (row.arity < 0)
    c.require(n > 0, "takes one or more operands");
  else if (n < size_t(row.arity) || n > most)
    c.fail(fmt::format("takes {}{} operand{}, {} given", row.arity, row.optional ? fmt::format(" to {}", most) : "",
                       most == 1 ? "" : "s", n));
  for (const auto &[a, v] : c.attrs.all()) {
    if (std::any_of(row.attrs.begin(), row.attrs.end(), [&](const AttrSpec &s) { return s.attr == a; })) continue;
    std::string known;
    for (const AttrSpec &s : row.attrs) known += (known.empty() ? "" : ", ") + std::string(name(s.attr));
    c.fail(fmt::format("has no attribute '{}'{}", name(a), known.empty() ? "" : "; its attributes are: " + known));
  }
  // Products of two entries then fit in 64 bits, so shape rules need not look for overflow.
  constexpr int64_t kFarthest = int64_t(1) << 31;
  auto bound = [&](Attr a, int64_t v) {
    c.require(v >= -kFarthest && v <= kFarthest, fmt::format("attribute '{}' holds {}, beyond 2^31", name(a), v));
  };
  for (const auto &[a, v] : c.attrs.all()) {
    if (const auto *list = std::get_if<std::vector<int64_t>>(&v))
      for (int64_t e : *list) bound(a, e);
    if (const auto *one = std::get_if<int64_t>(&v); one && a != Attr::trips && a != Attr::label) bound(a, *one);
  }
  for (const AttrSpec &s : row.attrs)
    if (s.required && !c.attrs.has(s.attr)) c.fail(fmt::format("attribute '{}' is missing", name(s.attr)));
  for (size_t i = 0; i < n; ++i) {
    if (!matches(row.type, c.x(i).dtype))
      c.fail(fmt::format("operand {} is {}, but must be {}", i + 1, c.x(i).str(), describe(row.type)));
    if (!row.mixed && row.kind != OpKind::movement && c.x(i).dtype != c.x(0).dtype)
      c.fail(fmt::format("operands differ in dtype: {} and {}", c.x(0).str(), c.x(i).str()));
  }
}

static void infer_elementwise(const OpInfo &row, Infer &c) {
  for (size_t i = 1; i < c.operands.size(); ++i) {
    bool ok = c.x(i).rank() == c.x(0).rank();
    for (int d = 0; ok && d < c.x(0).rank(); ++d) ok = compatible(c.x(i).shape[size_t(d)], c.x(0).shape[size_t(d)]);
    if (!ok) c.fail(fmt::format("operands differ in shape: {} and {}", c.x(0).str(), c.x(i).str()));
  }
  DType t = c.x(0).dtype;
  bool defined = row.interpret || row.expand || (is_float(t) ? row.eval.f != nullptr : row.eval.i != nullptr);
  c.require(defined, fmt::format("is not defined for {}", name(t)));
  // A dim that one operand does not know, another may.
  Shape shape = c.x(0).shape;
  for (size_t i = 1; i < c.operands.size(); ++i)
    for (size_t d = 0; d < shape.size(); ++d)
      if (shape[d].is_unknown()) shape[d] = c.x(i).shape[d];
  c.result(row.result_bool ? DType::boolean : t, std::move(shape));
}

static size_t hash_key(Op op, const Values &operands, const Attrs &attrs,
                       const std::vector<std::shared_ptr<const Graph>> &bodies) {
  size_t h = attrs.hash() * 31 + size_t(op);
  for (Value v : operands) h = (h * 0x100000001B3ull) ^ (v.node ? size_t(v.node->id) << 8 | v.index : ~size_t(0));
  for (const auto &b : bodies) h = h * 31 + std::hash<const Graph *>{}(b.get());
  return h;
}

std::vector<Type> infer(Op op, const Values &operands, Attrs &attrs,
                        const std::vector<std::shared_ptr<const Graph>> &bodies, const Location &loc) {
  const OpInfo &row = info(op);
  Infer c{op, operands, attrs, bodies, loc, {}};
  check_row(row, c);
  if (row.infer)
    row.infer(c);
  else
    infer_elementwise(row, c);
  for (const Type &t : c.types) c.require(is_reasonable(t.shape), fmt::format("a result of {} is too large", t.str()));
  return std::move(c.types);
}

const Node *Graph::node(Op op, Values operands, Attrs attrs, std::vector<std::shared_ptr<const Graph>> bodies) {
  for (Value v : operands) TRELLIS_CHECK(v && &v.graph() == this, "an operand is absent or of another graph");
  const OpInfo &row = info(op);
  // Interning compares canonical attributes, so the shape rule, which makes them canonical, runs before.
  std::vector<Type> types = infer(op, operands, attrs, bodies, location);
  if (row.commutative && operands.size() == 2 &&
      std::pair(operands[1].node->id, operands[1].index) < std::pair(operands[0].node->id, operands[0].index))
    std::swap(operands[0], operands[1]);
  size_t h = hash_key(op, operands, attrs, bodies);
  for (auto [it, end] = interned_.equal_range(h); it != end; ++it) {
    const Node &n = *it->second;
    if (n.op == op && n.attrs == attrs && n.bodies == bodies && n.operands.size() == operands.size() &&
        std::equal(operands.begin(), operands.end(), n.operands.begin(), [](Value a, Value b) { return a.is(b); }))
      return &n;
  }
  nodes_.push_back({uint32_t(nodes_.size()), op, std::move(operands), std::move(attrs), std::move(bodies),
                    std::move(types), location, this});
  interned_.emplace(h, &nodes_.back());
  return &nodes_.back();
}

Value Graph::input(std::string_view name, Type type, std::string_view role, std::string_view init) {
  if (find_input(name)) throw CompileError(location, fmt::format("input '{}' is declared twice", name));
  Attrs a{{Attr::name, std::string(name)}, {Attr::dtype, type.dtype}, {Attr::shape, type.shape}};
  if (role != "data") a.set(Attr::role, std::string(role));
  if (!init.empty()) a.set(Attr::init, std::string(init));
  Value v = make(Op::input, {}, std::move(a));
  inputs_.push_back(v);
  set_name(v, name);
  return v;
}

Value Graph::constant(Tensor value) { return make(Op::constant, {}, {{Attr::value, std::move(value)}}); }
Value Graph::scalar(DType dtype, double value) { return constant(Tensor::scalar(dtype, value)); }
Value Graph::splat(const Type &like, double value) {
  Value s = scalar(like.dtype, value);
  if (like.rank() == 0) return s;
  Shape ones(like.shape.size(), Dim(1));
  s = make(Op::reshape, {s}, {{Attr::shape, ones}});
  return same(like.shape, ones) ? s : make(Op::expand, {s}, {{Attr::shape, like.shape}});
}

Value Graph::find_input(std::string_view name) const {
  for (Value v : inputs_)
    if (v.node->attrs.word(Attr::name) == name) return v;
  return {};
}

static uint64_t name_key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }

bool Graph::set_name(Value v, std::string_view name) {
  auto [it, fresh] = by_name_.try_emplace(std::string(name), v);
  if (!fresh) return it->second.is(v);
  auto [old, first] = names_.try_emplace(name_key(v), name);
  if (!first) by_name_.erase(it); // a value keeps its first name
  return first;
}
std::string_view Graph::name_of(Value v) const {
  auto it = names_.find(name_key(v));
  return it == names_.end() ? std::string_view() : std::string_view(it->second);
}
Value Graph::find_name(std::string_view name) const {
  auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? Value{} : it->second;
}

std::vector<const Node *> Graph::reachable() const {
  std::vector<bool> seen(nodes_.size());
  std::vector<const Node *> stack, out;
  auto visit = [&](Value v) {
    if (v && !seen[v.node->id]) seen[v.node->id] = true, stack.push_back(v.node);
  };
  for (Value v : inputs_) visit(v);
  for (const NamedValue &o : outputs) visit(o.value);
  for (const Update &u : updates) visit(u.state), visit(u.next);
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    out.push_back(n);
    for (Value v : n->operands) visit(v);
  }
  std::sort(out.begin(), out.end(), [](const Node *a, const Node *b) { return a->id < b->id; });
  return out;
}

Value copy_into(Graph &into, Value v, ValueMap &map) {
  // Iterative: graphs are deep.
  std::vector<const Node *> stack{v.node};
  while (!stack.empty()) {
    const Node *n = stack.back();
    if (map.count(n)) {
      stack.pop_back();
      continue;
    }
    bool ready = true;
    for (Value o : n->operands)
      if (!map.count(o.node)) {
        stack.push_back(o.node);
        ready = false;
      }
    if (!ready) continue;
    stack.pop_back();
    Values operands;
    for (Value o : n->operands) operands.push_back(map.at(o.node)[o.index]);
    LocationScope at(into, n->loc);
    const Node *copy = into.node(n->op, std::move(operands), n->attrs, n->bodies);
    Values results;
    for (uint32_t i = 0; i < copy->types.size(); ++i) results.push_back(copy->result(i));
    map.emplace(n, std::move(results));
  }
  return map.at(v.node)[v.index];
}

Value same_input(Graph &into, Value input) {
  const Attrs &a = input.node->attrs;
  return into.input(a.word(Attr::name), input.type(), a.get_or<std::string>(Attr::role, "data"),
                    a.get_or<std::string>(Attr::init, ""));
}

static void copy_names(const Graph &from, Graph &into, const ValueMap &map) {
  for (uint32_t id = 0; id < from.node_count(); ++id) {
    const Node *n = from.node_at(id);
    auto it = map.find(n);
    for (uint32_t i = 0; it != map.end() && i < n->types.size(); ++i)
      if (std::string_view name = from.name_of(n->result(i)); !name.empty()) into.set_name(it->second[i], name);
  }
}

std::unique_ptr<Graph> copy_graph(const Graph &g, const std::function<Value(Graph &into, Value input)> &become) {
  auto out = std::make_unique<Graph>(g.name);
  out->location = g.location;
  ValueMap map;
  for (Value v : g.inputs()) {
    LocationScope at(*out, v.node->loc);
    if (Value now = become(*out, v)) map[v.node] = {now};
  }
  for (const NamedValue &o : g.outputs) out->outputs.push_back({o.name, copy_into(*out, o.value, map)});
  for (const Update &u : g.updates)
    out->updates.push_back({copy_into(*out, u.state, map), copy_into(*out, u.next, map)});
  copy_names(g, *out, map);
  return out;
}

std::vector<bool> needed_by(const Graph &g, const std::vector<NamedValue> &values) {
  std::vector<bool> needed(g.node_count());
  std::vector<const Node *> stack;
  auto visit = [&](Value v) {
    if (!needed[v.node->id]) needed[v.node->id] = true, stack.push_back(v.node);
  };
  for (const NamedValue &o : values) visit(o.value);
  while (!stack.empty()) {
    const Node *n = stack.back();
    stack.pop_back();
    for (Value v : n->operands) visit(v);
  }
  return needed;
}

} // namespace trellis

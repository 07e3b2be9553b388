#include "ir/rewrite.h"
#include "ir/build.h"
#include <bit>
#include <fmt/format.h>
#include <set>

namespace trellis {

const Tensor *splat_of(Value v) {
  while (v.node->op == Op::expand || v.node->op == Op::reshape) v = v.node->operands[0];
  if (v.node->op != Op::constant) return nullptr;
  const Tensor &t = v.node->attrs.get<Tensor>(Attr::value);
  return t.size() == 1 ? &t : nullptr;
}

std::optional<double> splat_number(Value v) {
  const Tensor *t = splat_of(v);
  if (!t) return std::nullopt;
  return is_float(t->dtype()) ? t->get(0) : double(t->get_int(0));
}

static bool is_literal(Value v, double number) {
  const Tensor *t = splat_of(v);
  if (!t) return false;
  if (!is_float(t->dtype())) return double(t->get_int(0)) == number;
  return std::bit_cast<uint64_t>(t->get(0)) == std::bit_cast<uint64_t>(round_to(t->dtype(), number));
}

static bool includes(const Attrs &all, const Attrs &some) {
  for (const auto &[a, v] : some.all()) {
    if (!all.has(a)) return false;
    Attrs one, other;
    one.set(a, v);
    for (const auto &[b, w] : all.all())
      if (b == a) other.set(b, w);
    if (!(one == other)) return false;
  }
  return true;
}

namespace {
// What is left to match, as a list on the stack: a failure below tries the other order above.
struct Todo {
  const Pattern *pattern;
  Value value;
  const Todo *next;
};
} // namespace

static bool match_all(const Todo *todo, Match &m) {
  if (!todo) return true;
  const Pattern &p = *todo->pattern;
  Value v = todo->value;
  switch (p.kind) {
  case Pattern::Kind::literal: return is_literal(v, p.number) && match_all(todo->next, m);
  case Pattern::Kind::constant: {
    const Tensor *t = splat_of(v);
    if (!t || (p.test && !p.test(*t))) return false;
    if (p.index < 0) return match_all(todo->next, m);
    [[fallthrough]];
  }
  case Pattern::Kind::variable: {
    Value &slot = m.bound[size_t(p.index)];
    if (slot) return slot.is(v) && match_all(todo->next, m);
    slot = v;
    if (match_all(todo->next, m)) return true;
    slot = {};
    return false;
  }
  case Pattern::Kind::op: break;
  }
  const Node &n = *v.node;
  size_t count = p.operands.size();
  if (n.op != p.op || v.index != 0 || n.operands.size() != count || !includes(n.attrs, p.attrs)) return false;
  Value *slot = p.index < 0 ? nullptr : &m.bound[size_t(p.index)];
  if (slot && *slot) {
    if (!slot->is(v)) return false;
    slot = nullptr;
  }
  if (slot) *slot = v;
  auto attempt = [&](bool swapped) {
    std::array<Todo, 8> list;
    TRELLIS_CHECK(count <= list.size(), "a pattern has more operands than the matcher holds");
    const Todo *next = todo->next;
    for (size_t i = count; i-- > 0;) {
      list[i] = {&p.operands[i], n.operands[swapped ? count - 1 - i : i], next};
      next = &list[i];
    }
    return match_all(next, m);
  };
  if (attempt(false) || (n.info().commutative && count == 2 && attempt(true))) return true;
  if (slot) *slot = {};
  return false;
}

bool match(const Pattern &left, Value v, Match &m) {
  m = {};
  m.root = v;
  Todo todo{&left, v, nullptr};
  return match_all(&todo, m);
}

std::string Pattern::str() const {
  switch (kind) {
  case Kind::variable: return std::string(1, "xyzwabcd"[index]);
  case Kind::constant: return index < 0 ? "const" : fmt::format("{}:const", "xyzwabcd"[index]);
  case Kind::literal: return fmt::format("{}", number);
  case Kind::op: break;
  }
  std::string out = fmt::format("{}(", name(op));
  for (size_t i = 0; i < operands.size(); ++i) out += (i ? ", " : "") + operands[i].str();
  return out + ")";
}

// A number on the right side takes its type from its neighbours; a side that is only a number, from the root.
static Operand instantiate(const Pattern &p, const Match &m) {
  switch (p.kind) {
  case Pattern::Kind::literal: return p.number;
  case Pattern::Kind::variable:
  case Pattern::Kind::constant: return m[p];
  case Pattern::Kind::op: break;
  }
  std::vector<Operand> operands;
  for (const Pattern &o : p.operands) operands.push_back(instantiate(o, m));
  if (info(p.op).kind == OpKind::elementwise && p.attrs.all().empty()) return elementwise(m.graph(), p.op, operands);
  Values values;
  for (const Operand &o : operands) {
    TRELLIS_CHECK(o.value, fmt::format("the right side {} has a number where it needs a value", p.str()));
    values.push_back(o.value);
  }
  return m.graph().make(p.op, std::move(values), p.attrs);
}

static void mark(const Pattern &p, std::array<bool, Match::kVariables> &used) {
  if (p.kind != Pattern::Kind::literal && p.index >= 0) used.at(size_t(p.index)) = true;
  for (const Pattern &o : p.operands) mark(o, used);
}

RuleSet::RuleSet(std::initializer_list<const std::vector<Rule> *> lists) {
  std::set<std::string_view> names;
  for (const auto *list : lists)
    for (const Rule &r : *list) {
      TRELLIS_CHECK(names.insert(r.name).second, fmt::format("two rules are named '{}'", r.name));
      TRELLIS_CHECK(r.left.kind == Pattern::Kind::op, fmt::format("rule '{}': the left side is no op", r.name));
      if (r.right.pattern) {
        std::array<bool, Match::kVariables> left{}, right{};
        mark(r.left, left), mark(*r.right.pattern, right);
        for (size_t i = 0; i < left.size(); ++i)
          TRELLIS_CHECK(left[i] || !right[i],
                        fmt::format("rule '{}': {} is not bound on the left", r.name, Pattern::variable(int(i)).str()));
      }
      rooted_[size_t(r.left.op)].push_back(all_.size());
      all_.push_back(&r);
    }
  fired_ = std::make_unique<std::atomic<uint64_t>[]>(all_.size());
}

Value RuleSet::apply(const Node &n, Exactness allowed) const {
  if (n.types.size() != 1) return {};
  Value root = n.result();
  for (size_t i : rooted_[size_t(n.op)]) {
    const Rule &r = *all_[i];
    if (r.exactness > allowed) continue;
    if (r.domain == Domain::floats && !is_float(root.dtype())) continue;
    if (r.domain == Domain::integers && !is_integer(root.dtype())) continue;
    Match m;
    if (!match(r.left, root, m) || (r.guard && !r.guard(m))) continue;
    LocationScope at(*n.graph, n.loc);
    Value out;
    if (r.right.build)
      out = r.right.build(m);
    else if (Operand o = instantiate(*r.right.pattern, m); o.value)
      out = o.value;
    else
      out = n.graph->splat(root.type(), o.number);
    if (!out || out.is(root)) continue;
    TRELLIS_CHECK(out.type() == root.type(),
                  fmt::format("rule '{}' turns {} into {}", r.name, root.type().str(), out.type().str()));
    fired_[i].fetch_add(1, std::memory_order_relaxed);
    return out;
  }
  return {};
}

std::vector<uint64_t> RuleSet::fired() const {
  std::vector<uint64_t> out;
  for (size_t i = 0; i < all_.size(); ++i) out.push_back(fired_[i].load(std::memory_order_relaxed));
  return out;
}

Values Rewriter::normal(const Node &n) {
  if (auto it = normal_.find(&n); it != normal_.end()) return it->second;
  Graph &g = *n.graph;
  auto all_of = [](const Node &of) {
    Values out;
    for (uint32_t i = 0; i < of.types.size(); ++i) out.push_back(of.result(i));
    return out;
  };
  TRELLIS_CHECK(++depth_ < 1000, fmt::format("rewriting '{}' does not end", n.info().name));
  Values operands, out;
  bool same = true;
  for (Value v : n.operands) {
    operands.push_back(normal(*v.node)[v.index]);
    same &= operands.back().is(v);
  }
  if (!same) {
    LocationScope at(g, n.loc);
    out = normal(*g.node(n.op, std::move(operands), n.attrs, n.bodies));
  } else {
    Value v = before_ ? before_(n) : Value{};
    for (const Layer &l : layers_)
      if (!v) v = l.rules.apply(n, l.allowed);
    out = v ? Values{normal(*v.node)[v.index]} : all_of(n);
  }
  --depth_;
  normal_.emplace(&n, out);
  for (Value v : out) normal_.try_emplace(v.node, all_of(*v.node));
  return out;
}

} // namespace trellis

// What stands in the text, and in which order, so that parsing it makes the same nodes in the same order:
// - inputs (data, then parameters and state), then reachable nodes by id;
// - operands of commutative ops in the order of the text (ids in the parsed graph follow it), literals last;
// - an operand that is a scalar constant, or one that elementwise broadcasting would expand, is a literal
// wherever the
//   parser can infer its dtype; nodes that only literals need have no line.
#include "ir/print.h"
#include "ir/lexer.h"
#include "ir/literal.h"
#include <algorithm>
#include <fmt/format.h>
#include <numeric>
#include <unordered_set>

namespace trellis {

namespace {

std::string sigil(char c, std::string_view name) {
  return c + (is_plain_name(name) ? std::string(name) : quoted(name));
}
std::string word(std::string_view w) { return is_word(w) ? std::string(w) : quoted(w); }

std::string shape_text(const Shape &s) {
  std::string out = "[";
  for (size_t i = 0; i < s.size(); ++i) {
    std::string d = s[i].str();
    out += (i ? ", " : "") + (s[i].is_symbol() ? word(d) : d);
  }
  return out + "]";
}
std::string type_text(const Type &t) { return std::string(name(t.dtype)) + shape_text(t.shape); }

std::string attr_text(Attr a, const AttrValue &v) {
  switch (kind_of(a)) {
  case AttrKind::integer: return std::to_string(std::get<int64_t>(v));
  case AttrKind::real: return format_real(std::get<double>(v));
  case AttrKind::boolean: return std::get<bool>(v) ? "true" : "false";
  case AttrKind::word: return word(std::get<std::string>(v));
  case AttrKind::text: return quoted(std::get<std::string>(v));
  case AttrKind::ints: return fmt::format("[{}]", fmt::join(std::get<std::vector<int64_t>>(v), ", "));
  case AttrKind::shape: return shape_text(std::get<Shape>(v));
  case AttrKind::dtype: return std::string(name(std::get<DType>(v)));
  case AttrKind::tensor: break;
  }
  return type_text(std::get<Tensor>(v).type());
}

std::string elements_text(const Tensor &t) {
  if (t.rank() == 0) return format_element(t, 0);
  std::string out = "[";
  for (int64_t i = 0; i < t.size(); ++i) out += (i ? ", " : "") + format_element(t, i);
  return out + "]";
}

// Balanced parentheses and plain characters stand as they are.
std::string init_text(std::string_view init) {
  int depth = 0;
  bool plain = !init.empty() && init.front() != ' ' && init.back() != ' ';
  for (char c : init) {
    depth += (c == '(') - (c == ')');
    plain &= depth >= 0 && (is_word(std::string_view(&c, 1)) ||
                            std::string_view("0123456789.,+-=() ").find(c) != std::string_view::npos);
  }
  return plain && depth == 0 ? std::string(init) : quoted(init);
}

/// The scalar that `v` is, or that it repeats as the parser's broadcasting would make it; null: neither.
const Tensor *scalar_of(Value v, bool elementwise) {
  const Node *n = v.node;
  if (elementwise && v.rank() > 0) {
    Shape ones(v.shape().size(), Dim(1));
    if (!same(v.shape(), ones)) {
      if (n->op != Op::expand) return nullptr;
      n = n->operands[0].node;
    }
    if (n->op != Op::reshape || !same(n->type().shape, ones)) return nullptr;
    n = n->operands[0].node;
  }
  return n->op == Op::constant && n->type().rank() == 0 ? &n->attrs.get<Tensor>(Attr::value) : nullptr;
}

/// For each operand the literal that may stand for it, or null: what the parser needs from the operands that
/// stand as values is the dtype of numbers (that of the first one that is not bool) and, for elementwise ops,
/// the shape.
std::vector<const Tensor *> literals(const Node &n) {
  bool elementwise = n.info().broadcasts();
  std::vector<const Tensor *> out;
  for (Value v : n.operands) out.push_back(scalar_of(v, elementwise));
  auto refused = [&](size_t i) {
    DType dtype = n.operands[i].dtype();
    bool any_value = false, shape_fits = true, number_fits = dtype == DType::boolean;
    for (size_t j = out.size(); j-- > 0;) {
      if (out[j]) continue;
      any_value = true;
      shape_fits &= same(n.operands[i].shape(), n.operands[j].shape());
      if (dtype != DType::boolean && n.operands[j].dtype() != DType::boolean)
        number_fits = n.operands[j].dtype() == dtype;
    }
    return !number_fits || (elementwise && !(any_value && shape_fits));
  };
  // Each refusal gives the others one more value to lean on.
  for (size_t i = 0; i < out.size();)
    if (out[i] && refused(i))
      out[i] = nullptr, i = 0;
    else
      ++i;
  return out;
}

class Printer {
public:
  explicit Printer(const PrintOptions &options) : options_(options) {}

  std::string run(const Graph &g) {
    line(fmt::format("trellis {}\n", kTextVersion));
    line("graph ");
    graph(g);
    out_ += '\n';
    return std::move(out_);
  }

private:
  void line(std::string_view text) { (out_ += std::string(size_t(indent_) * 2, ' ')) += text; }

  void graph(const Graph &g) {
    Body b{g, {}, {}};
    collect(b);
    out_ += sigil('@', g.name) + '(';
    const char *comma = "";
    for (Value v : g.inputs())
      if (role(v) == "data") out_ += comma + b.at(v).name + ": " + type_text(v.type()), comma = ", ";
    out_ += ") {\n";
    ++indent_;
    for (Value v : g.inputs()) {
      if (role(v) == "data") continue;
      std::string init = v.node->attrs.get_or<std::string>(Attr::init, "");
      if (!init.empty()) init = fmt::format(" init({})", init_text(init));
      line(fmt::format("{} {} : {}{}\n", role(v), b.at(v).name, type_text(v.type()), init));
    }
    for (const Node *n : b.nodes) node(b, *n);
    for (const Update &u : g.updates) line(fmt::format("update {}, {}\n", b.at(u.state).name, b.at(u.next).name));
    line("return");
    for (size_t i = 0; i < g.outputs.size(); ++i) {
      const auto &[name, value] = g.outputs[i];
      const Entry &e = b.at(value);
      bool by_default = name.empty() || name == (e.numbered ? fmt::format("out{}", i) : e.own);
      out_ += (i ? ", " : " ") + (by_default ? "" : word(name) + "=") + e.name;
    }
    out_ += '\n';
    --indent_;
    line("}");
  }

  struct Entry {
    std::string name, own; ///< as written; without sigil and quotes
    bool numbered = false;
    size_t position = 0; ///< in the text
  };
  struct Body {
    const Graph &g;
    std::vector<const Node *> nodes; ///< that have a line, in order
    std::unordered_map<uint64_t, Entry> entries;
    static uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }
    const Entry &at(Value v) const { return entries.at(key(v)); }
    void add(Value v, std::string own, bool numbered) {
      std::string name = numbered ? '%' + own : sigil('%', own);
      entries.emplace(key(v), Entry{std::move(name), std::move(own), numbered, entries.size()});
    }
  };

  static std::string role(Value input) { return input.node->attrs.get_or<std::string>(Attr::role, "data"); }

  static void collect(Body &b) {
    std::vector<const Node *> all = b.g.reachable();
    std::unordered_set<const Node *> needed;
    for (const NamedValue &o : b.g.outputs) needed.insert(o.value.node);
    for (const Update &u : b.g.updates) needed.insert(u.state.node), needed.insert(u.next.node);
    for (size_t i = all.size(); i-- > 0;) {
      if (!needed.count(all[i])) continue;
      std::vector<const Tensor *> literal = literals(*all[i]);
      for (size_t k = 0; k < literal.size(); ++k)
        if (!literal[k]) needed.insert(all[i]->operands[k].node);
    }
    std::unordered_set<std::string> taken;
    for (bool data : {true, false})
      for (Value v : b.g.inputs()) {
        if ((role(v) == "data") != data) continue;
        taken.insert(v.node->attrs.word(Attr::name));
        b.add(v, v.node->attrs.word(Attr::name), false);
      }
    std::unordered_set<std::string> named = taken; // numbers that stand as names are left out of the count
    for (const Node *n : all)
      if (needed.count(n))
        for (uint32_t i = 0; i < n->types.size(); ++i) named.emplace(b.g.name_of(n->result(i)));
    size_t count = 0;
    auto number = [&] {
      while (named.contains(std::to_string(count))) ++count;
      return std::to_string(count++);
    };
    for (const Node *n : all) {
      if (n->op == Op::input || !needed.count(n)) continue;
      b.nodes.push_back(n);
      for (uint32_t i = 0; i < n->types.size(); ++i) {
        std::string own(b.g.name_of(n->result(i)));
        bool numbered = own.empty() || !taken.insert(own).second;
        b.add(n->result(i), numbered ? number() : own, numbered);
      }
    }
  }

  void node(const Body &b, const Node &n) {
    std::string text;
    for (uint32_t i = 0; i < n.types.size(); ++i) text += (i ? ", " : "") + b.at(n.result(i)).name;
    text += fmt::format(" = {}", name(n.op));
    if (n.op == Op::constant) {
      const Tensor &t = n.attrs.get<Tensor>(Attr::value);
      line(fmt::format("{} {} {}\n", text, type_text(t.type()), constant(t, b.at(n.result()).name)));
      return;
    }
    std::vector<const Tensor *> literal = literals(n);
    std::vector<size_t> order(n.operands.size());
    std::iota(order.begin(), order.end(), size_t(0));
    if (n.info().commutative)
      std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) {
        if (literal[i] || literal[j]) return !literal[i] && literal[j];
        return b.at(n.operands[i]).position < b.at(n.operands[j]).position;
      });
    const char *comma = " ";
    for (size_t i : order)
      text += comma + (literal[i] ? format_element(*literal[i], 0) : b.at(n.operands[i]).name), comma = ", ";
    for (const auto &[a, v] : n.attrs.all()) {
      text += fmt::format("{}{}={}", comma, name(a), attr_text(a, v));
      comma = ", ";
    }
    for (size_t i = 0; i < n.types.size(); ++i) text += (i ? ", " : " : ") + type_text(n.types[i]);
    line(text);
    for (const auto &body : n.bodies) out_ += ' ', graph(*body);
    out_ += '\n';
  }

  std::string constant(const Tensor &t, std::string_view name) {
    if (t.bytes() > options_.inline_bytes && options_.data)
      if (std::optional<DataRef> ref = options_.data(t, name.substr(1)))
        return fmt::format("data({}, {})", quoted(ref->file), quoted(ref->name));
    return elements_text(t);
  }

  const PrintOptions &options_;
  std::string out_;
  int indent_ = 0;
};
} // namespace

std::string print(const Graph &g, const PrintOptions &options) { return Printer(options).run(g); }

std::string describe(const Node &n) {
  auto value = [&](Value v) {
    std::string_view own = n.graph ? n.graph->name_of(v) : std::string_view();
    return own.empty() ? fmt::format("%#{}{}", v.node->id, v.index ? fmt::format(".{}", v.index) : "")
                       : sigil('%', own);
  };
  std::string out = fmt::format("{} = {}", value(n.result()), name(n.op));
  const char *comma = " ";
  for (Value v : n.operands) out += comma + (v ? value(v) + ": " + type_text(v.type()) : "none"), comma = ", ";
  for (const auto &[a, v] : n.attrs.all()) out += fmt::format("{}{}={}", comma, name(a), attr_text(a, v)), comma = ", ";
  for (size_t i = 0; i < n.types.size(); ++i) out += (i ? ", " : " : ") + type_text(n.types[i]);
  return out;
}

} // namespace trellis

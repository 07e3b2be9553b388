#include "ir/bind.h"
#include "ir/build.h"
#include "ir/nearest.h"
#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

namespace trellis {

static void add_symbols(const Shape &s, std::vector<std::string> &out) {
  for (Dim d : s)
    if (d.is_symbol() && std::find(out.begin(), out.end(), d.str()) == out.end()) out.push_back(d.str());
}

std::vector<std::string> symbols(const Graph &g) {
  std::vector<std::string> out;
  for (Value v : g.inputs()) add_symbols(v.shape(), out);
  return out;
}

namespace {
class Binder {
public:
  Binder(const Graph &from, const Bindings &dims) : from_(from), dims_(dims), to_(std::make_unique<Graph>(from.name)) {}

  std::unique_ptr<Graph> run() {
    to_->location = from_.location;
    // Inputs first, in their order: their node ids need not follow it.
    for (Value v : from_.inputs()) {
      const Node &n = *v.node;
      LocationScope at(*to_, n.loc);
      const std::string &name = n.attrs.word(Attr::name);
      for (Dim d : v.shape())
        if (d.is_unknown())
          throw CompileError(n.loc, fmt::format("input '{}' has an unknown dim (?): give it a name", name));
      Value copy = to_->input(name, {v.dtype(), number(v.shape(), n)}, n.attrs.get_or<std::string>(Attr::role, "data"),
                              n.attrs.get_or<std::string>(Attr::init, ""));
      map_[&n] = {copy};
    }
    for (const Node *n : from_.reachable())
      if (!map_.count(n)) copy(*n);
    for (const NamedValue &o : from_.outputs) to_->outputs.push_back({o.name, result(o.value)});
    for (const Update &u : from_.updates) to_->updates.push_back({result(u.state), result(u.next)});
    return std::move(to_);
  }

private:
  Shape number(Shape s, const Node &n) const {
    for (Dim &d : s)
      if (d.is_symbol()) {
        auto it = dims_.find(d.str());
        if (it == dims_.end())
          throw CompileError(n.loc, fmt::format("dim '{}' of {} has no number", d.str(), name(n.op)));
        d = it->second;
      }
    return s;
  }

  // Where an expand's own operand does not tell its unknown dims, the operands beside it do, in an
  // elementwise op; until then it stands for its operand.
  bool is_open(Value v) const { return v.node->op == Op::expand && open_.count(v.node); }

  Value result(Value v) const {
    if (is_open(v))
      throw CompileError(v.node->loc, fmt::format("nothing says what the unknown dim of {} is", v.type().str()));
    return map_.at(v.node)[v.index];
  }

  void copy(const Node &n) {
    LocationScope at(*to_, n.loc);
    Attrs attrs = n.attrs;
    for (const auto &[a, v] : n.attrs.all())
      if (kind_of(a) == AttrKind::shape) attrs.set(a, number(std::get<Shape>(v), n));
    if (n.op == Op::expand && !expand(n, attrs)) return;

    Values operands;
    bool open = std::any_of(n.operands.begin(), n.operands.end(), [&](Value v) { return is_open(v); });
    if (open && n.info().broadcasts())
      operands = rebroadcast(n);
    else
      for (Value v : n.operands) operands.push_back(result(v));
    std::vector<std::shared_ptr<const Graph>> bodies;
    for (const auto &b : n.bodies) bodies.push_back(Binder(*b, dims_).run());
    const Node *made = to_->node(n.op, std::move(operands), std::move(attrs), std::move(bodies));
    Values results;
    for (uint32_t i = 0; i < made->types.size(); ++i) {
      if (!is_static(made->types[i].shape))
        throw CompileError(
            n.loc, fmt::format("{}: nothing says what the unknown dim of {} is", name(n.op), made->types[i].str()));
      results.push_back(made->result(i));
      if (std::string_view own = from_.name_of(n.result(i)); !own.empty()) to_->set_name(results.back(), own);
    }
    map_[&n] = std::move(results);
  }

  bool expand(const Node &n, Attrs &attrs) {
    Shape to = attrs.get<Shape>(Attr::shape);
    const Shape &was = n.operands[0].shape();
    Value x = result(n.operands[0]);
    for (size_t i = 0; i < to.size(); ++i) {
      if (!to[i].is_unknown()) continue;
      if (was[i].is_static() && was[i].value() == 1) {
        open_.insert(&n);
        map_[&n] = {x};
        return false;
      }
      to[i] = x.shape()[i];
    }
    attrs.set(Attr::shape, to);
    return true;
  }

  Values rebroadcast(const Node &n) {
    Shape shape;
    bool any = false;
    for (Value v : n.operands) {
      const Shape &s = map_.at(v.node)[v.index].shape();
      shape = any ? broadcast(shape, s, std::string(name(n.op)), n.loc) : s;
      any = true;
    }
    Values out;
    for (Value v : n.operands) out.push_back(broadcast_to(map_.at(v.node)[v.index], shape));
    return out;
  }

  const Graph &from_;
  const Bindings &dims_;
  std::unique_ptr<Graph> to_;
  ValueMap map_;
  std::unordered_set<const Node *> open_;
};
} // namespace

std::unique_ptr<Graph> bind_dims(const Graph &g, const Bindings &dims) {
  std::vector<std::string> known = symbols(g);
  std::vector<std::string_view> names(known.begin(), known.end());
  std::vector<Diagnostic> errors;
  auto fail = [&](std::string text) {
    errors.push_back({.where = g.location, .text = std::move(text), .source_line = {}});
  };
  for (const auto &[name, value] : dims) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail(fmt::format("graph @{} has no dim '{}'{}", g.name, name, did_you_mean(name, names)));
    if (value < 0) fail(fmt::format("dim '{}' can not be {}", name, value));
  }
  for (const std::string &name : known)
    if (!dims.count(name)) fail(fmt::format("dim '{}' of graph @{} has no number", name, g.name));
  if (!errors.empty()) throw CompileError(std::move(errors));
  return Binder(g, dims).run();
}

std::unique_ptr<Graph> with_constants(const Graph &g, const std::map<std::string, Tensor> &constants) {
  std::vector<std::string_view> names;
  for (Value v : g.inputs())
    if (v.node->attrs.get_or<std::string>(Attr::role, "data") == "data")
      names.push_back(v.node->attrs.word(Attr::name));
  for (const auto &[name, t] : constants)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw CompileError(g.location,
                         fmt::format("graph @{} has no input '{}'{}", g.name, name, did_you_mean(name, names)));
  return copy_graph(g, [&](Graph &into, Value v) {
    auto it = constants.find(v.node->attrs.word(Attr::name));
    if (it == constants.end()) return same_input(into, v);
    if (it->second.type() != v.type())
      throw CompileError(v.node->loc, fmt::format("input '{}' is {}, so can not be a constant of {}", it->first,
                                                  v.type().str(), it->second.type().str()));
    return into.constant(it->second);
  });
}

Bindings bindings_of(const Graph &g, const std::map<std::string, Type> &inputs) {
  Bindings out;
  std::map<std::string, std::string> source;
  for (Value v : g.inputs()) {
    const std::string &name = v.node->attrs.word(Attr::name);
    auto it = inputs.find(name);
    if (it == inputs.end()) continue;
    const Type &given = it->second;
    auto misfit = [&](const std::string &more) {
      throw CompileError(v.node->loc,
                         fmt::format("input '{}' is {}, but {} is given{}", name, v.type().str(), given.str(), more));
    };
    if (given.dtype != v.dtype() || given.rank() != v.rank()) misfit("");
    for (size_t i = 0; i < v.shape().size(); ++i) {
      Dim d = v.shape()[i];
      int64_t n = given.shape[i].value();
      if (d.is_static() && d.value() != n) misfit("");
      if (!d.is_symbol()) continue;
      auto [old, fresh] = out.try_emplace(d.str(), n);
      if (fresh)
        source[d.str()] = name;
      else if (old->second != n)
        misfit(fmt::format(": {} is {} in '{}'", d.str(), old->second, source[d.str()]));
    }
  }
  return out;
}

} // namespace trellis

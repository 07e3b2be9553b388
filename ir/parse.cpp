// Recursive descent over a token array, one statement a line. A mistake is recorded, the rest of its line is
// skipped, and the names that the line would have defined stand for "unknown": what uses them is skipped
// without further messages.
#include "ir/build.h"
#include "ir/literal.h"
#include "ir/nearest.h"
#include "ir/parse_base.h"
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

namespace trellis {

namespace {
constexpr int kMostDepth = 32;

/// An operand: a value, a literal of no dtype yet (`value` null), or unknown because of an earlier mistake.
struct Arg {
  Token token;
  Value value;
  std::string literal;
  bool unknown = false;
};

/// Names of one graph; bodies have their own.
struct Scope {
  Graph *graph = nullptr;
  int depth = 0;
  struct Entry {
    Value value; // null: its definition had a mistake
    uint32_t line;
  };
  std::unordered_map<std::string, Entry> values;
  bool broken_inputs = false; // the signature had a mistake: unknown names may be its
};

class Parser : ParseBase {
public:
  Parser(std::string_view text, std::string file, const ParseOptions &options)
      : ParseBase(text, std::move(file), options) {}

  std::unique_ptr<Graph> run() {
    std::unique_ptr<Graph> g;
    try {
      version();
      skip_newlines();
      if (!peek().is("graph")) fail(peek(), "expected 'graph @name(...) {'");
      next();
      g = graph(0);
      skip_newlines();
      if (peek().is("graph")) fail(peek(), "a text holds one graph");
      if (peek().kind != Kind::end) fail(peek(), "expected nothing after the graph's '}'");
    } catch (Failed) {
    } catch (GiveUp) {}
    if (!errors_.empty()) throw CompileError(std::move(errors_));
    return g;
  }

private:
  // --- header ---
  void version() {
    skip_newlines();
    if (peek().kind == Kind::end)
      fail(peek(), fmt::format("the text is empty: it should begin with 'trellis {}'", kTextVersion));
    if (!peek().is("trellis"))
      fail(peek(), fmt::format("expected the format version, 'trellis {}', before anything else", kTextVersion));
    next();
    const Token &t = expect(Kind::number, "a version number after 'trellis'");
    int64_t v = 0;
    if (!parse_integer(t.text, v) || v < 1) fail(t, fmt::format("'{}' is not a version number", t.text));
    if (v > kTextVersion) fail(t, fmt::format("format version {} is newer than this program's, {}", v, kTextVersion));
    end_of_statement();
  }
  void end_of_statement() {
    if (peek().kind != Kind::newline && peek().kind != Kind::end && !peek().is('}'))
      fail(peek(), fmt::format("expected the end of the line, not {}", describe(peek())));
  }

  // --- graphs ---
  std::unique_ptr<Graph> graph(int depth) {
    const Token &name = expect(Kind::global, "a graph's name, like @main");
    if (depth > kMostDepth) {
      report(name, fmt::format("bodies are nested more than {} deep", kMostDepth));
      throw GiveUp{};
    }
    auto g = std::make_unique<Graph>(spelling(name));
    g->location = at(name);
    Scope scope{g.get(), depth, {}, false};
    try {
      signature(scope);
    } catch (Failed) {
      scope.broken_inputs = true;
      while (peek().kind != Kind::newline && peek().kind != Kind::end) next();
    }
    bool returned = false;
    for (;;) {
      skip_newlines();
      if (peek().kind == Kind::end) fail(peek(), fmt::format("graph @{} has no closing '}}'", g->name));
      if (peek().is('}')) break;
      try {
        if (returned) fail(peek(), "'return' must be the last statement of its graph");
        returned = peek().is("return");
        statement(scope);
        end_of_statement();
      } catch (Failed) { recover(); }
    }
    if (!returned) report(peek(), fmt::format("graph @{} has no 'return'", g->name));
    next();
    g->location = at(name); // of what speaks of the graph as a whole
    return g;
  }

  void signature(Scope &s) {
    expect('(', "before the graph's inputs");
    skip_newlines();
    while (!peek().is(')')) {
      const Token &name = expect(Kind::value, "an input, like %x: f32[2]");
      expect(':', "and a type after the input's name");
      declare_input(s, name, type(), "data", {});
      skip_newlines();
      if (!accept(',')) break;
      skip_newlines();
    }
    expect(')', "after the graph's inputs");
    expect('{', "before the graph's statements");
  }

  void declare_input(Scope &s, const Token &name, const Type &t, std::string_view role, std::string_view init) {
    refuse_redefinition(s, name);
    s.graph->location = at(name);
    define(s, name, make(name, [&] { return s.graph->input(spelling(name), t, role, init).node; })->result());
  }

  void refuse_redefinition(Scope &s, const Token &name) {
    auto it = s.values.find(spelling(name));
    if (it != s.values.end())
      fail(name, fmt::format("{} is defined twice; the first time on line {}", name.text, it->second.line));
  }
  void define(Scope &s, const Token &name, Value v) {
    std::string n = spelling(name);
    bool keep = name.text[1] == '"' || is_plain_name(n);
    if (v && keep) s.graph->set_name(v, n); // an equal, older node keeps its name
    s.values.emplace(std::move(n), Scope::Entry{v, name.line});
  }

  // --- statements ---
  void statement(Scope &s) {
    const Token &t = peek();
    if (t.kind == Kind::value) return assignment(s);
    if (t.is("param") || t.is("state")) return parameter(s);
    if (t.is("update")) return update(s);
    if (t.is("return")) return outputs(s);
    if (t.kind == Kind::word && parse_op(t.text))
      fail(t, fmt::format("the result of '{0}' has no name: write %name = {0} ...", t.text));
    fail(t, fmt::format("expected a statement, not {}{}", describe(t),
                        t.kind == Kind::word ? did_you_mean(t.text, {"param", "state", "update", "return"}) : ""));
  }

  void parameter(Scope &s) {
    const Token &role = next();
    const Token &name = expect(Kind::value, fmt::format("a name after '{}', like %w", role.text));
    try {
      if (s.depth) fail(role, fmt::format("a body has no {}: give it as an operand", role.text));
      expect(':', "and a type after the name");
      Type t = type();
      std::string init;
      if (peek().is("init")) next(), init = initialiser();
      declare_input(s, name, t, role.text, init);
    } catch (Failed) {
      s.values.try_emplace(spelling(name), Scope::Entry{{}, name.line});
      throw;
    }
  }

  void update(Scope &s) {
    const Token &word = next();
    const Token &state = expect(Kind::value, "a parameter or state after 'update'");
    Value a = use(s, state);
    expect(',', "and the new value");
    const Token &t = expect(Kind::value, "the new value");
    Value b = use(s, t);
    if (s.depth) fail(word, "a body has no updates");
    if (!a || !b) throw Failed{};
    if (a.node->op != Op::input || a.node->attrs.get_or<std::string>(Attr::role, "data") == "data")
      fail(state, fmt::format("{} is neither a param nor a state, so it has no next value", state.text));
    if (!(a.type() == b.type()))
      fail(t, fmt::format("{} is {}, but its next value is {}", state.text, a.type().str(), b.type().str()));
    for (const Update &u : s.graph->updates)
      if (u.state.is(a)) fail(state, fmt::format("{} is updated twice", state.text));
    s.graph->updates.push_back({a, b});
  }

  void outputs(Scope &s) {
    next();
    bool unknown = false;
    while (peek().kind == Kind::value ||
           (peek(1).is('=') && (peek().kind == Kind::word || peek().kind == Kind::string))) {
      Token name = peek();
      if (name.kind != Kind::value) next(), next();
      const Token &t = expect(Kind::value, "a value to return");
      Value v = use(s, t);
      std::string n = spelling(name);
      if (name.kind == Kind::value && name.text[1] != '"' && !is_plain_name(n))
        n = fmt::format("out{}", s.graph->outputs.size());
      // Callers find a graph's outputs by name, a body's by position.
      for (const NamedValue &o : s.graph->outputs)
        if (!s.depth && o.name == n) fail(name, fmt::format("two outputs are named '{}': write other=%value", n));
      unknown |= !v;
      s.graph->outputs.push_back({std::move(n), v});
      if (!accept(',')) {
        if (unknown) throw Failed{};
        return;
      }
      skip_newlines();
      if (peek().kind != Kind::value && !peek(1).is('='))
        fail(peek(), fmt::format("expected a value to return, not {}", describe(peek())));
    }
  }

  /// Null where the definition had a mistake.
  Value use(Scope &s, const Token &t) {
    auto it = s.values.find(spelling(t));
    if (it != s.values.end()) return it->second.value;
    if (s.broken_inputs) return {};
    std::vector<std::string_view> names;
    for (const auto &[name, entry] : s.values) names.push_back(name);
    std::sort(names.begin(), names.end());
    std::string_view near = nearest(spelling(t), names);
    report(t,
           fmt::format("{} is not defined{}", t.text, near.empty() ? "" : fmt::format("; did you mean '%{}'?", near)));
    return {};
  }

  void assignment(Scope &s) {
    std::vector<Token> names{next()};
    while (accept(',')) names.push_back(expect(Kind::value, "another result's name"));
    const Node *n = nullptr;
    try {
      expect('=', "and an op after the results' names");
      n = operation(s, names.size());
      for (size_t i = 0; i < names.size(); ++i) {
        refuse_redefinition(s, names[i]);
        define(s, names[i], n->result(uint32_t(i)));
      }
    } catch (Failed) {
      for (const Token &t : names) s.values.try_emplace(spelling(t), Scope::Entry{{}, t.line});
      throw;
    }
  }

  const Node *operation(Scope &s, size_t results) {
    const Token &word = expect(Kind::word, "an op");
    std::optional<Op> op = parse_op(word.text);
    if (!op) {
      std::vector<std::string_view> all;
      for (int i = 0; i < kOpCount; ++i) all.push_back(trellis::name(Op(i)));
      fail(word, fmt::format("there is no op '{}'{}", word.text, did_you_mean(word.text, all)));
    }
    if (*op == Op::input) fail(word, "an input is declared in the graph's (...), or by 'param' or 'state'");
    std::vector<Arg> args;
    Attrs attrs;
    if (*op == Op::constant)
      attrs.set(Attr::value, tensor());
    else
      operands_and_attributes(s, *op, args, attrs);
    std::vector<std::pair<Token, Type>> types;
    if (peek().is(':')) {
      do {
        next();
        const Token &where = peek();
        types.emplace_back(where, type());
      } while (peek().is(','));
    }
    std::vector<std::shared_ptr<const Graph>> bodies;
    size_t mistakes = errors_.size();
    while (peek().kind == Kind::global) bodies.push_back(graph(s.depth + 1));
    if (errors_.size() > mistakes || std::any_of(args.begin(), args.end(), [](const Arg &a) { return a.unknown; }))
      throw Failed{};
    s.graph->location = at(word);
    const Node *n = make(word, [&] { return build(*s.graph, *op, args, std::move(attrs), std::move(bodies)); });
    if (n->types.size() != results)
      fail(word, fmt::format("'{}' has {} result{}, but {} name{} given", word.text, n->types.size(),
                             n->types.size() == 1 ? "" : "s", results, results == 1 ? " is" : "s are"));
    if (!types.empty() && types.size() != results)
      fail(types[0].first, fmt::format("{} types are given for {} results", types.size(), results));
    for (size_t i = 0; i < types.size(); ++i)
      if (!fits(n->types[i], types[i].second))
        fail(types[i].first, fmt::format("the result is {}, not {}", n->types[i].str(), types[i].second.str()));
    return n;
  }
  static bool fits(const Type &a, const Type &b) {
    bool ok = a.dtype == b.dtype && a.rank() == b.rank();
    for (size_t i = 0; ok && i < a.shape.size(); ++i) ok = compatible(a.shape[i], b.shape[i]);
    return ok;
  }

  void operands_and_attributes(Scope &s, Op op, std::vector<Arg> &args, Attrs &attrs) {
    auto at_end = [&] {
      return peek().kind == Kind::newline || peek().kind == Kind::end || peek().is(':') || peek().is('}') ||
             peek().kind == Kind::global;
    };
    if (at_end()) return;
    do {
      const Token &t = peek();
      if (t.kind == Kind::word && peek(1).is('='))
        attribute(op, attrs);
      else if (!attrs.all().empty())
        fail(t, "operands stand before the attributes");
      else if (t.kind == Kind::value) {
        next();
        Value v = use(s, t);
        args.push_back({t, v, {}, !v});
      } else if (t.kind == Kind::number || t.is("inf") || t.is("nan") || t.is("true") || t.is("false"))
        args.push_back({t, {}, element(), false});
      else
        fail(t, fmt::format("expected an operand or an attribute, not {}", describe(t)));
    } while (accept(','));
    if (!at_end()) fail(peek(), fmt::format("expected ',' or the end of the line, not {}", describe(peek())));
  }

  // A literal becomes a scalar constant; elementwise ops broadcast.
  const Node *build(Graph &g, Op op, const std::vector<Arg> &args, Attrs attrs,
                    std::vector<std::shared_ptr<const Graph>> bodies) {
    std::optional<DType> dtype;
    Shape shape;
    bool any = false, elementwise = info(op).broadcasts();
    for (const Arg &a : args) {
      if (!a.value) continue;
      if (!dtype && a.value.dtype() != DType::boolean) dtype = a.value.dtype();
      if (elementwise)
        shape = any ? broadcast(shape, a.value.shape(), std::string(trellis::name(op)), g.location) : a.value.shape();
      any = true;
    }
    Values operands;
    for (const Arg &a : args) {
      Value v = a.value;
      if (!v) {
        bool boolean = a.literal == "true" || a.literal == "false";
        if (!boolean && !dtype)
          fail(a.token, "a number takes its dtype from the other operands, and none has one to give: use a constant");
        Tensor scalar(boolean ? DType::boolean : *dtype, {});
        if (std::string problem = set_element(scalar, 0, a.literal); !problem.empty()) fail(a.token, problem);
        v = g.constant(std::move(scalar));
      }
      bool fits = v.shape().size() == shape.size();
      for (size_t i = 0; fits && i < shape.size(); ++i) fits = compatible(v.shape()[i], shape[i]);
      operands.push_back(elementwise && !fits ? broadcast_to(v, shape) : v);
    }
    return g.node(op, std::move(operands), std::move(attrs), std::move(bodies));
  }
};
} // namespace

std::unique_ptr<Graph> parse(std::string_view text, std::string file, const ParseOptions &options) {
  return Parser(text, std::move(file), options).run();
}

std::unique_ptr<Graph> parse_file(const std::string &path, const ParseOptions &options) {
  std::unique_ptr<std::FILE, int (*)(std::FILE *)> f(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!f) throw CompileError(fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text;
  char buffer[1 << 16];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, f.get())) text.append(buffer, n);
  if (std::ferror(f.get())) throw CompileError(fmt::format("{}: {}", path, std::strerror(errno)));
  return parse(text, path, options);
}

} // namespace trellis

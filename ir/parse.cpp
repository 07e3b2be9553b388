// Recursive descent over a token array, one statement a line. A mistake is recorded, the rest of its line is
// skipped, and the names that the line would have defined stand for "unknown": what uses them is skipped
// without further messages.
#include "ir/parse.h"
#include "ir/build.h"
#include "ir/lexer.h"
#include "ir/literal.h"
#include "ir/nearest.h"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fmt/format.h>

namespace trellis {

namespace {
using Kind = Token::Kind;

struct Failed {}; ///< thrown after a mistake has been recorded; caught at statement level
struct GiveUp {}; ///< no use in going on; caught at the top

constexpr size_t kMostErrors = 20;
constexpr int kMostDepth = 32;
// Sums and products of two such numbers fit 64 bits, so that shape rules need not look for overflow.
constexpr int64_t kLargestInt = int64_t(1) << 31;

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

class Parser {
public:
  Parser(std::string_view text, std::string file, const ParseOptions &options)
      : text_(text), options_(options), file_(std::make_shared<const std::string>(std::move(file))),
        tokens_(tokenize(text)) {}

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
  // --- tokens ---
  const Token &peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token &next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(char c) { return peek().is(c) && (next(), true); }
  void skip_newlines() {
    while (peek().kind == Kind::newline) next();
  }
  static std::string describe(const Token &t) {
    if (t.kind == Kind::end) return "the end of the text";
    if (t.kind == Kind::newline) return "the end of the line";
    return fmt::format("'{}'", t.text.substr(0, 40));
  }
  const Token &expect(char c, std::string_view where) {
    if (!peek().is(c)) fail(peek(), fmt::format("expected '{}' {}, not {}", c, where, describe(peek())));
    return next();
  }
  const Token &expect(Kind kind, std::string_view what) {
    if (peek().kind != kind) fail(peek(), fmt::format("expected {}, not {}", what, describe(peek())));
    return next();
  }

  // --- mistakes ---
  Location at(const Token &t) const { return {file_, int(t.line), int(t.column), {}}; }

  void report(Token t, std::string text) {
    // What is missing at the end of a line is missing behind its last token, before a comment.
    if (const Token &last = tokens_[at_ ? at_ - 1 : 0]; t.kind == Kind::newline && last.line == t.line)
      t.column = last.column + uint32_t(last.text.size()), t.text = {last.text.data() + last.text.size(), 0};
    Diagnostic d{.where = at(t), .text = std::move(text), .source_line = source_line(t)};
    d.length = int(std::clamp<size_t>(t.text.size(), 1, 60));
    errors_.push_back(std::move(d));
    if (errors_.size() >= kMostErrors) throw GiveUp{};
  }
  [[noreturn]] void fail(const Token &t, std::string text) {
    report(t, t.kind == Kind::bad ? t.problem : std::move(text));
    throw Failed{};
  }
  // Runs `f`, which makes nodes; what the shape rules have against them is reported at `t`.
  template <class F> auto make(const Token &t, F f) {
    try {
      return f();
    } catch (const CompileError &e) {
      std::string text;
      for (const Diagnostic &d : e.diagnostics()) {
        std::string elsewhere = d.where.known() && d.where.file != file_ ? d.where.str() + ": " : "";
        text += (text.empty() ? "" : "; ") + elsewhere + d.text;
      }
      fail(t, text);
    }
  }
  // The line without what a terminal would garble; none where the caret would stand too far to the right.
  std::string source_line(const Token &t) const {
    if (t.column > 160) return {};
    size_t start = size_t(t.text.data() - text_.data()) - (t.column - 1);
    std::string line(text_.substr(start, std::min(text_.find('\n', start), text_.size()) - start));
    if (line.size() > 200) line.resize(200);
    bool plain = std::none_of(line.begin(), line.end(), [](char c) { return uint8_t(c) >= 0x80; });
    for (char &c : line)
      if ((uint8_t(c) < 0x20 && c != '\t') || c == 0x7f || (!plain && uint8_t(c) >= 0x80))
        c = c == '\r' ? ' ' : '?';
    while (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
  }
  // To the end of the line on which the parser stands, or its graph's end; bodies that begin there are
  // skipped whole.
  void recover() {
    for (int depth = 0; peek().kind != Kind::end; next()) {
      if (depth == 0 && (peek().kind == Kind::newline || peek().is('}'))) return;
      depth += peek().is('{') - peek().is('}');
    }
  }

  // --- header ---
  void version() {
    skip_newlines();
    if (peek().kind == Kind::end)
      fail(peek(), fmt::format("the text is empty: it should begin with 'trellis {}'", kTextVersion));
    if (!peek().is("trellis"))
      fail(peek(),
           fmt::format("expected the format version, 'trellis {}', before anything else", kTextVersion));
    next();
    const Token &t = expect(Kind::number, "a version number after 'trellis'");
    int64_t v = 0;
    if (!parse_integer(t.text, v) || v < 1) fail(t, fmt::format("'{}' is not a version number", t.text));
    if (v > kTextVersion)
      fail(t, fmt::format("format version {} is newer than this program's, {}", v, kTextVersion));
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

  void declare_input(Scope &s, const Token &name, const Type &t, std::string_view role,
                     std::string_view init) {
    refuse_redefinition(s, name);
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
                        t.kind == Kind::word ? did_you_mean(t.text, {"param", "state", "update", "return"})
                                             : ""));
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

  // The text between balanced parentheses, or a string: what initialisers there are is the frontend's
  // business.
  std::string initialiser() {
    const Token &open = expect('(', "after 'init'");
    if (peek().kind == Kind::string && peek(1).is(')')) {
      std::string s = spelling(next());
      next();
      return s;
    }
    for (int depth = 1;;) {
      const Token &t = peek();
      if (t.kind == Kind::newline || t.kind == Kind::end) fail(open, "this '(' is not closed on its line");
      if (t.kind == Kind::bad) fail(t, t.problem);
      next();
      depth += t.is('(') - t.is(')');
      if (depth) continue;
      std::string_view inside(open.text.data() + 1, size_t(t.text.data() - open.text.data()) - 1);
      while (!inside.empty() && (inside.back() == ' ' || inside.back() == '\t')) inside.remove_suffix(1);
      while (!inside.empty() && (inside[0] == ' ' || inside[0] == '\t')) inside.remove_prefix(1);
      return std::string(inside);
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
        if (!s.depth && o.name == n)
          fail(name, fmt::format("two outputs are named '{}': write other=%value", n));
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
    report(t, fmt::format("{} is not defined{}", t.text,
                          near.empty() ? "" : fmt::format("; did you mean '%{}'?", near)));
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
    if (errors_.size() > mistakes ||
        std::any_of(args.begin(), args.end(), [](const Arg &a) { return a.unknown; }))
      throw Failed{};
    s.graph->location = at(word);
    const Node *n =
        make(word, [&] { return build(*s.graph, *op, args, std::move(attrs), std::move(bodies)); });
    if (n->types.size() != results)
      fail(word, fmt::format("'{}' has {} result{}, but {} name{} given", word.text, n->types.size(),
                             n->types.size() == 1 ? "" : "s", results, results == 1 ? " is" : "s are"));
    if (!types.empty() && types.size() != results)
      fail(types[0].first, fmt::format("{} types are given for {} results", types.size(), results));
    for (size_t i = 0; i < types.size(); ++i)
      if (!fits(n->types[i], types[i].second))
        fail(types[i].first,
             fmt::format("the result is {}, not {}", n->types[i].str(), types[i].second.str()));
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
        shape = any ? broadcast(shape, a.value.shape(), std::string(trellis::name(op)), g.location)
                    : a.value.shape();
      any = true;
    }
    Values operands;
    for (const Arg &a : args) {
      Value v = a.value;
      if (!v) {
        bool boolean = a.literal == "true" || a.literal == "false";
        if (!boolean && !dtype)
          fail(a.token,
               "a number takes its dtype from the other operands, and none has one to give: use a constant");
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

  // --- attributes ---
  void attribute(Op op, Attrs &attrs) {
    const Token &word = next();
    next(); // =
    std::optional<Attr> a = parse_attr(word.text);
    const AttrList &known = info(op).attrs;
    if (!a || std::none_of(known.begin(), known.end(), [&](const AttrSpec &k) { return k.attr == *a; })) {
      std::vector<std::string_view> names;
      std::string all;
      for (const AttrSpec &k : known)
        names.push_back(trellis::name(k.attr)), all += (all.empty() ? "" : ", ") + std::string(names.back());
      std::string hint = did_you_mean(word.text, names);
      if (hint.empty()) hint = all.empty() ? "; it has none" : "; its attributes are: " + all;
      fail(word, fmt::format("'{}' has no attribute '{}'{}", trellis::name(op), word.text, hint));
    }
    if (attrs.has(*a)) fail(word, fmt::format("attribute '{}' is given twice", word.text));
    attrs.set(*a, attribute_value(*a));
  }

  AttrValue attribute_value(Attr a) {
    const Token &t = peek();
    std::string want = fmt::format("'{}' needs", trellis::name(a));
    switch (kind_of(a)) {
    case AttrKind::integer: return integer(want + " an integer");
    case AttrKind::real: {
      double v = 0;
      if (t.kind != Kind::number || !parse_real(t.text, v))
        fail(t, fmt::format("{} a number, not {}", want, describe(t)));
      return next(), v;
    }
    case AttrKind::boolean:
      if (!t.is("true") && !t.is("false"))
        fail(t, fmt::format("{} true or false, not {}", want, describe(t)));
      return next().text == "true";
    case AttrKind::word:
    case AttrKind::text:
      if (t.kind != Kind::word && t.kind != Kind::string)
        fail(t, fmt::format("{} a word, not {}", want, describe(t)));
      return spelling(next());
    case AttrKind::ints: {
      std::vector<int64_t> list;
      expect('[', fmt::format("and a list of integers after '{}='", trellis::name(a)));
      while (!peek().is(']')) {
        list.push_back(integer(want + " a list of integers"));
        if (!accept(',')) break;
      }
      expect(']', "after the list");
      return list;
    }
    case AttrKind::shape: return shape();
    case AttrKind::dtype: return dtype();
    case AttrKind::tensor: return tensor();
    }
    return int64_t(0);
  }

  int64_t integer(const std::string &want) {
    const Token &t = peek();
    int64_t v = 0;
    bool digits =
        t.kind == Kind::number && t.text.find_first_not_of("+-0123456789") == std::string_view::npos;
    if (!digits) fail(t, fmt::format("{}, not {}", want, describe(t)));
    if (!parse_integer(t.text, v) || v > kLargestInt || v < -kLargestInt)
      fail(t, fmt::format("'{}' is out of range: {} to {}", t.text, -kLargestInt, kLargestInt));
    return next(), v;
  }

  // --- types and tensors ---
  DType dtype() {
    const Token &t = expect(Kind::word, "an element type");
    std::optional<DType> d = parse_dtype(t.text);
    if (!d) {
      std::vector<std::string_view> all;
      std::string list;
      for (int i = 0; i < kDTypeCount; ++i)
        all.push_back(trellis::name(DType(i))), list += (i ? ", " : "") + std::string(all.back());
      std::string hint = did_you_mean(t.text, all);
      fail(t, fmt::format("there is no element type '{}'{}", t.text,
                          hint.empty() ? "; there are " + list : hint));
    }
    return *d;
  }

  Shape shape() {
    const Token &open = expect('[', "and a shape");
    Shape s;
    while (!peek().is(']')) {
      const Token &t = peek();
      if (t.kind == Kind::number) {
        int64_t n = integer("a dim is a number, a symbol or ?");
        if (n < 0) fail(t, fmt::format("a dim can not be negative: {}", n));
        s.push_back(n);
      } else if (t.kind == Kind::word || t.kind == Kind::string)
        s.push_back(Dim::symbol(spelling(next())));
      else if (accept('?'))
        s.push_back(Dim::unknown());
      else
        fail(t, fmt::format("expected a dim (a number, a symbol or ?), not {}", describe(t)));
      if (!accept(',')) break;
    }
    expect(']', "after the shape");
    if (!is_reasonable(s))
      fail(open, fmt::format("a tensor of shape {} is too large", Type{DType::f32, s}.str().substr(3)));
    return s;
  }

  Type type() {
    DType d = dtype();
    return {d, shape()};
  }

  // The spelling of one element: a number, inf, nan, nan(0x...), true or false.
  std::string element() {
    const Token &t = next();
    std::string text(t.text);
    if (t.is("nan") && accept('(')) {
      text = fmt::format("nan({})", expect(Kind::number, "the bits of a NaN").text);
      expect(')', "after the bits of a NaN");
    }
    return text;
  }

  Tensor tensor() {
    const Token &start = peek();
    Type t = type();
    if (!is_static(t.shape)) fail(start, fmt::format("a constant's dims are numbers, not {}", t.str()));
    if (peek().is("data")) return tensor_from_file(t);
    const Token first = peek();
    std::vector<Token> where;
    std::vector<std::pair<size_t, std::string>> joined; // elements of several tokens: position, spelling
    auto one = [&] {
      const Token &e = peek();
      if (e.kind != Kind::number && e.kind != Kind::word)
        fail(e, fmt::format("expected an element, not {}", describe(e)));
      where.push_back(e);
      if (std::string s = element(); s.size() != e.text.size())
        joined.emplace_back(where.size() - 1, std::move(s));
    };
    if (accept('[')) {
      for (skip_newlines(); !peek().is(']'); skip_newlines()) {
        one();
        skip_newlines();
        if (!accept(',')) break;
      }
      expect(']', "after the elements");
    } else if (t.rank() == 0)
      one();
    else
      fail(first, fmt::format("expected the elements, [...], not {}", describe(first)));
    if (int64_t(where.size()) != t.size())
      fail(first, fmt::format("{} has {} elements, but {} are given", t.str(), t.size(), where.size()));
    Tensor out(t.dtype, dims_of(t.shape));
    auto many = joined.begin();
    for (size_t i = 0; i < where.size(); ++i) {
      bool is_joined = many != joined.end() && many->first == i;
      std::string problem =
          set_element(out, int64_t(i), is_joined ? std::string_view(many++->second) : where[i].text);
      if (!problem.empty()) fail(where[i], problem);
    }
    return out;
  }

  Tensor tensor_from_file(const Type &t) {
    const Token &word = next();
    expect('(', "after 'data'");
    DataRef ref;
    ref.file = spelling(expect(Kind::string, "the data file's name in quotes"));
    expect(',', "and the tensor's name");
    ref.name = spelling(expect(Kind::string, "the tensor's name in quotes"));
    expect(')', "after the tensor's name");
    if (!options_.data)
      fail(word, fmt::format("the elements lie in '{}', which this text came without", ref.file));
    Tensor out = make(word, [&] { return options_.data(ref); });
    if (!(out.type() == t))
      fail(word, fmt::format("'{}' in '{}' is {}, not {}", ref.name, ref.file, out.type().str(), t.str()));
    return out;
  }

  std::string_view text_;
  const ParseOptions &options_;
  std::shared_ptr<const std::string> file_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::vector<Diagnostic> errors_;
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

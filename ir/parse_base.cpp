#include "ir/parse_base.h"
#include "ir/literal.h"
#include "ir/nearest.h"
#include <fmt/format.h>

namespace trellis {

namespace {
constexpr size_t kMostErrors = 20;
// Sums and products of two such numbers fit 64 bits, so that shape rules need not look for overflow.
constexpr int64_t kLargestInt = int64_t(1) << 31;
} // namespace

void ParseBase::skip_newlines() {
  while (peek().kind == Kind::newline) next();
}

std::string ParseBase::describe(const Token &t) {
  if (t.kind == Kind::end) return "the end of the text";
  if (t.kind == Kind::newline) return "the end of the line";
  return fmt::format("'{}'", t.text.substr(0, 40));
}

const Token &ParseBase::expect(char c, std::string_view where) {
  if (!peek().is(c)) fail(peek(), fmt::format("expected '{}' {}, not {}", c, where, describe(peek())));
  return next();
}

const Token &ParseBase::expect(Kind kind, std::string_view what) {
  if (peek().kind != kind) fail(peek(), fmt::format("expected {}, not {}", what, describe(peek())));
  return next();
}

void ParseBase::report(Token t, std::string text) {
  // What is missing at the end of a line is missing behind its last token, before a comment.
  if (const Token &last = tokens_[at_ ? at_ - 1 : 0]; t.kind == Kind::newline && last.line == t.line)
    t.column = last.column + uint32_t(last.text.size()), t.text = {last.text.data() + last.text.size(), 0};
  Diagnostic d{.where = at(t), .text = std::move(text), .source_line = source_line(t)};
  d.length = int(std::clamp<size_t>(t.text.size(), 1, 60));
  errors_.push_back(std::move(d));
  if (errors_.size() >= kMostErrors) throw GiveUp{};
}

void ParseBase::fail(const Token &t, std::string text) {
  report(t, t.kind == Kind::bad ? t.problem : std::move(text));
  throw Failed{};
}

std::string ParseBase::message(const CompileError &e) const {
  std::string text;
  for (const Diagnostic &d : e.diagnostics()) {
    std::string elsewhere = d.where.known() && d.where.file != file_ ? d.where.str() + ": " : "";
    text += (text.empty() ? "" : "; ") + elsewhere + d.text;
  }
  return text;
}

// The line without what a terminal would garble; none where the caret would stand too far to the right.
std::string ParseBase::source_line(const Token &t) const {
  if (t.column > 160) return {};
  size_t start = size_t(t.text.data() - text_.data()) - (t.column - 1);
  std::string line(text_.substr(start, std::min(text_.find('\n', start), text_.size()) - start));
  if (line.size() > 200) line.resize(200);
  for (char &c : line)
    if ((uint8_t(c) < 0x20 && c != '\t') || uint8_t(c) >= 0x7f) c = c == '\r' ? ' ' : '?';
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

void ParseBase::recover() {
  for (int depth = 0; peek().kind != Kind::end; next()) {
    if (depth == 0 && (peek().kind == Kind::newline || peek().is('}'))) return;
    depth += peek().is('{') - peek().is('}');
  }
}

std::string ParseBase::initialiser() {
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

void ParseBase::attribute(Op op, Attrs &attrs) {
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

AttrValue ParseBase::attribute_value(Attr a) {
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
    if (!t.is("true") && !t.is("false")) fail(t, fmt::format("{} true or false, not {}", want, describe(t)));
    return next().text == "true";
  case AttrKind::word:
  case AttrKind::text:
    if (t.kind != Kind::word && t.kind != Kind::string) fail(t, fmt::format("{} a word, not {}", want, describe(t)));
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

int64_t ParseBase::integer(const std::string &want) {
  const Token &t = peek();
  int64_t v = 0;
  bool digits = t.kind == Kind::number && t.text.find_first_not_of("+-0123456789") == std::string_view::npos;
  if (!digits) fail(t, fmt::format("{}, not {}", want, describe(t)));
  if (!parse_integer(t.text, v) || v > kLargestInt || v < -kLargestInt)
    fail(t, fmt::format("'{}' is out of range: {} to {}", t.text, -kLargestInt, kLargestInt));
  return next(), v;
}

DType ParseBase::dtype() {
  const Token &t = expect(Kind::word, "an element type");
  std::optional<DType> d = parse_dtype(t.text);
  if (!d) {
    std::vector<std::string_view> all;
    std::string list;
    for (int i = 0; i < kDTypeCount; ++i)
      all.push_back(trellis::name(DType(i))), list += (i ? ", " : "") + std::string(all.back());
    std::string hint = did_you_mean(t.text, all);
    fail(t, fmt::format("there is no element type '{}'{}", t.text, hint.empty() ? "; there are " + list : hint));
  }
  return *d;
}

Shape ParseBase::shape() {
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

Type ParseBase::type() {
  DType d = dtype();
  return {d, shape()};
}

std::string ParseBase::element() {
  const Token &t = next();
  std::string text(t.text);
  if (t.is("nan") && accept('(')) {
    text = fmt::format("nan({})", expect(Kind::number, "the bits of a NaN").text);
    expect(')', "after the bits of a NaN");
  }
  return text;
}

Tensor ParseBase::tensor() {
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
    if (std::string s = element(); s.size() != e.text.size()) joined.emplace_back(where.size() - 1, std::move(s));
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
    std::string problem = set_element(out, int64_t(i), is_joined ? std::string_view(many++->second) : where[i].text);
    if (!problem.empty()) fail(where[i], problem);
  }
  return out;
}

Tensor ParseBase::tensor_from_file(const Type &t) {
  const Token &word = next();
  expect('(', "after 'data'");
  DataRef ref;
  ref.file = spelling(expect(Kind::string, "the data file's name in quotes"));
  expect(',', "and the tensor's name");
  ref.name = spelling(expect(Kind::string, "the tensor's name in quotes"));
  expect(')', "after the tensor's name");
  if (!options_.data) fail(word, fmt::format("the elements lie in '{}', which this text came without", ref.file));
  Tensor out = make(word, [&] { return options_.data(ref); });
  if (!(out.type() == t))
    fail(word, fmt::format("'{}' in '{}' is {}, not {}", ref.name, ref.file, out.type().str(), t.str()));
  return out;
}

} // namespace trellis

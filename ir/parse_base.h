// What every part of the parser stands on: the token array with its position, the record of mistakes, and the
// small things of the language (attribute values, types, tensors).
#pragma once
#include "ir/lexer.h"
#include "ir/parse.h"
#include <algorithm>
#include <utility>

namespace trellis {

class ParseBase {
protected:
  using Kind = Token::Kind;
  struct Failed {}; ///< thrown after a mistake has been recorded; caught at statement level
  struct GiveUp {}; ///< no use in going on; caught at the top

  ParseBase(std::string_view text, std::string file, const ParseOptions &options)
      : file_(std::make_shared<const std::string>(std::move(file))), text_(text), options_(options),
        tokens_(tokenize(text)) {}

  const Token &peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token &next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(char c) { return peek().is(c) && (next(), true); }
  void skip_newlines();
  static std::string describe(const Token &t);
  const Token &expect(char c, std::string_view where);
  const Token &expect(Kind kind, std::string_view what);

  Location at(const Token &t) const { return {file_, int(t.line), int(t.column), {}}; }
  /// Records a mistake. Throws GiveUp after many.
  void report(Token t, std::string text);
  [[noreturn]] void fail(const Token &t, std::string text);
  /// Runs `f`, which makes nodes or reads files; what these have to say is reported at `t`.
  template <class F> auto make(const Token &t, F f) {
    try {
      return f();
    } catch (const CompileError &e) { fail(t, message(e)); }
  }
  /// To the end of the line on which the parser stands, or its graph's end; bodies that begin there are
  /// skipped whole.
  void recover();

  /// The text between balanced parentheses, or a string: which initialisers there are is not the parser's
  /// business.
  std::string initialiser();
  void attribute(Op op, Attrs &attrs);
  Type type();
  /// The spelling of one element: a number, inf, nan, nan(0x...), true or false.
  std::string element();
  Tensor tensor();

  std::shared_ptr<const std::string> file_;
  std::vector<Diagnostic> errors_;

private:
  std::string message(const CompileError &e) const;
  std::string source_line(const Token &t) const;
  AttrValue attribute_value(Attr a);
  int64_t integer(const std::string &want);
  DType dtype();
  Shape shape();
  Tensor tensor_from_file(const Type &t);

  std::string_view text_;
  const ParseOptions &options_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

} // namespace trellis

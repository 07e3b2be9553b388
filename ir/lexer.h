// Tokens of the text format.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

struct Token {
  enum class Kind : uint8_t {
    end,
    newline,
    word,   ///< dot, axes, f32, true, inf
    value,  ///< %x, %12, %"any text"
    global, ///< @main, @"any text"
    number, ///< 12, -0.5e3, -inf: its conversion may still fail
    string, ///< "any text"
    punct,  ///< one of ( ) [ ] { } , : = ?
    bad,    ///< what it is says `problem`
  } kind = Kind::end;
  uint32_t line = 1, column = 1; ///< 1-based; columns count bytes
  std::string_view text;         ///< as written
  const char *problem = nullptr;
  bool is(char c) const { return kind == Kind::punct && text[0] == c; }
  bool is(std::string_view w) const { return kind == Kind::word && text == w; }
};

/// All tokens of `text`, which must outlive them; comments (`//` to the end of the line) and blanks are
/// dropped. The last one is `end`. Never fails: what is no token becomes `bad`.
std::vector<Token> tokenize(std::string_view text);

/// The characters that a value, global or string token means: without the sign, quotes and escapes.
std::string spelling(const Token &t);
/// Whether `name` may stand without quotes as a word.
bool is_word(std::string_view name);
/// Whether `name` may stand without quotes after % or @ and is kept: digits alone are a number that the
/// printer gave.
bool is_plain_name(std::string_view name);
/// In quotes, with escapes, valid UTF-8 whatever `text` holds.
std::string quoted(std::string_view text);

} // namespace trellis

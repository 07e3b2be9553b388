#include "ir/lexer.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

using Kind = Token::Kind;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_name_char(char c) { return is_alpha(c) || is_digit(c) || c == '.'; }

// Bytes of the valid UTF-8 sequence at the start of `s`; 0: none. (RFC 3629: no overlong forms, no
// surrogates.)
static size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : uint8_t(0); };
  auto follows = [&](size_t i, uint8_t lo = 0x80, uint8_t hi = 0xBF) { return byte(i) >= lo && byte(i) <= hi; };
  uint8_t b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return follows(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) return follows(1, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  if (b >= 0xF0 && b <= 0xF4)
    return follows(1, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  return 0;
}

static int hex_digit(char c) {
  return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

namespace {
class Lexer {
public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = line_start_ = 3; // byte order mark
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\n')
        take(Kind::newline, 1), ++line_, line_start_ = at_;
      else if (c == ' ' || c == '\t' || c == '\r')
        ++at_;
      else if (text_.substr(at_).starts_with("//"))
        comment();
      else if (c == '%' || c == '@')
        sigil(c == '%' ? Kind::value : Kind::global);
      else if (c == '"')
        string(Kind::string, 0);
      else if (is_alpha(c))
        take(Kind::word, span(at_, is_name_char));
      else if (is_digit(c) ||
               ((c == '-' || c == '+' || c == '.') && at_ + 1 < text_.size() && is_name_char(text_[at_ + 1])))
        take(Kind::number, number());
      else if (std::string_view("()[]{},:=?").find(c) != std::string_view::npos)
        take(Kind::punct, 1);
      else
        stray();
    }
    take(Kind::end, 0);
    return std::move(out_);
  }

private:
  void take(Kind kind, size_t length, const char *problem = nullptr) {
    out_.push_back({kind, line_, uint32_t(at_ - line_start_ + 1), text_.substr(at_, length), problem});
    at_ += length;
  }
  size_t span(size_t from, bool (*inside)(char)) const {
    size_t i = from;
    while (i < text_.size() && inside(text_[i])) ++i;
    return i - from;
  }
  size_t number() const {
    size_t i = at_ + 1;
    bool hex = text_.substr(at_, 2) == "0x";
    for (; i < text_.size(); ++i) {
      char c = text_[i];
      bool exponent = !hex && (text_[i - 1] == 'e' || text_[i - 1] == 'E');
      if (!is_name_char(c) && !((c == '-' || c == '+') && exponent)) break;
    }
    return i - at_;
  }
  void comment() {
    while (at_ < text_.size() && text_[at_] != '\n') {
      size_t n = utf8_length(text_.substr(at_));
      if (!n)
        take(Kind::bad, 1, "this byte is not valid UTF-8");
      else
        at_ += n;
    }
  }
  void sigil(Kind kind) {
    if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') return string(kind, 1);
    size_t n = span(at_ + 1, is_name_char);
    if (n)
      take(kind, n + 1);
    else
      take(Kind::bad, 1, "a name must follow");
  }
  void string(Kind kind, size_t skip) {
    for (size_t i = at_ + skip + 1; i < text_.size() && text_[i] != '\n';) {
      if (text_[i] == '"') return take(kind, i + 1 - at_);
      size_t n = 1;
      if (text_[i] == '\\') {
        char e = i + 1 < text_.size() ? text_[i + 1] : '\0';
        bool hex = e == 'x' && i + 3 < text_.size() && hex_digit(text_[i + 2]) >= 0 && hex_digit(text_[i + 3]) >= 0;
        if (!hex && e != '"' && e != '\\' && e != 'n' && e != 't')
          return take(Kind::bad, i + 1 - at_, "unknown escape in a string: there are \\\" \\\\ \\n \\t and \\xHH");
        n = hex ? 4 : 2;
      } else if (!(n = utf8_length(text_.substr(i))))
        return take(Kind::bad, i + 1 - at_, "this string is not valid UTF-8");
      i += n;
    }
    take(Kind::bad, std::min(text_.find('\n', at_), text_.size()) - at_,
         "this string has no closing quote on its line");
  }
  void stray() {
    size_t n = utf8_length(text_.substr(at_));
    if (n)
      take(Kind::bad, n, "unexpected character");
    else
      take(Kind::bad, 1, "this byte is not valid UTF-8");
  }

  std::string_view text_;
  size_t at_ = 0, line_start_ = 0;
  uint32_t line_ = 1;
  std::vector<Token> out_;
};
} // namespace

std::vector<Token> tokenize(std::string_view text) { return Lexer(text).run(); }

std::string spelling(const Token &t) {
  std::string_view s = t.text;
  if (t.kind == Kind::value || t.kind == Kind::global) s.remove_prefix(1);
  if (s.empty() || s[0] != '"') return std::string(s);
  s = s.substr(1, s.size() - 2);
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\') {
      out += s[i];
      continue;
    }
    char e = s[++i];
    if (e == 'x')
      out += char(hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2])), i += 2;
    else
      out += e == 'n' ? '\n' : e == 't' ? '\t' : e;
  }
  return out;
}

bool is_word(std::string_view name) {
  return !name.empty() && is_alpha(name[0]) && std::all_of(name.begin(), name.end(), is_name_char);
}
bool is_plain_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_name_char) &&
         !std::all_of(name.begin(), name.end(), is_digit);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    size_t n = utf8_length(text.substr(i));
    if (n > 1)
      out += text.substr(i, n);
    else if (c == '"' || c == '\\')
      out += '\\', out += c;
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (!n || uint8_t(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", uint8_t(c));
    else
      out += c;
    i += std::max<size_t>(n, 1);
  }
  return out + '"';
}

} // namespace trellis

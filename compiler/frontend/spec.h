// Small option texts: "name(1, 2)" and "name:key=value,key=value". Errors name the text and what would be
// right.
#pragma once
#include "ir/diag.h"
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// "normal(0.02)" -> name "normal", arguments {0.02}; "zero" has none.
struct CallSpec {
  std::string name;
  std::vector<double> args;
};
/// `what` begins the error messages ("initialiser").
CallSpec parse_call(std::string_view text, std::string_view what, const Location &where);

/// The values of "name:key=value,...". Each key may be asked for once; `finish` refuses what nobody asked
/// for.
class KeyValueSpec {
public:
  KeyValueSpec(std::string_view text, std::string_view what);
  const std::string &name() const { return name_; }
  double number(std::string_view key, double otherwise, double low, double high);
  bool flag(std::string_view key, bool otherwise);
  /// One of `words`; the first if absent.
  std::string word(std::string_view key, const std::vector<std::string_view> &words);
  bool has(std::string_view key) const;
  void finish() const;
  [[noreturn]] void fail(const std::string &text) const;

private:
  struct Entry {
    std::string key, value;
    bool used = false;
  };
  Entry *take(std::string_view key);
  std::string text_, what_, name_;
  std::vector<Entry> entries_;
  std::vector<std::string> known_;
};

/// The whole text as a finite or infinite number; false where it is none.
bool parse_number(std::string_view text, double &value);
/// "'a', 'b' or 'c'".
std::string list_words(const std::vector<std::string_view> &words);

} // namespace trellis

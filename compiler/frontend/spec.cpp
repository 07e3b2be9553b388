#include "compiler/frontend/spec.h"
#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace trellis {

static std::string_view trim(std::string_view s) {
  auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!s.empty() && space(s.front())) s.remove_prefix(1);
  while (!s.empty() && space(s.back())) s.remove_suffix(1);
  return s;
}

bool parse_number(std::string_view text, double &value) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value == value;
}

std::string list_words(const std::vector<std::string_view> &words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i)
    out += fmt::format("{}'{}'", i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  return out;
}

CallSpec parse_call(std::string_view text, std::string_view what, const Location &where) {
  auto fail = [&](const std::string &why) { throw CompileError(where, fmt::format("{} '{}': {}", what, text, why)); };
  CallSpec call;
  std::string_view body = trim(text);
  size_t open = body.find('(');
  call.name = trim(body.substr(0, open));
  if (call.name.empty()) fail("a name is missing");
  if (open == body.npos) return call;
  if (body.back() != ')') fail("')' is missing at the end");
  body = body.substr(open + 1, body.size() - open - 2);
  while (true) {
    size_t comma = body.find(',');
    double value = 0;
    if (!parse_number(trim(body.substr(0, comma)), value))
      fail(fmt::format("'{}' is not a number", trim(body.substr(0, comma))));
    call.args.push_back(value);
    if (comma == body.npos) return call;
    body.remove_prefix(comma + 1);
  }
}

KeyValueSpec::KeyValueSpec(std::string_view text, std::string_view what) : text_(text), what_(what) {
  size_t colon = text.find(':');
  name_ = trim(text.substr(0, colon));
  if (colon == text.npos) return;
  std::string_view rest = text.substr(colon + 1);
  while (true) {
    size_t comma = rest.find(','), equals = rest.substr(0, comma).find('=');
    std::string_view item = trim(rest.substr(0, comma));
    if (equals == rest.npos) fail(fmt::format("'{}' is not of the form key=value", item));
    std::string key(trim(item.substr(0, item.find('='))));
    for (const Entry &e : entries_)
      if (e.key == key) fail(fmt::format("'{}' is given twice", key));
    entries_.push_back({key, std::string(trim(item.substr(item.find('=') + 1)))});
    if (comma == rest.npos) return;
    rest.remove_prefix(comma + 1);
  }
}

void KeyValueSpec::fail(const std::string &text) const {
  throw CompileError(fmt::format("{} '{}': {}", what_, text_, text));
}

bool KeyValueSpec::has(std::string_view key) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry &e) { return e.key == key; });
}

KeyValueSpec::Entry *KeyValueSpec::take(std::string_view key) {
  known_.emplace_back(key);
  for (Entry &e : entries_)
    if (e.key == key) return e.used = true, &e;
  return nullptr;
}

double KeyValueSpec::number(std::string_view key, double otherwise, double low, double high) {
  Entry *e = take(key);
  if (!e) return otherwise;
  double value = 0;
  if (!parse_number(e->value, value)) fail(fmt::format("{}: '{}' is not a number", key, e->value));
  if (!(value >= low && value <= high))
    fail(fmt::format("{}={} is out of range: give {} to {}", key, e->value, low, high));
  return value;
}

bool KeyValueSpec::flag(std::string_view key, bool otherwise) {
  Entry *e = take(key);
  if (!e) return otherwise;
  if (e->value == "true" || e->value == "1") return true;
  if (e->value == "false" || e->value == "0") return false;
  fail(fmt::format("{}: '{}' is neither 'true' nor 'false'", key, e->value));
}

std::string KeyValueSpec::word(std::string_view key, const std::vector<std::string_view> &words) {
  Entry *e = take(key);
  if (!e) return std::string(words.front());
  if (std::find(words.begin(), words.end(), e->value) == words.end())
    fail(fmt::format("{}: '{}' is unknown: give {}", key, e->value, list_words(words)));
  return e->value;
}

void KeyValueSpec::finish() const {
  for (const Entry &e : entries_) {
    if (e.used) continue;
    std::vector<std::string_view> known(known_.begin(), known_.end());
    fail(fmt::format("{} has no option '{}': give {}", name_, e.key, list_words(known)));
  }
}

} // namespace trellis

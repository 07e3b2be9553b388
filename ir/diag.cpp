#include "ir/diag.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>

namespace trellis {

std::string Location::str() const {
  std::string out = file ? *file : "";
  if (line) out += fmt::format("{}{}", out.empty() ? "line " : ":", line);
  if (line && column) out += fmt::format(":{}", column);
  if (!node.empty()) out += (out.empty() ? "" : ": ") + node;
  return out;
}

// A number or a name can be as long as its file; beyond a page a message is cut.
static std::string page_of(const std::string &text) {
  size_t size = 2000;
  if (text.size() <= size) return text;
  while (size && (text[size] & 0xc0) == 0x80) --size; // between characters
  return text.substr(0, size) + "...";
}

std::string Diagnostic::str() const {
  static constexpr const char *kKinds[] = {"error", "warning", "note"};
  std::string at = where.str();
  std::string out = fmt::format("{}{}{}: {}", at, at.empty() ? "" : ": ", kKinds[int(kind)], page_of(text));
  if (source_line.empty()) return out;
  std::string pad;
  for (int i = 0; i + 1 < where.column && i < int(source_line.size()); ++i)
    pad += source_line[size_t(i)] == '\t' ? '\t' : ' ';
  return out + fmt::format("\n  {}\n  {}^{}", source_line, pad, std::string(size_t(std::max(0, length - 1)), '~'));
}

static std::string join(const std::vector<Diagnostic> &all) {
  std::string out;
  for (const Diagnostic &d : all) out += (out.empty() ? "" : "\n") + d.str();
  return out;
}

CompileError::CompileError(std::vector<Diagnostic> all) : all_(std::move(all)), report_(join(all_)) {}
CompileError::CompileError(Location where, std::string text)
    : CompileError(std::vector{Diagnostic{.where = std::move(where), .text = std::move(text), .source_line = {}}}) {}

void check_failed(const char *file, int line, const char *condition, std::string_view text) {
  std::fprintf(stderr, "trellis: internal error at %s:%d: %s does not hold: %.*s\n", file, line, condition,
               int(text.size()), text.data());
  std::abort();
}

} // namespace trellis

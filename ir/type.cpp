#include "ir/type.h"
#include "ir/diag.h"
#include <array>
#include <fmt/format.h>
#include <map>
#include <mutex>

namespace trellis {

static constexpr std::array<std::string_view, kDTypeCount> kNames = {"f32", "f64", "f16", "bf16", "i8",  "i16", "i32",
                                                                     "i64", "u8",  "u16", "u32",  "u64", "bool"};

std::string_view name(DType t) { return kNames[size_t(t)]; }

std::optional<DType> parse_dtype(std::string_view text) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kNames[size_t(i)] == text) return DType(i);
  return std::nullopt;
}

// Symbols are interned for the life of the process: -1 is the first one.
static std::mutex symbol_mutex;
static std::vector<std::string> symbol_names;

Dim Dim::symbol(std::string_view name) {
  std::lock_guard lock(symbol_mutex);
  for (size_t i = 0; i < symbol_names.size(); ++i)
    if (symbol_names[i] == name) return from_raw(-1 - int64_t(i));
  symbol_names.emplace_back(name);
  return from_raw(-int64_t(symbol_names.size()));
}

int64_t Dim::value() const {
  TRELLIS_CHECK(is_static(), fmt::format("dim '{}' has no number here: bind it first", str()));
  return raw_;
}

std::string Dim::str() const {
  if (is_static()) return std::to_string(raw_);
  if (is_unknown()) return "?";
  std::lock_guard lock(symbol_mutex);
  return symbol_names[size_t(-1 - raw_)];
}

bool same(const Shape &a, const Shape &b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!same(a[i], b[i])) return false;
  return true;
}

bool is_static(const Shape &s) {
  for (Dim d : s)
    if (!d.is_static()) return false;
  return true;
}

bool is_reasonable(const Shape &s) {
  int64_t n = 1;
  for (Dim d : s) {
    if (!d.is_static() || d.value() == 0) continue;
    if (d.value() > int64_t(1) << 31 || d.value() > (int64_t(1) << 40) / n) return false;
    n *= d.value();
  }
  return true;
}

int64_t element_count(const Shape &s) {
  int64_t n = 1;
  for (Dim d : s) n *= d.value();
  return n;
}

std::vector<int64_t> dims_of(const Shape &s) { return {s.begin(), s.end()}; }
Shape shape_of(const std::vector<int64_t> &dims) { return {dims.begin(), dims.end()}; }

std::string Type::str() const {
  std::string out{name(dtype)};
  out += '[';
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + shape[i].str();
  return out + ']';
}

} // namespace trellis

#include "ir/literal.h"
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

namespace trellis {

template <class T> static std::string shortest(T v) {
  char buffer[64];
  auto r = std::to_chars(buffer, buffer + sizeof buffer, v);
  return {buffer, r.ptr};
}

// from_chars takes no leading plus.
static std::string_view without_plus(std::string_view s) {
  return s.size() > 1 && s[0] == '+' && s[1] != '-' ? s.substr(1) : s;
}
template <class T> static std::errc read(std::string_view s, T &v) {
  s = without_plus(s);
  auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  return r.ec == std::errc() && r.ptr != s.data() + s.size() ? std::errc::invalid_argument : r.ec;
}

std::string format_real(double v) { return shortest(v); }
bool parse_real(std::string_view text, double &v) { return read(text, v) == std::errc() && std::isfinite(v); }
bool parse_integer(std::string_view text, int64_t &v) { return read(text, v) == std::errc(); }

static uint64_t quiet_nan(DType t) {
  switch (t) {
  case DType::f64: return 0x7ff8000000000000;
  case DType::f16: return 0x7e00;
  case DType::bf16: return 0x7fc0;
  default: return 0x7fc00000;
  }
}
static uint64_t bits_of(const Tensor &t, int64_t i) {
  uint64_t bits = 0;
  size_t n = size_t(size_of(t.dtype()));
  std::memcpy(&bits, t.data() + size_t(i) * n, n); // little endian
  return bits;
}
static void set_bits(Tensor &t, int64_t i, uint64_t bits) {
  size_t n = size_t(size_of(t.dtype()));
  std::memcpy(t.data() + size_t(i) * n, &bits, n);
}
static_assert(std::endian::native == std::endian::little);

std::string format_element(const Tensor &t, int64_t i) {
  if (t.dtype() == DType::boolean) return t.get_int(i) ? "true" : "false";
  if (t.dtype() == DType::u64) return std::to_string(uint64_t(t.get_int(i)));
  if (!is_float(t.dtype())) return std::to_string(t.get_int(i));
  double v = t.get(i);
  if (std::isnan(v)) {
    uint64_t bits = bits_of(t, i);
    return bits == quiet_nan(t.dtype()) ? "nan" : fmt::format("nan({:#x})", bits);
  }
  if (t.dtype() == DType::f64) return shortest(v);
  return shortest(float(v)); // exact for the three narrower ones
}

static std::string set_integer(Tensor &t, int64_t i, std::string_view text) {
  DType d = t.dtype();
  int bits = 8 * size_of(d);
  std::string range, problem = fmt::format("'{}' is not an integer, as {} needs", text, name(d));
  if (is_unsigned_int(d)) {
    uint64_t most = ~uint64_t(0) >> (64 - bits), v = 0;
    range = fmt::format("'{}' is out of range for {}: 0 to {}", text, name(d), most);
    std::errc e = read(text, v);
    int64_t negative = 0;
    if (e == std::errc::invalid_argument && read(text, negative) == std::errc::invalid_argument) return problem;
    if (e != std::errc() || v > most) return range;
    t.set_int(i, int64_t(v));
  } else {
    int64_t least = std::numeric_limits<int64_t>::min() >> (64 - bits), v = 0;
    range = fmt::format("'{}' is out of range for {}: {} to {}", text, name(d), least, ~least);
    std::errc e = read(text, v);
    if (e == std::errc::invalid_argument) return problem;
    if (e != std::errc() || v < least || v > ~least) return range;
    t.set_int(i, v);
  }
  return {};
}

static std::string set_float(Tensor &t, int64_t i, std::string_view text) {
  DType d = t.dtype();
  if (text == "nan") return set_bits(t, i, quiet_nan(d)), "";
  if (text.starts_with("nan(0x") && text.ends_with(")")) {
    uint64_t bits = 0;
    std::string_view digits = text.substr(6, text.size() - 7);
    auto r = std::from_chars(digits.data(), digits.data() + digits.size(), bits, 16);
    if (r.ec != std::errc() || r.ptr != digits.data() + digits.size() || (size_of(d) < 8 && bits >> (8 * size_of(d))))
      return fmt::format("'{}' does not hold the bits of a {}", text, name(d));
    Tensor probe(d, {});
    set_bits(probe, 0, bits);
    if (!std::isnan(probe.get(0))) return fmt::format("'{}' holds the bits of a number, not of a NaN", text);
    return set_bits(t, i, bits), "";
  }
  std::string_view plain = without_plus(text);
  if (plain == "inf" || plain == "-inf") return t.set(i, plain[0] == '-' ? -INFINITY : INFINITY), "";
  // f32 is read as such: through double it would be rounded twice.
  double v = 0;
  float narrow = 0;
  std::errc e = d == DType::f32 ? read(text, narrow) : read(text, v);
  if (d == DType::f32) v = double(narrow);
  if (e == std::errc::invalid_argument || (e == std::errc() && !std::isfinite(v)))
    return fmt::format("'{}' is not a number", text);
  if (e == std::errc()) t.set(i, v);
  if (e != std::errc() || std::isinf(t.get(i))) return fmt::format("'{}' is out of range for {}", text, name(d));
  return {};
}

std::string set_element(Tensor &t, int64_t i, std::string_view text) {
  if (t.dtype() == DType::boolean) {
    if (text != "true" && text != "false") return fmt::format("'{}' is not a bool: write true or false", text);
    return t.set_int(i, text == "true"), "";
  }
  return is_float(t.dtype()) ? set_float(t, i, text) : set_integer(t, i, text);
}

} // namespace trellis

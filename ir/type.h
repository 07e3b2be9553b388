// Tensor types: an element type and a shape whose dims may be symbolic.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

enum class DType : uint8_t { f32, f64, f16, bf16, i8, i16, i32, i64, u8, u16, u32, u64, boolean };
inline constexpr int kDTypeCount = 13;

/// "f32", ..., "bool": the spelling in text.
std::string_view name(DType t);
std::optional<DType> parse_dtype(std::string_view text);

constexpr int size_of(DType t) {
  switch (t) {
  case DType::f64:
  case DType::i64:
  case DType::u64: return 8;
  case DType::f32:
  case DType::i32:
  case DType::u32: return 4;
  case DType::f16:
  case DType::bf16:
  case DType::i16:
  case DType::u16: return 2;
  default: return 1;
  }
}
constexpr bool is_float(DType t) { return t <= DType::bf16; }
constexpr bool is_signed_int(DType t) { return t >= DType::i8 && t <= DType::i64; }
constexpr bool is_unsigned_int(DType t) { return t >= DType::u8 && t <= DType::u64; }
constexpr bool is_integer(DType t) { return is_signed_int(t) || is_unsigned_int(t); }

/// The extent of one axis: a number, a named symbol (`N`), or unknown (`?`).
/// Only parse, print, verify and info meet symbols; reading the number of a symbolic dim aborts.
class Dim {
public:
  constexpr Dim(int64_t value = 0) : raw_(value) {}
  static Dim symbol(std::string_view name);
  static constexpr Dim unknown() { return from_raw(kUnknown); }
  constexpr bool is_static() const { return raw_ >= 0; }
  constexpr bool is_unknown() const { return raw_ == kUnknown; }
  bool is_symbol() const { return raw_ < 0 && raw_ != kUnknown; }
  /// The number; a symbolic or unknown dim is an internal error.
  int64_t value() const;
  operator int64_t() const { return value(); }
  std::string str() const;
  /// Orders and hashes dims of any kind.
  constexpr int64_t raw() const { return raw_; }

private:
  static constexpr int64_t kUnknown = std::numeric_limits<int64_t>::min();
  static constexpr Dim from_raw(int64_t raw) {
    Dim d;
    d.raw_ = raw;
    return d;
  }
  int64_t raw_;
};
inline bool same(Dim a, Dim b) { return a.raw() == b.raw(); }
/// Equal, or one of them is not known yet.
inline bool compatible(Dim a, Dim b) { return same(a, b) || a.is_unknown() || b.is_unknown(); }

using Shape = std::vector<Dim>;
bool same(const Shape &a, const Shape &b);
bool is_static(const Shape &s);
/// Static dims of at most 2^31 and at most 2^40 elements (dims of 0 left aside): what every node's results keep to, so
/// that shape rules and index arithmetic need not look for overflow.
bool is_reasonable(const Shape &s);
/// Product of static dims.
int64_t element_count(const Shape &s);
/// The dims as numbers.
std::vector<int64_t> dims_of(const Shape &s);
Shape shape_of(const std::vector<int64_t> &dims);

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  int rank() const { return int(shape.size()); }
  int64_t size() const { return element_count(shape); }
  int64_t bytes() const { return size() * size_of(dtype); }
  std::string str() const;
  friend bool operator==(const Type &a, const Type &b) { return a.dtype == b.dtype && same(a.shape, b.shape); }
};

} // namespace trellis

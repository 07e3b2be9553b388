// A dense row-major tensor in host memory: constants, the interpreter's values, files' contents.
#pragma once
#include "ir/type.h"
#include <cstddef>
#include <memory>
#include <span>

namespace trellis {

/// Shares its storage between copies; `clone` makes an own one. Rank 0 holds one element.
class Tensor {
public:
  Tensor() = default;
  /// Zero-filled.
  Tensor(DType dtype, std::vector<int64_t> dims);
  /// Wraps memory that `owner` keeps alive (a mapped file, a caller's buffer).
  Tensor(DType dtype, std::vector<int64_t> dims, std::shared_ptr<void> owner, void *data);
  static Tensor scalar(DType dtype, double value);
  static Tensor scalar_int(DType dtype, int64_t value);
  template <class T> static Tensor of(DType dtype, std::vector<int64_t> dims, std::span<const T> values);

  DType dtype() const { return dtype_; }
  const std::vector<int64_t> &dims() const { return dims_; }
  int rank() const { return int(dims_.size()); }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * size_of(dtype_); }
  Type type() const { return {dtype_, shape_of(dims_)}; }
  explicit operator bool() const { return data_ != nullptr; }

  std::byte *data() { return static_cast<std::byte *>(data_); }
  const std::byte *data() const { return static_cast<const std::byte *>(data_); }
  template <class T> std::span<T> as() { return {static_cast<T *>(data_), size_t(size_)}; }
  template <class T> std::span<const T> as() const { return {static_cast<const T *>(data_), size_t(size_)}; }

  /// Element `i` in row-major order as a double (integers beyond 2^53 lose bits: use `get_int`).
  double get(int64_t i) const;
  /// Rounds to the dtype (nearest even; integers: truncated towards zero, saturated, NaN is 0).
  void set(int64_t i, double value);
  /// Element of an integer or bool tensor; u64 keeps its bit pattern.
  int64_t get_int(int64_t i) const;
  /// Keeps the low bits (two's complement); bool: non-zero is true.
  void set_int(int64_t i, int64_t value);

  Tensor clone() const;
  /// Same storage, other dims of the same count.
  Tensor reshaped(std::vector<int64_t> dims) const;
  /// Same dtype, dims and bytes.
  friend bool operator==(const Tensor &a, const Tensor &b);

private:
  DType dtype_ = DType::f32;
  std::vector<int64_t> dims_;
  int64_t size_ = 0;
  std::shared_ptr<void> owner_;
  void *data_ = nullptr;
};

template <class T> Tensor Tensor::of(DType dtype, std::vector<int64_t> dims, std::span<const T> values) {
  Tensor t(dtype, std::move(dims));
  for (size_t i = 0; i < values.size(); ++i)
    if constexpr (std::is_integral_v<T>)
      is_float(dtype) ? t.set(int64_t(i), double(values[i])) : t.set_int(int64_t(i), int64_t(values[i]));
    else
      t.set(int64_t(i), double(values[i]));
  return t;
}

/// Rounds `value` to a dtype and back: the interpreter applies it to every floating result.
double round_to(DType dtype, double value);
/// IEEE binary16 and bfloat16, round to nearest even, subnormals and NaN kept.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
uint16_t f64_to_f16(double value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);
uint16_t f64_to_bf16(double value);

} // namespace trellis

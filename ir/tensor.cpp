#include "ir/tensor.h"
#include "ir/diag.h"
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace trellis {

static int64_t count(const std::vector<int64_t> &dims) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  return n;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> dims) : dtype_(dtype), dims_(std::move(dims)), size_(count(dims_)) {
  size_t bytes = (size_t(size_) * size_t(size_of(dtype)) + 64) / 64 * 64; // never empty, whole cache lines
  void *p = std::aligned_alloc(64, bytes);
  if (!p) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  owner_ = std::shared_ptr<void>(p, std::free);
  data_ = p;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> dims, std::shared_ptr<void> owner, void *data)
    : dtype_(dtype), dims_(std::move(dims)), size_(count(dims_)), owner_(std::move(owner)), data_(data) {}

Tensor Tensor::scalar(DType dtype, double value) {
  Tensor t(dtype, {});
  t.set(0, value);
  return t;
}

Tensor Tensor::scalar_int(DType dtype, int64_t value) {
  Tensor t(dtype, {});
  if (is_float(dtype))
    t.set(0, double(value));
  else
    t.set_int(0, value);
  return t;
}

// Calls f with a null pointer of the C++ type that stores `t`; f16 and bf16 are handled before.
template <class F> static auto dispatch(DType t, F f) {
  switch (t) {
  case DType::f32: return f(static_cast<float *>(nullptr));
  case DType::f64: return f(static_cast<double *>(nullptr));
  case DType::i8: return f(static_cast<int8_t *>(nullptr));
  case DType::i16: return f(static_cast<int16_t *>(nullptr));
  case DType::i32: return f(static_cast<int32_t *>(nullptr));
  case DType::i64: return f(static_cast<int64_t *>(nullptr));
  case DType::u16: return f(static_cast<uint16_t *>(nullptr));
  case DType::u32: return f(static_cast<uint32_t *>(nullptr));
  case DType::u64: return f(static_cast<uint64_t *>(nullptr));
  default: return f(static_cast<uint8_t *>(nullptr)); // u8, bool
  }
}

double Tensor::get(int64_t i) const {
  if (dtype_ == DType::f16) return f16_to_f32(as<uint16_t>()[size_t(i)]);
  if (dtype_ == DType::bf16) return bf16_to_f32(as<uint16_t>()[size_t(i)]);
  return dispatch(dtype_, [&]<class T>(T *) { return double(as<T>()[size_t(i)]); });
}

void Tensor::set(int64_t i, double v) {
  if (dtype_ == DType::f16) {
    as<uint16_t>()[size_t(i)] = f64_to_f16(v);
    return;
  }
  if (dtype_ == DType::bf16) {
    as<uint16_t>()[size_t(i)] = f64_to_bf16(v);
    return;
  }
  if (dtype_ == DType::boolean) {
    as<uint8_t>()[size_t(i)] = v != 0;
    return;
  }
  dispatch(dtype_, [&]<class T>(T *) {
    if constexpr (std::is_floating_point_v<T>)
      as<T>()[size_t(i)] = T(v);
    else {
      // 2^digits is exact as a double; max() itself is not for 64 bits.
      constexpr double top = double(uint64_t(1) << (std::numeric_limits<T>::digits - 1)) * 2;
      T out = std::isnan(v)                                ? T(0)
              : v >= top                                   ? std::numeric_limits<T>::max()
              : v <= double(std::numeric_limits<T>::min()) ? std::numeric_limits<T>::min()
                                                           : T(v);
      as<T>()[size_t(i)] = out;
    }
  });
}

int64_t Tensor::get_int(int64_t i) const {
  TRELLIS_CHECK(!is_float(dtype_), "get_int of a floating tensor");
  return dispatch(dtype_, [&]<class T>(T *) { return int64_t(as<T>()[size_t(i)]); });
}

void Tensor::set_int(int64_t i, int64_t v) {
  TRELLIS_CHECK(!is_float(dtype_), "set_int of a floating tensor");
  if (dtype_ == DType::boolean) {
    as<uint8_t>()[size_t(i)] = v != 0;
    return;
  }
  dispatch(dtype_, [&]<class T>(T *) { as<T>()[size_t(i)] = T(v); });
}

Tensor Tensor::clone() const {
  Tensor t(dtype_, dims_);
  if (bytes()) std::memcpy(t.data_, data_, size_t(bytes()));
  return t;
}

Tensor Tensor::reshaped(std::vector<int64_t> dims) const {
  TRELLIS_CHECK(count(dims) == size_, "reshape changes the number of elements");
  return Tensor(dtype_, std::move(dims), owner_, data_);
}

bool operator==(const Tensor &a, const Tensor &b) {
  if (a.dtype_ != b.dtype_ || a.dims_ != b.dims_) return false;
  return a.data_ == b.data_ || a.bytes() == 0 || std::memcmp(a.data_, b.data_, size_t(a.bytes())) == 0;
}

double round_to(DType dtype, double v) {
  switch (dtype) {
  case DType::f32: return double(float(v));
  case DType::f16: return f16_to_f32(f64_to_f16(v));
  case DType::bf16: return bf16_to_f32(f64_to_bf16(v));
  default: return v;
  }
}

// Narrowing from f64 directly: going through f32 would round twice.
// `fraction` bits are kept of a value whose exponent range is [emin, emax].
static uint16_t narrow(double v, int fraction, int exponent_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  uint64_t u = std::bit_cast<uint64_t>(v);
  uint16_t sign = uint16_t(u >> 63 << 15), inf = uint16_t(((1 << exponent_bits) - 1) << fraction);
  if (std::isnan(v)) return uint16_t(sign | inf | (1 << (fraction - 1)));
  double a = std::fabs(v);
  if (std::isinf(a)) return uint16_t(sign | inf);
  if (a == 0) return sign;
  int e = std::max(std::ilogb(a), 1 - bias);
  double scaled = std::nearbyint(std::ldexp(a, fraction - e)); // integer in [0, 2^(fraction+1)]
  uint64_t bits = uint64_t(e + bias - 1) << fraction;          // the implicit bit carries into the exponent
  bits += uint64_t(scaled);
  return bits >= inf ? uint16_t(sign | inf) : uint16_t(sign | bits);
}

static double widen(uint16_t bits, int fraction, int exponent_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  int e = (bits >> fraction) & ((1 << exponent_bits) - 1), m = bits & ((1 << fraction) - 1);
  double sign = bits >> 15 ? -1 : 1;
  if (e == (1 << exponent_bits) - 1) return m ? std::numeric_limits<double>::quiet_NaN() : sign * HUGE_VAL;
  return sign * (e ? std::ldexp(m + (1 << fraction), e - bias - fraction) : std::ldexp(m, 1 - bias - fraction));
}

float f16_to_f32(uint16_t b) { return float(widen(b, 10, 5)); }
uint16_t f64_to_f16(double v) { return narrow(v, 10, 5); }
uint16_t f32_to_f16(float v) { return narrow(v, 10, 5); }
float bf16_to_f32(uint16_t b) { return std::bit_cast<float>(uint32_t(b) << 16); }
uint16_t f64_to_bf16(double v) { return narrow(v, 7, 8); }
uint16_t f32_to_bf16(float v) { return narrow(v, 7, 8); }

} // namespace trellis

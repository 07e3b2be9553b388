// Random tensors with special values, and how results compare.
#pragma once
#include "ir/eval.h"
#include <cmath>
#include <gtest/gtest.h>
#include <random>

namespace trellis::test {

using Inputs = std::map<std::string, Tensor>; ///< what `evaluate` takes

enum class Specials { none, zeros, all };

/// Small numbers, of which many are equal, negative or powers of two; `zeros` adds both zeros, `all` NaN,
/// infinities and subnormals.
inline Tensor random_tensor(Type type, std::mt19937_64 &rng, Specials specials) {
  Tensor t(type.dtype, dims_of(type.shape));
  const double any[] = {0.0, -0.0, 1, -1, 2, 0.5, INFINITY, -INFINITY, NAN, 1e-310, 3e-39, -1e-40, 6e-8, 3e38, 1e308};
  int usable = specials == Specials::all ? 15 : specials == Specials::zeros ? 6 : 0;
  for (int64_t i = 0; i < t.size(); ++i) {
    uint64_t r = rng();
    if (!is_float(type.dtype))
      t.set_int(i, int64_t(r % 4 == 0 ? rng() : r % 4 == 1 ? 0 : r / 4 % 7) - int64_t(r % 3));
    else if (usable && r % 3 == 0)
      t.set(i, any[r / 3 % uint64_t(usable)]);
    else
      t.set(i, std::uniform_real_distribution<double>(-4, 4)(rng));
  }
  return t;
}

/// Same bits, any NaN being like any other.
inline bool same_bits(const Tensor &a, const Tensor &b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) return false;
  for (int64_t i = 0; i < a.size(); ++i) {
    if (!is_float(a.dtype())) {
      if (a.get_int(i) != b.get_int(i)) return false;
    } else {
      double x = a.get(i), y = b.get(i);
      if (std::isnan(x) != std::isnan(y) || (!std::isnan(x) && (x != y || std::signbit(x) != std::signbit(y))))
        return false;
    }
  }
  return true;
}

/// The same, with the first elements that differ.
inline void expect_same_bits(const Tensor &got, const Tensor &want, const std::string &what) {
  ASSERT_EQ(got.type().str(), want.type().str()) << what;
  if (same_bits(got, want)) return;
  for (int64_t i = 0, shown = 0; i < want.size() && shown < 3; ++i) {
    double x = is_float(want.dtype()) ? got.get(i) : double(got.get_int(i));
    double y = is_float(want.dtype()) ? want.get(i) : double(want.get_int(i));
    bool same = std::isnan(y) ? std::isnan(x) : x == y && std::signbit(x) == std::signbit(y);
    if (!same && ++shown) ADD_FAILURE() << what << " element " << i << ": " << x << " for " << y;
  }
}

/// Within `tolerance` of the largest magnitude; infinities are equal, NaN is close to nothing.
inline bool close(const Tensor &a, const Tensor &b, double tolerance) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) return false;
  double scale = 1;
  for (int64_t i = 0; i < a.size(); ++i)
    for (double v : {a.get(i), b.get(i)})
      if (std::isfinite(v)) scale = std::max(scale, std::abs(v));
  for (int64_t i = 0; i < a.size(); ++i) {
    double x = a.get(i), y = b.get(i);
    if (x != y && !(std::abs(x - y) <= tolerance * scale)) return false;
  }
  return true;
}

inline std::string text(const Tensor &t) {
  std::string out;
  for (int64_t i = 0; i < t.size() && i < 24; ++i)
    out += (i ? " " : "") + std::to_string(is_float(t.dtype()) ? t.get(i) : double(t.get_int(i)));
  return out;
}

} // namespace trellis::test

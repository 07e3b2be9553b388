// Small graphs of constants, and what they evaluate to: shared by the tests of rows.
#pragma once
#include "ir/build.h"
#include "ir/eval.h"
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

namespace trellis {

using Ints = std::vector<int64_t>;
using Reals = std::vector<double>;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInf = INFINITY;

inline Tensor run(Graph &g, Value v) {
  g.outputs = {{"y", v}};
  return evaluate(g, std::vector<Tensor>{})[0];
}
inline Reals reals(Graph &g, Value v) {
  Tensor t = run(g, v);
  Reals out;
  for (int64_t i = 0; i < t.size(); ++i) out.push_back(t.get(i));
  return out;
}
inline Ints ints(Graph &g, Value v) {
  Tensor t = run(g, v);
  Ints out;
  for (int64_t i = 0; i < t.size(); ++i) out.push_back(t.get_int(i));
  return out;
}
inline Value real(Graph &g, Ints dims, Reals v, DType t = DType::f64) {
  return g.constant(Tensor::of<double>(t, std::move(dims), v));
}
inline Value real(Graph &g, Reals v, DType t = DType::f64) { return real(g, {int64_t(v.size())}, v, t); }
inline Value whole(Graph &g, DType t, Ints dims, Ints v) {
  return g.constant(Tensor::of<int64_t>(t, std::move(dims), v));
}
inline Value whole(Graph &g, DType t, Ints v) { return whole(g, t, {int64_t(v.size())}, v); }

/// Equal to a relative tolerance; NaN, infinities and the sign of zeros exactly.
inline void expect_close(const Reals &got, const Reals &want, double tolerance, const std::string &what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    std::string at = fmt::format("{}, element {}: {} but {} is right", what, i, got[i], want[i]);
    if (std::isnan(want[i]))
      EXPECT_TRUE(std::isnan(got[i])) << at;
    else if (std::isinf(want[i]))
      EXPECT_EQ(got[i], want[i]) << at;
    else if (want[i] == 0)
      EXPECT_TRUE(got[i] == 0 && std::signbit(got[i]) == std::signbit(want[i])) << at;
    else
      EXPECT_LE(std::fabs(got[i] - want[i]), tolerance * std::fabs(want[i])) << at;
  }
}
inline void expect_close(Graph &g, Value v, const Reals &want, double tolerance = 1e-14) {
  expect_close(reals(g, v), want, tolerance, std::string(name(v.node->op)));
}

// --- elementwise ---

} // namespace trellis

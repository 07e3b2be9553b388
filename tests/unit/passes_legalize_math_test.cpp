// The elementary functions of legalize, as templates over single numbers: accuracy against the C library in a
// wider type, and C99's special values.
#include "tests/unit/lane.h"
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

using namespace trellis;
using test::Lane;

namespace {

constexpr double kInf = INFINITY;

/// Distance in units in the last place of the exact result `want`.
template <class T> double ulps(T got, long double want) {
  constexpr int digits = std::numeric_limits<T>::digits;
  int e = std::numeric_limits<T>::min_exponent;
  if (want != 0) e = std::max(e, int(std::ilogb(want)) + 1);
  return double(std::fabs((long double)got - want) / std::ldexp(1.0L, e - digits));
}

/// A description where `got` is not within `limit` of `want` or is special where that is not; else empty.
template <class T> std::string wrong(T got, long double want, double limit) {
  T rounded = T(want);
  bool ok;
  if (std::isnan(rounded) || std::isnan(got))
    ok = std::isnan(rounded) && std::isnan(got);
  else if (std::isinf(rounded) && std::isinf(got))
    ok = rounded == got;
  else if (std::isinf(rounded) || std::isinf(got)) // an ulp at the edge of overflow
    ok = std::fabs(std::isinf(got) ? want : (long double)(got)) >= std::numeric_limits<T>::max() * 0.9999999L;
  else
    ok = std::signbit(got) == std::signbit(rounded) && ulps(got, want) <= limit;
  return ok ? "" : "got " + std::to_string(got) + ", exact " + std::to_string((double)want);
}

/// One function in each instantiation, with the C library's in long double.
struct Function {
  const char *name;
  Lane<float, true> (*f32)(Lane<float, true>);
  Lane<float, false> (*f32_unfused)(Lane<float, false>);
  Lane<double, true> (*f64)(Lane<double, true>);
  Lane<double, false> (*f64_unfused)(Lane<double, false>);
  double (*reference)(double);
  long double (*reference_l)(long double);
};
double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
long double sigmoid_l(long double x) { return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x)); }

#define FUNCTION(name)                                                                                                 \
  {#name, elementary::name, elementary::name, elementary::name, elementary::name, ::name, ::name##l}
const Function kFunctions[] = {
    FUNCTION(exp),
    FUNCTION(expm1),
    FUNCTION(log),
    FUNCTION(log1p),
    FUNCTION(tanh),
    FUNCTION(erf),
    FUNCTION(sin),
    FUNCTION(cos),
    FUNCTION(atan),
    {"sigmoid", elementary::sigmoid, elementary::sigmoid, elementary::sigmoid, elementary::sigmoid, sigmoid, sigmoid_l},
};
#undef FUNCTION

// Every 9973rd float of all bit patterns, and neighbourhoods of the points where the reductions change.
std::vector<float> floats() {
  std::vector<float> v;
  for (uint64_t i = 0; i < uint64_t(1) << 32; i += 9973) v.push_back(std::bit_cast<float>(uint32_t(i)));
  for (double x :
       {0.0,  0.1733, 0.3465, 0.34657, 0.6931, 0.7071, 1.0,     1.2,    1.25,     1.41421,     1.5708,   3.14159,
        3.93, 16.63,  17.33,  88.376,  88.722, 87.336, 103.278, 103.97, 131072.0, 1.17549e-38, 3.4028e38})
    for (int i = -200; i <= 200; ++i)
      for (double s : {-1.0, 1.0}) {
        float f = float(x * s);
        v.push_back(std::bit_cast<float>(std::bit_cast<uint32_t>(f) + uint32_t(i)));
      }
  return v;
}

template <class F>
void check_f32(const char *name, F f, double (*reference)(double), const std::vector<float> &points) {
  double worst = 0;
  float at = 0;
  int failures = 0;
  for (float x : points) {
    float y = f(x).v;
    double want = reference(double(x));
    std::string text = wrong<float>(y, want, 2);
    if (!text.empty() && failures++ < 5) ADD_FAILURE() << name << "(" << x << ") " << text;
    if (std::isfinite(y) && std::isfinite(float(want)) && ulps<float>(y, want) > worst)
      worst = ulps<float>(y, want), at = x;
  }
  std::printf("  f32 %-8s %.2f ulp at %.9g\n", name, worst, at);
}

TEST(LegalizeMath, F32Within2Ulp) {
  auto points = floats();
  for (const Function &f : kFunctions) check_f32(f.name, f.f32, f.reference, points);
}
TEST(LegalizeMath, F32WithoutFmaWithin2Ulp) {
  auto points = floats();
  for (const Function &f : kFunctions) check_f32(f.name, f.f32_unfused, f.reference, points);
}

std::vector<double> doubles() {
  std::mt19937_64 random(1);
  std::vector<double> v;
  for (int i = 0; i < 60000; ++i) {
    double u = std::ldexp(double(int64_t(random())), -63);
    for (double scale : {1.0, 30.0, 750.0, 131072.0}) v.push_back(u * scale);
    v.push_back(std::ldexp(u, -int(random() % 70)));
    v.push_back(std::bit_cast<double>(random() & ~(uint64_t(1) << 62))); // all exponents below 2
    v.push_back(std::bit_cast<double>(random()));
  }
  for (double x :
       {5e-324, 1e-310, 0x1p-1022, 0x1.fffffffffffffp1023, 709.782, 709.783, 745.13, 745.14, 708.4, 0.34657359})
    v.push_back(x), v.push_back(-x);
  return v;
}

template <class F>
void check_f64(const char *name, F f, long double (*reference)(long double), const std::vector<double> &points) {
  double worst = 0, at = 0;
  int failures = 0;
  for (double x : points) {
    double y = f(x).v;
    long double want = reference(x);
    std::string text = wrong<double>(y, want, 4);
    if (!text.empty() && failures++ < 5) ADD_FAILURE() << name << "(" << x << ") " << text;
    if (std::isfinite(y) && std::isfinite(double(want)) && ulps<double>(y, want) > worst)
      worst = ulps<double>(y, want), at = x;
  }
  std::printf("  f64 %-8s %.2f ulp at %.17g\n", name, worst, at);
}

TEST(LegalizeMath, F64Within4Ulp) {
  if (std::numeric_limits<long double>::digits < 64) GTEST_SKIP() << "long double is no wider than double";
  auto points = doubles();
  for (const Function &f : kFunctions) {
    check_f64(f.name, f.f64, f.reference_l, points);
    check_f64(f.name, f.f64_unfused, f.reference_l, points);
  }
}

/// Exact values of C99 Annex F.
TEST(LegalizeMath, SpecialValues) {
  struct Row {
    const char *name;
    double x, y;
  };
  const double nan = NAN;
  const Row rows[] = {
      {"exp", 0, 1},
      {"exp", -0.0, 1},
      {"exp", -kInf, 0},
      {"exp", kInf, kInf},
      {"exp", nan, nan},
      {"exp", 1e4, kInf},
      {"exp", -1e4, 0},
      {"expm1", 0, 0},
      {"expm1", -0.0, -0.0},
      {"expm1", -kInf, -1},
      {"expm1", kInf, kInf},
      {"expm1", nan, nan},
      {"log", 0, -kInf},
      {"log", -0.0, -kInf},
      {"log", 1, 0},
      {"log", -1, nan},
      {"log", -kInf, nan},
      {"log", kInf, kInf},
      {"log", nan, nan},
      {"log1p", 0, 0},
      {"log1p", -0.0, -0.0},
      {"log1p", -1, -kInf},
      {"log1p", -2, nan},
      {"log1p", kInf, kInf},
      {"log1p", -kInf, nan},
      {"log1p", nan, nan},
      {"tanh", 0, 0},
      {"tanh", -0.0, -0.0},
      {"tanh", kInf, 1},
      {"tanh", -kInf, -1},
      {"tanh", nan, nan},
      {"erf", 0, 0},
      {"erf", -0.0, -0.0},
      {"erf", kInf, 1},
      {"erf", -kInf, -1},
      {"erf", nan, nan},
      {"sigmoid", 0, 0.5},
      {"sigmoid", -0.0, 0.5},
      {"sigmoid", kInf, 1},
      {"sigmoid", -kInf, 0},
      {"sigmoid", nan, nan},
      {"sin", 0, 0},
      {"sin", -0.0, -0.0},
      {"sin", kInf, nan},
      {"sin", -kInf, nan},
      {"sin", nan, nan},
      {"cos", 0, 1},
      {"cos", -0.0, 1},
      {"cos", kInf, nan},
      {"cos", nan, nan},
      {"atan", 0, 0},
      {"atan", -0.0, -0.0},
      {"atan", nan, nan},
      {"tanh", 5e-324, 5e-324},
      {"expm1", -5e-324, -5e-324},
      {"sin", 5e-324, 5e-324},
      {"log1p", 5e-324, 5e-324},
      {"atan", -5e-324, -5e-324},
  };
  for (const Row &r : rows)
    for (const Function &f : kFunctions) {
      if (std::string(f.name) != r.name) continue;
      for (double y : {f.f64(r.x).v, f.f64_unfused(r.x).v})
        EXPECT_EQ(wrong<double>(y, r.y, 0), "") << r.name << "(" << r.x << ")";
      float x = std::fabs(r.x) == 5e-324 ? std::copysign(1.4e-45f, float(r.x)) : float(r.x);
      float want = std::fabs(r.x) == 5e-324 ? x : float(r.y);
      for (float y : {f.f32(x).v, f.f32_unfused(x).v})
        EXPECT_EQ(wrong<float>(y, want, 0), "") << r.name << "(" << x << ")";
    }
}

template <class T, bool Fused> void check_pow(T x, T y, long double want, double limit, int &failures) {
  T got = elementary::pow(Lane<T, Fused>(x), Lane<T, Fused>(y)).v;
  std::string text = wrong<T>(got, want, limit);
  if (!text.empty() && failures++ < 8) ADD_FAILURE() << x << " ^ " << y << ": " << text;
}

// All pairs of special operands, against the C library, which has C99's rules.
template <class T> void check_pow_special() {
  const T max = std::numeric_limits<T>::max(), tiny = std::numeric_limits<T>::denorm_min(), inf = T(kInf);
  const T odd = std::ldexp(T(1), std::numeric_limits<T>::digits) - 1;
  std::vector<T> v{0,
                   1,
                   2,
                   3,
                   T(0.5),
                   T(1.5),
                   T(2.5),
                   T(1e10),
                   inf,
                   T(NAN),
                   tiny,
                   max,
                   odd,
                   odd + 1,
                   std::nextafter(T(1), T(2)),
                   std::nextafter(T(1), T(0)),
                   std::numeric_limits<T>::min()};
  for (size_t i = 0, n = v.size(); i < n; ++i) v.push_back(-v[i]);
  int failures = 0;
  for (T x : v)
    for (T y : v) {
      // T's own function decides what is special; long double, what is exact.
      T special = std::pow(x, y);
      long double want = std::isfinite(special) && special != 0 ? powl(x, y) : (long double)special;
      check_pow<T, true>(x, y, want, sizeof(T) == 4 ? 2 : 4, failures);
      check_pow<T, false>(x, y, want, sizeof(T) == 4 ? 2 : 4, failures);
    }
}
TEST(LegalizeMath, PowSpecialValues) {
  check_pow_special<float>();
  check_pow_special<double>();
}

TEST(LegalizeMath, PowAccuracy) {
  std::mt19937_64 random(2);
  auto unit = [&] { return std::ldexp(double(random() >> 11), -53); };
  int failures = 0;
  for (int i = 0; i < 200000; ++i) {
    double x = i % 3 == 0 ? std::exp((unit() - 0.5) * 80) : i % 3 == 1 ? 2 * unit() : 1 + (unit() - 0.5) * 1e-3;
    double reach = std::max(1e-300, std::fabs(std::log(x))), y = unit() * 2 - 1;
    float xf = float(x), yf = float(y * 100 / reach);
    check_pow<float, true>(xf, yf, std::pow(double(xf), double(yf)), 2, failures);
    check_pow<float, false>(xf, yf, std::pow(double(xf), double(yf)), 2, failures);
    if (std::numeric_limits<long double>::digits < 64) continue;
    double yd = y * 740 / reach;
    check_pow<double, true>(x, yd, powl(x, yd), 4, failures);
    check_pow<double, false>(x, yd, powl(x, yd), 4, failures);
  }
}

} // namespace

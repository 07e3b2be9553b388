#include "compiler/frontend/philox.h"
#include <cmath>

namespace trellis {

PhiloxBlock philox(PhiloxBlock c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(b >> 32) ^ c[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ key[1], uint32_t(a)};
    key[0] += 0x9E3779B9u, key[1] += 0xBB67AE85u;
  }
  return c;
}

// The finaliser of SplitMix64: a bijection that spreads every bit.
static uint64_t mix(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

RandomStream::RandomStream(uint64_t seed, std::string_view name) {
  uint64_t h = 0xCBF29CE484222325u; // FNV-1a
  for (char c : name) h = (h ^ uint8_t(c)) * 0x100000001B3u;
  uint64_t k = mix(mix(seed) ^ h);
  key_ = {uint32_t(k), uint32_t(k >> 32)};
}

uint64_t RandomStream::bits(uint64_t i) const {
  uint64_t block = i / 2;
  PhiloxBlock r = philox({uint32_t(block), uint32_t(block >> 32), 0, 0}, key_);
  size_t half = i % 2 * 2;
  return uint64_t(r[half]) << 32 | r[half + 1];
}

double RandomStream::uniform(uint64_t i) const { return (double(bits(i) >> 12) + 0.5) * 0x1p-52; }
double RandomStream::normal(uint64_t i) const { return normal_quantile(uniform(i)); }

// log x = e log 2 + 2 atanh s, s = (m - 1) / (m + 1), m in [sqrt 1/2, sqrt 2): |s| < 0.172, 12 terms reach
// 2^-57.
static double exact_log(double x) {
  int e = 0;
  double m = std::frexp(x, &e);
  if (m < 0.70710678118654752440) m *= 2, --e;
  double s = (m - 1) / (m + 1), z = s * s, sum = 0;
  for (int k = 11; k >= 1; --k) sum = (sum + 1.0 / (2 * k + 1)) * z;
  return double(e) * 0.69314718055994530942 + 2 * (s + s * sum);
}

template <int N> static double poly(const double (&c)[N], double x) {
  double y = c[N - 1];
  for (int i = N - 2; i >= 0; --i) y = y * x + c[i];
  return y;
}

double normal_quantile(double p) {
  static constexpr double kA[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                  1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                  3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static constexpr double kB[] = {1.0,
                                  4.2313330701600911252e+1,
                                  6.8718700749205790830e+2,
                                  5.3941960214247511077e+3,
                                  2.1213794301586595867e+4,
                                  3.9307895800092710610e+4,
                                  2.8729085735721942674e+4,
                                  5.2264952788528545610e+3};
  static constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                                  3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                                  2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double kD[] = {1.0,
                                  2.05319162663775882187e0,
                                  1.67638483018380384940e0,
                                  6.89767334985100004550e-1,
                                  1.48103976427480074590e-1,
                                  1.51986665636164571966e-2,
                                  5.47593808499534494600e-4,
                                  1.05075007164441684324e-9};
  static constexpr double kE[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                                  2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                  2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double kF[] = {1.0,
                                  5.99832206555887937690e-1,
                                  1.36929880922735805310e-1,
                                  1.48753612908506148525e-2,
                                  7.86869131145613259100e-4,
                                  1.84631831751005468180e-5,
                                  1.42151175831644588870e-7,
                                  2.04426310338993978564e-15};
  double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    double r = 0.180625 - q * q;
    return q * poly(kA, r) / poly(kB, r);
  }
  double r = std::sqrt(-exact_log(q < 0 ? p : 1 - p));
  double x = r <= 5 ? poly(kC, r - 1.6) / poly(kD, r - 1.6) : poly(kE, r - 5) / poly(kF, r - 5);
  return q < 0 ? -x : x;
}

} // namespace trellis

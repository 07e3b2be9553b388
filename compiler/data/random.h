// Random numbers for data: the same on every machine, addressed by (seed, stream), so that one sample never
// depends on another. SplitMix64 (Steele, Lea, Flood 2014) counts in steps of the golden ratio and mixes the
// counter.
#pragma once
#include <cstdint>

namespace trellis {

class Random {
public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : state_(mix(mix(seed) + stream)) {}

  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15); }
  /// [0, 1), a multiple of 2^-53.
  double uniform() { return double(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Bell-shaped, mean 0, variance 1, within +-3.5: the sum of four uniforms, since std::log differs between
  /// libraries.
  double bell() {
    const uint64_t r = next();
    const int64_t sum = int64_t((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48));
    return double(sum - 2 * 0xffff) * (0x1p-16 * 1.7320508075688772);
  }
  /// [0, n), each equally likely (Lemire 2019: a multiplication instead of a division, biased draws are
  /// repeated).
  uint32_t below(uint32_t n) {
    uint64_t m = (next() >> 32) * n;
    if (uint32_t(m) < n)
      for (uint32_t reject = -n % n; uint32_t(m) < reject;) m = (next() >> 32) * n;
    return uint32_t(m >> 32);
  }

private:
  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  uint64_t state_;
};

} // namespace trellis

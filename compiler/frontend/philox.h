// Philox4x32-10 (Salmon et al., SC 2011): random bits as a function of a key and a counter. No hidden state,
// so that a parameter's values depend on the seed and its name alone, not on order, threads or other
// parameters.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace trellis {

using PhiloxBlock = std::array<uint32_t, 4>;
PhiloxBlock philox(PhiloxBlock counter, std::array<uint32_t, 2> key);

/// The stream of one name under one seed: numbers by position.
class RandomStream {
public:
  RandomStream(uint64_t seed, std::string_view name);
  /// Bits number `i`.
  uint64_t bits(uint64_t i) const;
  /// In (0, 1): odd multiples of 2^-53, so never 0 or 1 and symmetric about 1/2.
  double uniform(uint64_t i) const;
  /// Standard normal: the inverse of its distribution at `uniform(i)`.
  double normal(uint64_t i) const;

private:
  std::array<uint32_t, 2> key_;
};

/// x with P(X <= x) = p for a standard normal X, 0 < p < 1. Wichura, algorithm AS 241 (PPND16), with a
/// logarithm of its own: only operations that IEEE 754 defines exactly, so the same bits on every machine.
double normal_quantile(double p);

} // namespace trellis

/// The floating-point environment that trellis computes in: round to nearest, denormals kept, exceptions
/// masked.
#pragma once
#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#error "runtime/fpenv.h: say how this machine's floating-point control register is read and written"
#endif

namespace trellis::runtime {

#if defined(__x86_64__)
// MXCSR: bits 0-5 sticky flags, 6 DAZ, 7-12 masks, 13-14 rounding, 15 FTZ.
inline constexpr uint64_t fp_wanted = 0x1f80, fp_control_bits = 0xffc0;
inline uint64_t fp_read() { return _mm_getcsr(); }
inline void fp_write(uint64_t value) { _mm_setcsr(static_cast<unsigned>(value)); }
#else
// FPCR: 0 is round to nearest, no flush to zero, no traps; flags live in FPSR.
inline constexpr uint64_t fp_wanted = 0, fp_control_bits = ~uint64_t{0};
inline uint64_t fp_read() {
  uint64_t value;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
inline void fp_write(uint64_t value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#endif

/// Sets the environment if a thread of our own has lost it.
inline void fp_ensure() {
  if ((fp_read() & fp_control_bits) != fp_wanted) fp_write(fp_wanted);
}

/// The environment for one scope on a caller's thread; the caller's own, flags included, comes back after it.
class FpScope {
public:
  FpScope() : saved(fp_read()) { fp_write(fp_wanted); }
  ~FpScope() { fp_write(saved); }
  FpScope(const FpScope &) = delete;
  FpScope &operator=(const FpScope &) = delete;

private:
  uint64_t saved;
};

} // namespace trellis::runtime

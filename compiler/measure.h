// What benchmarks of compiled programs share: the yardstick, inputs, and the memory that a plan takes.
#pragma once
#include "compiler/compile.h"

namespace trellis {

/// f32 floating-point operations a second that `threads` threads reach in registers by fused multiply-adds,
/// measured through the compiler's own path. Takes about 0.1 s.
double measure_peak(const CompileOptions &options, int threads);

/// Numbers for an input: floats in [-1, 1), indices in their range, other integers 0 or 1.
Tensor random_input(const Executable &e, size_t input, uint64_t seed);

/// Bytes of the arena, the state and the constants.
int64_t plan_bytes(const trellis_program &p);

} // namespace trellis

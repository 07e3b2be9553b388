// The machine's speed at fused multiply-adds, measured through the compiler's own path: the yardstick of
// `bench`.
#pragma once
#include "compiler/compile.h"

namespace trellis {

/// f32 floating-point operations a second that `threads` threads reach in registers. Takes about 0.1 s.
double measure_peak(const CompileOptions &options, int threads);

} // namespace trellis

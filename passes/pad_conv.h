// Convolutions whose padding and input dilation are zero: what the contraction emitter takes. The rest becomes a pad,
// which fuses into the producer of the input.
#pragma once
#include "passes/pass.h"

namespace trellis {
/// conv(x, lo, hi, input_dilation) = conv(pad(x, lo, hi, input_dilation - 1)); negative padding crops.
GraphPtr pad_conv(const Graph &g);
} // namespace trellis

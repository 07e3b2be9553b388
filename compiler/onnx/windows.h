// The geometry that convolution and pooling share: kernel, strides, dilations, pads and auto_pad.
#pragma once
#include "compiler/onnx/recipe.h"

namespace trellis::onnx {

struct Windows {
  Ints size, stride, dilation, lo, hi; ///< an entry a spatial axis
  Ints extra;                          ///< what ceil_mode adds behind the padding (may be negative: it needs less)
  int64_t span(size_t k) const { return (size[k] - 1) * dilation[k] + 1; }
};

/// Of x [N, C, in...] with a kernel of `size`.
Windows windows_of(const Step &s, Value x, Ints size);

/// The average pool of x [N, C, in...] by the node's attributes.
Value average_pool(Step &s, Value x);

} // namespace trellis::onnx

// Products and quantisation, shared by the standard's operators and those of com.microsoft.
#pragma once
#include "compiler/onnx/recipe.h"

namespace trellis::onnx {

/// x [N, C, in...] with w [O, C / group, kernel...] by the node's attributes; bias [O] may be null.
Value convolve(Step &s, Value x, Value w, Value bias);
/// numpy's matmul.
Value product(Step &s, Value a, Value b);

/// A scale or zero point of one element, or one an entry of axis `axis`, to fit x.
Value along(Step &s, Value v, Value x, int64_t axis);
/// x less its zero point (null: none), in i32.
Value centred(Step &s, Value x, Value zero, int64_t axis);
/// y divided by the scale, rounded, plus the zero point (null: none), saturated.
Value quantised(Step &s, Value y, Value scale, Value zero, int64_t axis, DType to);

/// u8 with the scale and zero point that its range asks for.
struct DynamicallyQuantised {
  Value x, scale, zero;
};
DynamicallyQuantised quantise_dynamically(Value x);

} // namespace trellis::onnx

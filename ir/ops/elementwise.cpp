// Elementwise rows whose operands differ in dtype.
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

static void same_shape(Infer &c, size_t a, size_t b) {
  bool ok = c.x(a).rank() == c.x(b).rank();
  for (size_t d = 0; ok && d < c.x(a).shape.size(); ++d) ok = compatible(c.x(a).shape[d], c.x(b).shape[d]);
  c.require(ok, fmt::format("operands differ in shape: {} and {}", c.x(a).str(), c.x(b).str()));
}

void infer_select(Infer &c) {
  c.require(c.x(0).dtype == DType::boolean, fmt::format("operand 1 is {}, but must be bool", c.x(0).str()));
  c.require(c.x(1).dtype == c.x(2).dtype, fmt::format("operands differ in dtype: {} and {}", c.x(1).str(), c.x(2).str()));
  same_shape(c, 0, 1), same_shape(c, 1, 2);
  c.result(c.x(1).dtype, c.x(1).shape);
}

void interpret_select(EvalContext &c) {
  Tensor &y = c.y[0];
  for (int64_t i = 0; i < y.size(); ++i) {
    const Tensor &from = c.x[0].get_int(i) ? c.x[1] : c.x[2];
    if (is_float(y.dtype())) y.set(i, from.get(i));
    else y.set_int(i, from.get_int(i));
  }
}

void infer_cast(Infer &c) { c.result(c.attrs.get<DType>(Attr::dtype), c.x(0).shape); }

void interpret_cast(EvalContext &c) {
  const Tensor &x = c.x[0];
  Tensor &y = c.y[0];
  for (int64_t i = 0; i < y.size(); ++i)
    if (is_float(x.dtype())) y.set(i, x.get(i));
    else if (!is_float(y.dtype())) y.set_int(i, x.get_int(i));
    else if (x.dtype() == DType::u64) y.dtype() == DType::f32 ? y.set(i, double(float(uint64_t(x.get_int(i))))) : y.set(i, double(uint64_t(x.get_int(i))));
    else y.dtype() == DType::f32 ? y.set(i, double(float(x.get_int(i)))) : y.set(i, double(x.get_int(i)));
}

} // namespace trellis::ops

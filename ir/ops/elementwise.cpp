// Elementwise rows whose operands differ in dtype, and derivatives that are too long for the table.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <cstring>
#include <fmt/format.h>

namespace trellis::ops {

static void same_shape(Infer &c, size_t a, size_t b) {
  bool ok = c.x(a).rank() == c.x(b).rank();
  for (size_t d = 0; ok && d < c.x(a).shape.size(); ++d) ok = compatible(c.x(a).shape[d], c.x(b).shape[d]);
  c.require(ok, fmt::format("operands differ in shape: {} and {}", c.x(a).str(), c.x(b).str()));
}

void infer_select(Infer &c) {
  c.require(c.x(0).dtype == DType::boolean, fmt::format("operand 1 is {}, but must be bool", c.x(0).str()));
  c.require(c.x(1).dtype == c.x(2).dtype,
            fmt::format("operands differ in dtype: {} and {}", c.x(1).str(), c.x(2).str()));
  same_shape(c, 0, 1), same_shape(c, 1, 2);
  Shape shape = c.x(0).shape;
  for (size_t i = 1; i < 3; ++i)
    for (size_t d = 0; d < shape.size(); ++d)
      if (shape[d].is_unknown()) shape[d] = c.x(i).shape[d];
  c.result(c.x(1).dtype, std::move(shape));
}

void interpret_select(EvalContext &c) {
  Tensor &y = c.y[0];
  for (int64_t i = 0; i < y.size(); ++i) {
    const Tensor &from = c.x[0].get_int(i) ? c.x[1] : c.x[2];
    if (is_float(y.dtype()))
      y.set(i, from.get(i));
    else
      y.set_int(i, from.get_int(i));
  }
}

void infer_cast(Infer &c) { c.result(c.attrs.get<DType>(Attr::dtype), c.x(0).shape); }

void interpret_cast(EvalContext &c) {
  const Tensor &x = c.x[0];
  Tensor &y = c.y[0];
  for (int64_t i = 0; i < y.size(); ++i)
    if (is_float(x.dtype()))
      y.set(i, x.get(i));
    else if (!is_float(y.dtype()))
      y.set_int(i, x.get_int(i));
    else if (x.dtype() == DType::u64)
      y.dtype() == DType::f32 ? y.set(i, double(float(uint64_t(x.get_int(i)))))
                              : y.set(i, double(uint64_t(x.get_int(i))));
    else
      y.dtype() == DType::f32 ? y.set(i, double(float(x.get_int(i)))) : y.set(i, double(x.get_int(i)));
}

void infer_bitcast(Infer &c) {
  DType to = c.attrs.get<DType>(Attr::dtype);
  c.require(size_of(to) == size_of(c.x().dtype), fmt::format("{} and {} differ in width", name(c.x().dtype), name(to)));
  c.require((to == DType::boolean) == (c.x().dtype == DType::boolean), "the bits of a bool are not defined");
  c.result(to, c.x().shape);
}
void interpret_bitcast(EvalContext &c) {
  if (c.y[0].bytes()) std::memcpy(c.y[0].data(), c.x[0].data(), size_t(c.y[0].bytes()));
}

Values vjp_large(Vjp v, Value slope) {
  Value far = gt(abs(v.x[0]), kTrigLimit);
  return {select(far, v.dy * slope, 0), select(far, 0, v.dy)};
}

// d/dx = y x^(y-1), d/dy = x^y log x. Where a factor that is exactly zero meets an infinite one (x = 0), the
// limit is 0; the infinite one is kept from arising, since the derivative of a select computes both its
// sides.
Values vjp_pow(Vjp v) {
  Value x = v.x[0], y = v.x[1];
  Value zero = eq(x, 0);
  Value dx = v.dy * y * pow(x, select(bit_and(zero, eq(y, 0)), 0, y - 1));
  Value flat = bit_and(zero, le(0, y));
  return {dx, select(flat, 0, v.dy * v.y * log(select(flat, 1, x)))};
}

} // namespace trellis::ops

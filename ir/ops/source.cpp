// Sources: inputs, constants, iota.
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

void infer_input(Infer &c) {
  std::string role = c.attrs.get_or<std::string>(Attr::role, "data");
  c.require(role == "data" || role == "param" || role == "state",
            fmt::format("role '{}' is none of data, param, state", role));
  c.result(c.attrs.get<DType>(Attr::dtype), c.attrs.get<Shape>(Attr::shape));
}
void infer_constant(Infer &c) {
  Type t = c.attrs.get<Tensor>(Attr::value).type();
  c.result(t.dtype, t.shape);
}
void infer_iota(Infer &c) {
  const Shape &s = c.attrs.get<Shape>(Attr::shape);
  c.attrs.set(Attr::axis, c.axis(c.attrs.i(Attr::axis), int(s.size())));
  c.result(c.attrs.get<DType>(Attr::dtype), s);
}

void interpret_input(EvalContext &c) {
  throw CompileError(c.node.loc, fmt::format("input '{}' has no value", c.node.attrs.word(Attr::name)));
}
void interpret_constant(EvalContext &c) { c.y[0] = c.node.attrs.get<Tensor>(Attr::value); }
void interpret_iota(EvalContext &c) {
  Tensor &y = c.y[0];
  size_t axis = size_t(c.node.attrs.i(Attr::axis));
  int64_t inner = 1, n = y.dims()[axis];
  for (size_t i = axis + 1; i < y.dims().size(); ++i) inner *= y.dims()[i];
  for (int64_t i = 0; i < y.size(); ++i) {
    int64_t v = i / inner % n;
    if (is_float(y.dtype()))
      y.set(i, double(v));
    else
      y.set_int(i, v);
  }
}

} // namespace trellis::ops

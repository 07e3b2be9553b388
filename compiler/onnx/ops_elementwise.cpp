// Elementwise operators beyond those that the op table names: activations, variadic ones, casts.
#include "compiler/onnx/recipe.h"
#include <cmath>
#include <fmt/format.h>
#include <limits>

namespace trellis::onnx {

std::optional<Op> aliased(std::string_view name) {
  for (int k = 0; k < kOpCount; ++k)
    if (const OpInfo &row = info(Op(k)); row.onnx == name && row.broadcasts() && row.attrs.count == 0) return Op(k);
  return std::nullopt;
}

// Before opset 7 the second operand broadcast only where 'broadcast' says so, aligned at 'axis'.
static Value legacy_operand(Step &s, Value x, Value y) {
  if (s.version >= 7 || !s.i("broadcast", 0) || !s.attr("axis")) return y;
  int64_t axis = s.axis(s.i("axis", 0), x.rank());
  s.require(axis + y.rank() <= x.rank(), "the second operand does not fit behind 'axis'");
  Shape shape = y.shape();
  shape.resize(size_t(x.rank() - axis), Dim(1));
  return reshape(y, shape);
}

static Values binary(Step &s) {
  return {elementwise(s.g, *aliased(s.node.op_type()), {s.in(0), legacy_operand(s, s.in(0), s.in(1))})};
}

static Values logical(Step &s) {
  Value x = s.in(0), y = legacy_operand(s, x, s.in(1));
  const std::string &op = s.node.op_type();
  return {op == "And" ? bit_and(x, y) : op == "Or" ? bit_or(x, y) : bit_xor(x, y)};
}

static Values variadic(Step &s) {
  Values x = s.all();
  Value y = x[0];
  const std::string &op = s.node.op_type();
  for (size_t i = 1; i < x.size(); ++i) y = op == "Max" ? max(y, x[i]) : op == "Min" ? min(y, x[i]) : y + x[i];
  return {op == "Mean" && x.size() > 1 ? y / double(x.size()) : y};
}

static Values power(Step &s) {
  Value x = s.in(0), y = legacy_operand(s, x, s.in(1));
  DType t = x.dtype();
  if (y.type().size() == 1 && y.node->op == Op::constant && y.rank() <= x.rank()) {
    double e = s.known_real(1);
    if (e == 2) return {square(x)};
    if (e == 0.5 && is_float(t)) return {sqrt(x)};
    if (e == 1) return {x};
  }
  DType wide = is_float(t) && size_of(t) == 8                                    ? DType::f64
               : is_float(t) && (size_of(y.dtype()) < 8 || y.type().size() == 1) ? t
                                                                                 : DType::f64;
  return {cast(pow(cast(x, wide), cast(y, wide)), t)};
}

static Values modulo(Step &s) {
  Value x = s.in(0), y = s.in(1), r = rem(x, y), down = lt(y, 0);
  if (s.i("fmod", 0) || is_unsigned_int(x.dtype())) return {r};
  Value floored = select(bit_and(ne(r, 0), ne(lt(r, 0), down)), r + y, r); // the sign of the divisor
  if (!is_float(x.dtype())) return {floored};
  return {select(eq(r, 0), select(down, -0.0, s.constant(x.dtype(), 0)), floored)};
}

static Values clip(Step &s) {
  Value y = s.in(0);
  if (s.version < 11) {
    if (s.attr("min")) y = max(y, s.f("min", 0));
    return {s.attr("max") ? min(y, s.f("max", 0)) : y};
  }
  if (s.has(1)) y = max(y, s.in(1));
  return {s.has(2) ? min(y, s.in(2)) : y};
}

static Values leaky_relu(Step &s) {
  return {elementwise(Op::leaky_relu, {s.in(0)}, {{Attr::alpha, s.f("alpha", 0.01)}})};
}
static Values elu(Step &s) { return {elementwise(Op::elu, {s.in(0)}, {{Attr::alpha, s.f("alpha", 1)}})}; }
static Values gelu_of(Step &s) {
  return {s.s("approximate", "none") == "tanh" ? elementwise(Op::gelu_tanh, {s.in(0)}) : gelu(s.in(0))};
}
static Values hard_sigmoid(Step &s) { return {max(min(s.in(0) * s.f("alpha", 0.2) + s.f("beta", 0.5), 1), 0)}; }
static Values selu(Step &s) {
  Value x = s.in(0);
  // Version 1 rounded its defaults.
  double alpha = s.f("alpha", s.version < 6 ? 1.6732 : 1.67326319217681884765625),
         gamma = s.f("gamma", s.version < 6 ? 1.0507 : 1.05070102214813232421875);
  return {select(lt(0, x), x, expm1(x) * alpha) * gamma};
}
static Values celu(Step &s) {
  Value x = s.in(0);
  double a = s.f("alpha", 1);
  return {max(x, 0) + min(expm1(x / a) * a, 0)};
}
static Values thresholded_relu(Step &s) { return {select(lt(s.f("alpha", 1), s.in(0)), s.in(0), 0)}; }
static Values shrink(Step &s) {
  Value x = s.in(0);
  double lambda = s.f("lambd", 0.5), bias = s.f("bias", 0);
  Value v = is_float(x.dtype()) ? x : cast(x, DType::f64);
  return {cast(select(lt(v, -lambda), v + bias, select(lt(lambda, v), v - bias, 0)), x.dtype())};
}
static Values mish(Step &s) { return {s.in(0) * tanh(softplus(s.in(0)))}; }
static Values softsign(Step &s) { return {s.in(0) / (abs(s.in(0)) + 1)}; }
static Values swish(Step &s) { return {s.in(0) * sigmoid(s.in(0) * s.f("alpha", 1))}; }
static Values swiglu(Step &s) {
  s.require(same(s.in(0).shape(), s.in(1).shape()), "the operands differ in shape");
  return {s.in(0) * sigmoid(s.in(0) * s.f("alpha", 1)) * s.in(1)};
}
static Values prelu(Step &s) {
  Value x = s.in(0), slope = s.in(1);
  if (s.version < 7 && slope.type().size() > 1 && x.rank() > 1) { // one slope a channel
    Shape c(size_t(x.rank()) - 1, Dim(1));
    c[0] = slope.type().size();
    slope = reshape(slope, c);
  }
  return {select(lt(x, 0), x * slope, x)};
}
static Values is_infinite(Step &s) {
  Value x = s.in(0), y;
  if (s.i("detect_positive", 1)) y = eq(x, INFINITY);
  if (s.i("detect_negative", 1)) y = y ? is_inf(x) : eq(x, -INFINITY);
  return {y ? y : s.g.splat({DType::boolean, x.shape()}, 0)};
}

static Values cast_to(Step &s) {
  const AttributeProto *to = s.attr("to");
  s.require(to, "attribute 'to' is missing");
  static const std::map<std::string, int> words{{"FLOAT", 1}, {"UINT8", 2}, {"INT8", 3},     {"INT32", 6},
                                                {"INT64", 7}, {"BOOL", 9},  {"FLOAT16", 10}, {"DOUBLE", 11}};
  if (s.version < 6) { // the type's name
    auto it = words.find(to->s());
    s.require(it != words.end(), fmt::format("no element type is called {}", quote_name(to->s())));
    return {cast(s.in(0), s.dtype(it->second))};
  }
  return {cast(s.in(0), s.dtype(to->i()))};
}
static Values cast_like(Step &s) { return {cast(s.in(0), s.in(1).dtype())}; }
static Values bit_cast(Step &s) {
  DType from = s.in(0).dtype(), to = s.dtype(s.need_i("to"));
  bool boolean = from == DType::boolean || to == DType::boolean; // a byte that is 0 or 1
  s.require(!boolean || size_of(from) == size_of(to), "the types differ in width");
  return {boolean ? cast(s.in(0), to) : bitcast(s.in(0), to)};
}
static Values bit_shift(Step &s) {
  return {s.s("direction", "") == "LEFT" ? shl(s.in(0), s.in(1)) : shr(s.in(0), s.in(1))};
}
static Values logical_not(Step &s) { return {bit_not(s.in(0))}; }
static Values identity(Step &s) { return {s.in(0)}; }

// Experimental operators of opset 1 to 9, which Core ML's exporter wrote.
static Values affine(Step &s) { return {s.in(0) * s.f("alpha", 1) + s.f("beta", 0)}; }
static Values image_scaler(Step &s) {
  Value x = s.in(0);
  std::vector<double> bias = s.floats("bias");
  Shape c(size_t(std::max(x.rank(), 2)) - 1, Dim(1));
  s.require(x.rank() >= 2 && int64_t(bias.size()) == x.shape()[1].value(), "'bias' needs an entry a channel");
  c[0] = x.shape()[1];
  Value b = s.g.constant(Tensor::of<double>(x.dtype(), dims_of(c), std::span<const double>(bias)));
  return {x * s.f("scale", 1) + b};
}

void add_elementwise(Recipes &r) {
  r.on({"Add", "Sub", "Mul", "Div", "Equal", "Less", "Greater"}, 1, binary);
  r.on({"And", "Or", "Xor"}, 1, logical);
  r.on({"Max", "Min", "Sum", "Mean"}, 1, variadic);
  r.on("Pow", 1, power), r.on("Mod", 10, modulo), r.on("Clip", 1, clip);
  r.on("LeakyRelu", 1, leaky_relu), r.on("Elu", 1, elu), r.on("Gelu", 20, gelu_of),
      r.on("Gelu", 1, gelu_of, "com.microsoft"), r.on("HardSigmoid", 1, hard_sigmoid);
  r.on("Selu", 1, selu), r.on("Celu", 12, celu), r.on("ThresholdedRelu", 1, thresholded_relu),
      r.on("Shrink", 9, shrink);
  r.on("Mish", 18, mish), r.on("Softsign", 1, softsign), r.on("Swish", 24, swish), r.on("SwiGLU", 28, swiglu),
      r.on("PRelu", 1, prelu);
  r.on("IsInf", 10, is_infinite), r.on("Cast", 1, cast_to), r.on("CastLike", 15, cast_like),
      r.on("BitCast", 1, bit_cast);
  r.on("BitShift", 11, bit_shift), r.on("Not", 1, logical_not), r.on("Identity", 1, identity);
  r.on("Affine", 1, affine), r.on("ImageScaler", 1, image_scaler);
}

} // namespace trellis::onnx

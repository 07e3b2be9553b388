// Elementwise ops and their composites. Runtimes have kernels for few integer types, so narrow ones are computed in wider
// ones and cut to their low bits, which gives the same.
#include "compiler/onnx/exporter.h"
#include <cmath>
#include <limits>

namespace trellis::onnx {

namespace {

DType widened(DType t) {
  switch (t) {
  case DType::boolean:
  case DType::i8:
  case DType::i16:
  case DType::u8:
  case DType::u16: return DType::i32;
  case DType::u32:
  case DType::u64: return DType::i64;
  default: return t;
  }
}

Names plain(Writer &w, const Node &n, const Names &x, const char *op) {
  DType t = n.operands[0].dtype(), wide = is_float(t) ? t : widened(t);
  if (wide == t) return {w.call(op, x)};
  Names in;
  for (const std::string &s : x) in.push_back(w.cast(s, t, wide));
  std::string y = w.call(op, in);
  return {n.type().dtype == DType::boolean && n.info().result_bool ? y : w.cast(y, wide, t)};
}

// A row of the table whose ONNX name says it all.
Names by_name(Writer &w, const Node &n, const Names &x) { return plain(w, n, x, std::string(n.info().onnx).c_str()); }

Names negative(Writer &w, const Node &n, const Names &x) { return plain(w, n, x, "Neg"); }
Names equal(Writer &w, const Node &n, const Names &x) {
  DType t = n.operands[0].dtype();
  return t == DType::boolean ? Names{w.call("Equal", x)} : plain(w, n, x, "Equal");
}
Names less(Writer &w, const Node &n, const Names &x) {
  if (n.operands[0].dtype() != DType::u64) return plain(w, n, x, "Less");
  Names in; // in the order of i64 with the first bit turned
  for (const std::string &s : x)
    in.push_back(w.call(
        "BitwiseXor", {w.cast(s, DType::u64, DType::i64), w.integer(DType::i64, std::numeric_limits<int64_t>::min())}));
  return {w.call("Less", in)};
}
Names extreme(Writer &w, const Node &n, const Names &x) {
  bool most = n.op == Op::max;
  if (n.type().dtype == DType::boolean) return {w.call(most ? "Or" : "And", x)};
  // u64 beyond i64 has no order there.
  if (n.type().dtype == DType::u64) return {w.call(most ? "Max" : "Min", x)};
  return plain(w, n, x, most ? "Max" : "Min");
}
Names not_equal(Writer &w, const Node &n, const Names &x) { return {w.call("Not", equal(w, n, x))}; }
Names invert(Writer &w, const Node &n, const Names &x) {
  return {w.call(n.type().dtype == DType::boolean ? "Not" : "BitwiseNot", x)};
}
Names bits(Writer &w, const Node &n, const Names &x) {
  bool logical = n.type().dtype == DType::boolean;
  const char *op = n.op == Op::bit_and  ? logical ? "And" : "BitwiseAnd"
                   : n.op == Op::bit_or ? logical ? "Or" : "BitwiseOr"
                   : logical            ? "Xor"
                                        : "BitwiseXor";
  return {w.call(op, x)};
}

std::string choose(Writer &w, DType t, const std::string &c, const std::string &yes, const std::string &no) {
  bool has = t == DType::f32 || t == DType::f64 || t == DType::i32 || t == DType::i64 || t == DType::u8;
  DType wide = has ? t : is_float(t) ? DType::f32 : t == DType::boolean ? DType::u8 : widened(t);
  return w.cast(w.call("Where", {c, w.cast(yes, t, wide), w.cast(no, t, wide)}), wide, t);
}
Names selected(Writer &w, const Node &n, const Names &x) { return {choose(w, n.type().dtype, x[0], x[1], x[2])}; }

// Quotient of wide integers: by zero 0, the least value by -1 wraps; neither may reach the operator.
std::string divide(Writer &w, const Node &n, DType t, const std::string &x, const std::string &y) {
  const Tensor *by = constant_behind(n.operands[1]);
  bool safe = by != nullptr;
  for (int64_t i = 0; safe && i < by->size(); ++i) safe = by->get_int(i) != 0 && by->get_int(i) != -1;
  if (safe) return w.call("Div", {x, y});
  std::string zero = w.call("Equal", {y, w.integer(t, 0)}), minus = w.call("Equal", {y, w.integer(t, -1)});
  std::string by_one = w.call("Where", {w.call("Or", {zero, minus}), w.integer(t, 1), y});
  std::string q = w.call("Where", {minus, w.call("Sub", {w.integer(t, 0), x}), w.call("Div", {x, by_one})});
  return w.call("Where", {zero, w.integer(t, 0), q});
}
Names quotient(Writer &w, const Node &n, const Names &x) {
  DType t = n.type().dtype, wide = widened(t);
  if (is_float(t)) return {w.call("Div", x)};
  if (t == DType::u64) no_form(n, "division of u64");
  return {w.cast(divide(w, n, wide, w.cast(x[0], t, wide), w.cast(x[1], t, wide)), wide, t)};
}
Names remainder(Writer &w, const Node &n, const Names &x) {
  DType t = n.type().dtype, wide = widened(t);
  if (is_float(t)) return {w.call("Mod", x, {{"fmod", int64_t(1)}})};
  if (t == DType::u64) no_form(n, "remainder of u64");
  std::string a = w.cast(x[0], t, wide), b = w.cast(x[1], t, wide), q = divide(w, n, wide, a, b);
  std::string r = w.call("Sub", {a, w.call("Mul", {q, b})});
  r = w.call("Where", {w.call("Equal", {b, w.integer(wide, 0)}), w.integer(wide, 0), r});
  return {w.cast(r, wide, t)};
}

// Shifts of 64 bits: ONNX has them for unsigned types, by less than the width.
Names shifted(Writer &w, const Node &n, const Names &x) {
  DType t = n.type().dtype;
  bool left = n.op == Op::shl;
  int64_t width = 8 * size_of(t);
  std::string y = w.cast(x[1], t, DType::i64);
  std::string inside = w.call("And", {w.call("GreaterOrEqual", {y, w.integer(DType::i64, 0)}),
                                      w.call("Less", {y, w.integer(DType::i64, width)})});
  std::string by = w.cast(w.call("Where", {inside, y, w.integer(DType::i64, 0)}), DType::i64, DType::u64);
  std::string v = w.cast(x[0], t, DType::i64), fill = w.integer(DType::i64, 0);
  auto shift = [&](const std::string &s) {
    return w.cast(w.call("BitShift", {w.cast(s, DType::i64, DType::u64), by}, {{"direction", left ? "LEFT" : "RIGHT"}}),
                  DType::u64, DType::i64);
  };
  std::string r;
  if (left || is_unsigned_int(t))
    r = shift(v);
  else { // the sign's bits inverted are 0 and stay so
    fill = w.call("Where",
                  {w.call("Less", {v, w.integer(DType::i64, 0)}), w.integer(DType::i64, -1), w.integer(DType::i64, 0)});
    r = w.call("BitwiseXor", {shift(w.call("BitwiseXor", {v, fill})), fill});
  }
  return {w.cast(w.call("Where", {inside, r, fill}), DType::i64, t)};
}

// Floats saturate as integers, and NaN is 0; ONNX leaves what is out of range to the runtime.
std::string saturated(Writer &w, std::string x, DType from, DType to) {
  bool narrow = size_of(to) <= 2, all_bits = size_of(to) == 8;
  DType t = from == DType::f64 || !narrow ? DType::f64 : DType::f32; // that holds the limits
  x = w.cast(x, from, t);
  x = w.call("Where", {w.call("IsNaN", {x}), w.scalar(t, 0), x});
  double least = is_signed_int(to) ? -std::ldexp(1, 8 * size_of(to) - 1) : 0,
         beyond = std::ldexp(1, 8 * size_of(to) - is_signed_int(to));
  std::string low = w.scalar(t, least), high = w.scalar(t, all_bits ? std::nextafter(beyond, 0) : beyond - 1);
  std::string y = w.cast(w.call("Clip", {x, low, high}), t, to);
  if (to != DType::i64) return y;
  return w.call("Where",
                {w.call("Less", {x, w.scalar(t, beyond)}), y, w.integer(to, std::numeric_limits<int64_t>::max())});
}

Names converted(Writer &w, const Node &n, const Names &x) {
  DType from = n.operands[0].dtype(), to = n.type().dtype;
  return {is_float(from) && is_integer(to) ? saturated(w, x[0], from, to) : w.cast(x[0], from, to)};
}
Names same_bits(Writer &w, const Node &n, const Names &x) {
  DType from = n.operands[0].dtype(), to = n.type().dtype;
  if (is_float(from) != is_float(to) || from == DType::boolean || to == DType::boolean ||
      (is_float(from) && from != to))
    no_form(n, std::string("bits of ") + std::string(name(from)) + " as " + std::string(name(to)));
  return {w.cast(x[0], from, to)};
}

std::string number(Writer &w, const Node &n, double value) { return w.scalar(n.type().dtype, value); }
// e^x - 1 = tanh(x / 2) (e^x + 1): exact near 0.
Names exp_less_one(Writer &w, const Node &n, const Names &x) {
  std::string half = w.call("Tanh", {w.call("Mul", {x[0], number(w, n, 0.5)})});
  return {w.call("Mul", {half, w.call("Add", {w.call("Exp", {x[0]}), number(w, n, 1)})})};
}
// log(1 + x) = 2 atanh(x / (2 + x)) near 0.
Names log_of_one_more(Writer &w, const Node &n, const Names &x) {
  std::string near = w.call(
      "Mul", {w.call("Atanh", {w.call("Div", {x[0], w.call("Add", {x[0], number(w, n, 2)})})}), number(w, n, 2)});
  std::string far = w.call("Log", {w.call("Add", {x[0], number(w, n, 1)})});
  return {choose(w, n.type().dtype, w.call("Less", {w.call("Abs", {x[0]}), number(w, n, 0.5)}), near, far)};
}
Names multiply_add(Writer &w, const Node &, const Names &x) {
  return {w.call("Add", {w.call("Mul", {x[0], x[1]}), x[2]})};
}
Names large(Writer &w, const Node &n, const Names &x) {
  std::string far = w.call("Greater", {w.call("Abs", {x[0]}), number(w, n, 131072)});
  return {choose(w, n.type().dtype, far, w.call(n.op == Op::sin_large ? "Sin" : "Cos", {x[0]}), x[1])};
}
Names limited(Writer &w, const Node &n, const Names &x) {
  return plain(w, n, {plain(w, n, {x[0], x[1]}, "Max")[0], x[2]}, "Min");
}
template <int percent> Names with_alpha(Writer &w, const Node &n, const Names &x) {
  return {
      w.call(std::string(n.info().onnx).c_str(), x, {{"alpha", n.attrs.get_or<double>(Attr::alpha, percent / 100.0)}})};
}
Names sigmoid_of_lines(Writer &w, const Node &n, const Names &x) {
  return {w.call("HardSigmoid", x, {{"alpha", n.attrs.get_or<double>(Attr::alpha, 1.0 / 6)}, {"beta", 0.5}})};
}
Names gelu_by_tanh(Writer &w, const Node &, const Names &x) { return {w.call("Gelu", x, {{"approximate", "tanh"}})}; }

bool compared(const Node &n) { return n.operands[0].dtype() != DType::u64; }

} // namespace

void add_elementwise(ExportRows &r) {
  for (Op op : {Op::exp, Op::log, Op::sin, Op::cos, Op::atan, Op::tanh, Op::erf, Op::sqrt, Op::floor, Op::round,
                Op::add, Op::mul, Op::abs})
    r[op] = {by_name};
  for (Op op : {Op::sub, Op::ceil, Op::reciprocal, Op::sigmoid, Op::softplus, Op::gelu, Op::hard_swish, Op::tan,
                Op::asin, Op::acos, Op::sinh, Op::cosh, Op::asinh, Op::acosh, Op::atanh})
    r[op] = {by_name};
  for (Op op : {Op::le, Op::gt, Op::ge}) r[op] = {by_name, compared};
  for (Op op : {Op::is_nan, Op::is_inf, Op::relu})
    r[op] = {by_name, [](const Node &n) { return is_float(n.operands[0].dtype()); }};
  r[Op::lt] = {less}, r[Op::neg] = {negative}, r[Op::eq] = {equal}, r[Op::ne] = {not_equal},
  r[Op::max] = r[Op::min] = {extreme};
  r[Op::bit_not] = {invert}, r[Op::bit_and] = r[Op::bit_or] = r[Op::bit_xor] = {bits};
  r[Op::select] = {selected}, r[Op::div] = {quotient}, r[Op::rem] = {remainder}, r[Op::shl] = r[Op::shr] = {shifted};
  r[Op::cast] = {converted}, r[Op::bitcast] = {same_bits};
  r[Op::expm1] = {exp_less_one}, r[Op::log1p] = {log_of_one_more}, r[Op::fma] = {multiply_add};
  r[Op::sin_large] = r[Op::cos_large] = {large}, r[Op::clamp] = {limited};
  r[Op::pow] = {[](Writer &w, const Node &, const Names &x) { return Names{w.call("Pow", x)}; }};
  r[Op::leaky_relu] = {with_alpha<1>}, r[Op::elu] = {with_alpha<100>};
  r[Op::hard_sigmoid] = {sigmoid_of_lines}, r[Op::gelu_tanh] = {gelu_by_tanh};
}

} // namespace trellis::onnx

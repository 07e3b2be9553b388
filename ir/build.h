// Builder functions: make nodes with numpy broadcasting and literals. The only place where broadcasting is undone
// into explicit `expand` nodes: elementwise nodes themselves have operands of one shape.
#pragma once
#include "ir/graph.h"

namespace trellis {

/// An operand: a value, or a number that takes its dtype from the other operands.
struct Operand {
  Value value;
  double number = 0;
  Operand(Value v) : value(v) {}
  Operand(double n) : number(n) {}
  Operand(int n) : number(n) {}
};

/// Broadcasts (numpy rules: shapes aligned at the back, extents of 1 repeat) and makes the node. Throws a located
/// CompileError where shapes or dtypes do not fit.
Value elementwise(Graph &g, Op op, std::vector<Operand> operands);
/// The same, the graph taken from the first operand that is a value.
Value elementwise(Op op, std::vector<Operand> operands);

/// `v` with leading axes added and extents of 1 repeated.
Value broadcast_to(Value v, const Shape &shape);
/// The numpy broadcast of two shapes; throws (what: "add: ...") where they do not fit.
Shape broadcast(const Shape &a, const Shape &b, const std::string &what, const Location &loc);

inline Value operator+(Operand a, Value b) { return elementwise(Op::add, {a, b}); }
inline Value operator+(Value a, double b) { return elementwise(Op::add, {a, b}); }
inline Value operator*(Operand a, Value b) { return elementwise(Op::mul, {a, b}); }
inline Value operator*(Value a, double b) { return elementwise(Op::mul, {a, b}); }
inline Value operator/(Operand a, Value b) { return elementwise(Op::div, {a, b}); }
inline Value operator/(Value a, double b) { return elementwise(Op::div, {a, b}); }
inline Value operator-(Value a) { return elementwise(Op::neg, {a}); }
inline Value operator-(Operand a, Value b) { return elementwise(Op::add, {a, -b}); }
inline Value operator-(Value a, double b) { return elementwise(Op::add, {a, -b}); }

inline Value exp(Value x) { return elementwise(Op::exp, {x}); }
inline Value max(Operand a, Operand b) { return elementwise(Op::max, {a, b}); }
inline Value min(Operand a, Operand b) { return elementwise(Op::min, {a, b}); }
inline Value fma(Operand a, Operand b, Operand c) { return elementwise(Op::fma, {a, b, c}); }
inline Value lt(Operand a, Operand b) { return elementwise(Op::lt, {a, b}); }
inline Value eq(Operand a, Operand b) { return elementwise(Op::eq, {a, b}); }
/// condition ? yes : no, elementwise; the condition is bool.
Value select(Value condition, Operand yes, Operand no);
Value cast(Value x, DType to);

Value reshape(Value x, Shape shape);
Value permute(Value x, std::vector<int64_t> perm);
/// Swaps the last two axes.
Value transpose(Value x);
/// Same rank; axes of extent 1 become those of `shape`.
Value expand(Value x, Shape shape);
Value slice(Value x, std::vector<int64_t> start, std::vector<int64_t> limit, std::vector<int64_t> step = {});
/// `fill` is a scalar of x's dtype; absent: zero.
Value pad(Value x, std::vector<int64_t> lo, std::vector<int64_t> hi, std::vector<int64_t> interior = {}, Value fill = {});
/// Strided view of the last `size.size()` axes: [..., o..., k...], element o * stride + k * dilation.
Value window(Value x, std::vector<int64_t> size, std::vector<int64_t> stride, std::vector<int64_t> dilation = {});
Value iota(Graph &g, Type type, int64_t axis);

/// kind: sum, prod, max, min. Empty `axes`: all of them.
Value reduce(Value x, std::string_view kind, std::vector<int64_t> axes = {}, bool keep = false);
inline Value sum(Value x, std::vector<int64_t> axes = {}, bool keep = false) { return reduce(x, "sum", std::move(axes), keep); }

/// a [B..., M, K] times b [B..., K, N].
Value dot(Value a, Value b);
/// x [N, G C, in...], w [G O, C, kernel...]; empty lists take their defaults (1, 0).
struct ConvOptions {
  std::vector<int64_t> stride, lo, hi, dilation, input_dilation;
  int64_t groups = 1;
};
Value conv(Value x, Value w, const ConvOptions &o = {});

} // namespace trellis

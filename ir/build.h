// Builder functions: make nodes with numpy broadcasting and literals. The only place where broadcasting is
// undone into explicit `expand` nodes: elementwise nodes themselves have operands of one shape.
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

/// Broadcasts (numpy rules: shapes aligned at the back, extents of 1 repeat) and makes the node. Throws a
/// located CompileError where shapes or dtypes do not fit.
Value elementwise(Graph &g, Op op, std::vector<Operand> operands, Attrs attrs = {});
/// The same, the graph taken from the first operand that is a value. For every row that `broadcasts()`.
Value elementwise(Op op, std::vector<Operand> operands, Attrs attrs = {});

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

inline Value abs(Value x) { return elementwise(Op::abs, {x}); }
inline Value exp(Value x) { return elementwise(Op::exp, {x}); }
inline Value expm1(Value x) { return elementwise(Op::expm1, {x}); }
inline Value log(Value x) { return elementwise(Op::log, {x}); }
inline Value log1p(Value x) { return elementwise(Op::log1p, {x}); }
inline Value sin(Value x) { return elementwise(Op::sin, {x}); }
inline Value cos(Value x) { return elementwise(Op::cos, {x}); }
inline Value atan(Value x) { return elementwise(Op::atan, {x}); }
inline Value tanh(Value x) { return elementwise(Op::tanh, {x}); }
inline Value erf(Value x) { return elementwise(Op::erf, {x}); }
inline Value sqrt(Value x) { return elementwise(Op::sqrt, {x}); }
inline Value floor(Value x) { return elementwise(Op::floor, {x}); }
inline Value round(Value x) { return elementwise(Op::round, {x}); }
inline Value ceil(Value x) { return elementwise(Op::ceil, {x}); }
inline Value trunc(Value x) { return elementwise(Op::trunc, {x}); }
inline Value sign(Value x) { return elementwise(Op::sign, {x}); }
inline Value square(Value x) { return elementwise(Op::square, {x}); }
inline Value reciprocal(Value x) { return elementwise(Op::reciprocal, {x}); }
inline Value rsqrt(Value x) { return elementwise(Op::rsqrt, {x}); }
inline Value sigmoid(Value x) { return elementwise(Op::sigmoid, {x}); }
inline Value softplus(Value x) { return elementwise(Op::softplus, {x}); }
inline Value silu(Value x) { return elementwise(Op::silu, {x}); }
inline Value relu(Value x) { return elementwise(Op::relu, {x}); }
inline Value gelu(Value x) { return elementwise(Op::gelu, {x}); }
inline Value bit_not(Value x) { return elementwise(Op::bit_not, {x}); }
inline Value is_nan(Value x) { return elementwise(Op::is_nan, {x}); }
inline Value is_inf(Value x) { return elementwise(Op::is_inf, {x}); }
inline Value is_finite(Value x) { return elementwise(Op::is_finite, {x}); }
inline Value max(Operand a, Operand b) { return elementwise(Op::max, {a, b}); }
inline Value min(Operand a, Operand b) { return elementwise(Op::min, {a, b}); }
inline Value pow(Operand a, Operand b) { return elementwise(Op::pow, {a, b}); }
inline Value lt(Operand a, Operand b) { return elementwise(Op::lt, {a, b}); }
inline Value eq(Operand a, Operand b) { return elementwise(Op::eq, {a, b}); }
inline Value le(Operand a, Operand b) { return elementwise(Op::le, {a, b}); }
inline Value gt(Operand a, Operand b) { return elementwise(Op::gt, {a, b}); }
inline Value ge(Operand a, Operand b) { return elementwise(Op::ge, {a, b}); }
inline Value ne(Operand a, Operand b) { return elementwise(Op::ne, {a, b}); }
inline Value rem(Operand a, Operand b) { return elementwise(Op::rem, {a, b}); }
inline Value bit_and(Operand a, Operand b) { return elementwise(Op::bit_and, {a, b}); }
inline Value bit_or(Operand a, Operand b) { return elementwise(Op::bit_or, {a, b}); }
inline Value bit_xor(Operand a, Operand b) { return elementwise(Op::bit_xor, {a, b}); }
inline Value shl(Operand a, Operand b) { return elementwise(Op::shl, {a, b}); }
inline Value shr(Operand a, Operand b) { return elementwise(Op::shr, {a, b}); }
inline Value fma(Operand a, Operand b, Operand c) { return elementwise(Op::fma, {a, b, c}); }
inline Value clamp(Operand x, Operand lo, Operand hi) { return elementwise(Op::clamp, {x, lo, hi}); }
/// condition ? yes : no, elementwise; the condition is bool.
Value select(Value condition, Operand yes, Operand no);
Value cast(Value x, DType to);
Value bitcast(Value x, DType to);

Value reshape(Value x, Shape shape);
Value permute(Value x, std::vector<int64_t> perm);
/// Swaps the last two axes.
Value transpose(Value x);
/// Same rank; axes of extent 1 become those of `shape`.
Value expand(Value x, Shape shape);
Value slice(Value x, std::vector<int64_t> start, std::vector<int64_t> limit, std::vector<int64_t> step = {});
/// `fill` is a scalar of x's dtype; absent: zero.
Value pad(Value x, std::vector<int64_t> lo, std::vector<int64_t> hi, std::vector<int64_t> interior = {},
          Value fill = {});
/// Strided view of the last `size.size()` axes: [..., o..., k...], element o * stride + k * dilation.
Value window(Value x, std::vector<int64_t> size, std::vector<int64_t> stride, std::vector<int64_t> dilation = {});
/// Transpose of `window`: sums into a tensor of `shape`.
Value unwindow(Value x, Shape shape, std::vector<int64_t> size, std::vector<int64_t> stride,
               std::vector<int64_t> dilation = {});
Value concat(Values parts, int64_t axis);
/// `parts` with a new axis of their number.
Value stack(Values parts, int64_t axis);
/// Consecutive parts of these extents along an axis.
Values split(Value x, std::vector<int64_t> extents, int64_t axis);
/// Elements [start, limit) of one axis.
Value narrow(Value x, int64_t axis, int64_t start, int64_t limit);
/// Reverses the order along axes.
Value flip(Value x, std::vector<int64_t> axes);
/// The whole repeated, a count an axis.
Value tile(Value x, std::vector<int64_t> repeats);
Value iota(Graph &g, Type type, int64_t axis);

/// kind: sum, prod, max, min. Empty `axes`: all of them.
Value reduce(Value x, std::string_view kind, std::vector<int64_t> axes = {}, bool keep = false);
inline Value sum(Value x, std::vector<int64_t> axes = {}, bool keep = false) {
  return reduce(x, "sum", std::move(axes), keep);
}

/// Over just these axes, even none.
Value reduce_over(Value x, std::string_view kind, std::vector<int64_t> axes, bool keep = false);
Value mean(Value x, std::vector<int64_t> axes = {}, bool keep = false);
/// Population variance.
Value var(Value x, std::vector<int64_t> axes = {}, bool keep = false);
Value logsumexp(Value x, std::vector<int64_t> axes = {}, bool keep = false);
inline Value any(Value x, std::vector<int64_t> axes = {}, bool keep = false) {
  return reduce(x, "max", std::move(axes), keep);
}
inline Value all(Value x, std::vector<int64_t> axes = {}, bool keep = false) {
  return reduce(x, "min", std::move(axes), keep);
}
inline Value l1_norm(Value x, std::vector<int64_t> axes = {}, bool keep = false) {
  return sum(abs(x), std::move(axes), keep);
}
inline Value l2_norm(Value x, std::vector<int64_t> axes = {}, bool keep = false) {
  return sqrt(sum(square(x), std::move(axes), keep));
}
Value argmax(Value x, int64_t axis, bool keep = false);
Value argmin(Value x, int64_t axis, bool keep = false);
/// kind: sum, prod, max, min.
Value cumulative(Value x, std::string_view kind, int64_t axis, bool exclusive = false, bool reverse = false);

Value gather(Value data, Value indices, int64_t axis = 0);
/// kind: set, sum, prod, max, min.
Value scatter(Value base, Value indices, Value updates, int64_t axis, std::string_view kind);
/// An index an element: data[..., indices[..., i, ...], ...]; indices must be in range.
Value take_along(Value data, Value indices, int64_t axis);
/// Transpose of take_along: `updates` combined into `base`.
Value put_along(Value base, Value indices, Value updates, int64_t axis, std::string_view kind);
struct Sorted {
  Value values, indices; ///< indices are i64
};
Sorted sort(Value x, int64_t axis, bool descending = false);
/// The k largest (or smallest) along an axis, in order.
Sorted top_k(Value x, int64_t k, int64_t axis, bool largest = true);
/// A new axis of `classes` at the back: 1 at the label, else 0; all 0 where the label is out of range.
Value one_hot(Value labels, int64_t classes, DType dtype);

Value softmax(Value x, int64_t axis = -1);
Value log_softmax(Value x, int64_t axis = -1);
/// `scale` and `bias` may be null; over the axes from `axis` on.
Value layer_norm(Value x, Value scale, Value bias, int64_t axis = -1, double epsilon = 1e-5);
Value rms_norm(Value x, Value scale, int64_t axis = -1, double epsilon = 1e-5);
struct BatchNorm {
  Value y, mean, var; ///< var is the population variance
};
BatchNorm batch_norm(Value x, Value scale, Value bias, double epsilon = 1e-5);
/// `momentum`: the weight of a batch in the running statistics when the graph is trained.
Value batch_norm_inference(Value x, Value scale, Value bias, Value mean, Value var, double epsilon = 1e-5,
                           double momentum = 0.1);
Value group_norm(Value x, Value scale, Value bias, int64_t groups, double epsilon = 1e-5);
/// Each channel of each sample by itself.
Value instance_norm(Value x, Value scale, Value bias, double epsilon = 1e-5);
struct PoolOptions {
  std::vector<int64_t> size, stride, lo, hi, dilation; ///< empty: 1, 0, 0, 1
  bool count_pad = false;                              ///< average: padding counts
};
Value max_pool(Value x, const PoolOptions &o);
Value avg_pool(Value x, const PoolOptions &o);
struct AttentionOptions {
  Value mask; ///< null: none
  bool causal = false;
  std::optional<double> scale; ///< none: 1 / sqrt(D)
};
Value attention(Value q, Value k, Value v, const AttentionOptions &o = {});
/// Means over all labels but `ignored` ones.
Value cross_entropy(Value logits, Value labels, std::optional<int64_t> ignored = {});
Value mse(Value x, Value y);
Value bce_with_logits(Value x, Value targets);
Value dropout(Value x, Value seed, double rate, int64_t stream);
/// The state that holds the seed of a model's dropout; a graph that drops nothing has none.
inline constexpr std::string_view kDropoutSeed = "dropout.seed";
/// op: random_bits, random_uniform, random_normal.
Value random(Op op, Value seed, Type type, int64_t stream);

/// a [B..., M, K] times b [B..., K, N].
Value dot(Value a, Value b);
/// x [N, G C, in...], w [G O, C, kernel...]; empty lists take their defaults (1, 0).
struct ConvOptions {
  std::vector<int64_t> stride, lo, hi, dilation, input_dilation;
  int64_t groups = 1;
};
Value conv(Value x, Value w, const ConvOptions &o = {});

} // namespace trellis

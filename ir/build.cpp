#include "ir/build.h"
#include <fmt/format.h>

namespace trellis {

Shape broadcast(const Shape &a, const Shape &b, const std::string &what, const Location &loc) {
  Shape out(std::max(a.size(), b.size()), Dim(1));
  for (size_t i = 0; i < out.size(); ++i) {
    Dim x = i < a.size() ? a[a.size() - 1 - i] : Dim(1), y = i < b.size() ? b[b.size() - 1 - i] : Dim(1);
    bool x1 = x.is_static() && x.value() == 1, y1 = y.is_static() && y.value() == 1;
    if (!x1 && !y1 && !compatible(x, y))
      throw CompileError(loc, fmt::format("{}: shapes {} and {} do not broadcast", what,
                                          Type{DType::f32, a}.str().substr(3), Type{DType::f32, b}.str().substr(3)));
    out[out.size() - 1 - i] = x1 ? y : y1 ? x : x.is_unknown() ? y : x;
  }
  return out;
}

Value broadcast_to(Value v, const Shape &shape) {
  if (same(v.shape(), shape)) return v;
  if (v.shape().size() < shape.size()) {
    Shape grown(shape.size() - v.shape().size(), Dim(1));
    grown.insert(grown.end(), v.shape().begin(), v.shape().end());
    v = reshape(v, grown);
  }
  return expand(v, shape);
}

Value elementwise(Graph &g, Op op, std::vector<Operand> operands, Attrs attrs) {
  const OpInfo &row = info(op);
  DType dtype = DType::f32;
  Shape shape;
  bool any = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    Value v = operands[i].value;
    if (!v) continue;
    shape = any ? broadcast(shape, v.shape(), std::string(row.name), g.location) : v.shape();
    any = true;
    if (!(op == Op::select && i == 0)) dtype = v.dtype();
  }
  Values values;
  for (Operand &o : operands)
    values.push_back(o.value ? broadcast_to(o.value, shape) : g.splat({dtype, shape}, o.number));
  return g.make(op, std::move(values), std::move(attrs));
}

Value elementwise(Op op, std::vector<Operand> operands, Attrs attrs) {
  for (Operand &o : operands)
    if (o.value) return elementwise(o.value.graph(), op, operands, std::move(attrs));
  TRELLIS_CHECK(false, "an elementwise op of numbers alone names no graph");
}

Value select(Value c, Operand yes, Operand no) {
  if (!yes.value && !no.value) { TRELLIS_CHECK(false, "select of two numbers has no dtype"); }
  return elementwise(Op::select, {c, yes, no});
}
Value cast(Value x, DType to) { return x.dtype() == to ? x : x.graph().make(Op::cast, {x}, {{Attr::dtype, to}}); }
Value bitcast(Value x, DType to) { return x.dtype() == to ? x : x.graph().make(Op::bitcast, {x}, {{Attr::dtype, to}}); }

Value reshape(Value x, Shape shape) {
  return same(x.shape(), shape) ? x : x.graph().make(Op::reshape, {x}, {{Attr::shape, std::move(shape)}});
}
Value permute(Value x, std::vector<int64_t> perm) {
  bool moves = int(perm.size()) != x.rank();
  for (size_t i = 0; i < perm.size(); ++i) moves |= perm[i] != int64_t(i);
  if (!moves) return x;
  return x.graph().make(Op::permute, {x}, {{Attr::perm, std::move(perm)}});
}
Value transpose(Value x) {
  std::vector<int64_t> perm(size_t(x.rank()));
  for (size_t i = 0; i < perm.size(); ++i) perm[i] = int64_t(i);
  TRELLIS_CHECK(perm.size() >= 2, "transpose of rank below 2");
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return permute(x, perm);
}
Value expand(Value x, Shape shape) {
  return same(x.shape(), shape) ? x : x.graph().make(Op::expand, {x}, {{Attr::shape, std::move(shape)}});
}
Value slice(Value x, std::vector<int64_t> start, std::vector<int64_t> limit, std::vector<int64_t> step) {
  Attrs a{{Attr::start, std::move(start)}, {Attr::limit, std::move(limit)}};
  if (!step.empty()) a.set(Attr::step, std::move(step));
  return x.graph().make(Op::slice, {x}, std::move(a));
}
Value pad(Value x, std::vector<int64_t> lo, std::vector<int64_t> hi, std::vector<int64_t> interior, Value fill) {
  Attrs a{{Attr::lo, std::move(lo)}, {Attr::hi, std::move(hi)}};
  if (!interior.empty()) a.set(Attr::interior, std::move(interior));
  return x.graph().make(Op::pad, {x, fill ? fill : x.graph().scalar(x.dtype(), 0)}, std::move(a));
}
Value window(Value x, std::vector<int64_t> size, std::vector<int64_t> stride, std::vector<int64_t> dilation) {
  Attrs a{{Attr::size, std::move(size)}};
  if (!stride.empty()) a.set(Attr::stride, std::move(stride));
  if (!dilation.empty()) a.set(Attr::dilation, std::move(dilation));
  return x.graph().make(Op::window, {x}, std::move(a));
}
Value unwindow(Value x, Shape shape, std::vector<int64_t> size, std::vector<int64_t> stride,
               std::vector<int64_t> dilation) {
  Attrs a{{Attr::shape, std::move(shape)}, {Attr::size, std::move(size)}};
  if (!stride.empty()) a.set(Attr::stride, std::move(stride));
  if (!dilation.empty()) a.set(Attr::dilation, std::move(dilation));
  return x.graph().make(Op::unwindow, {x}, std::move(a));
}
Value concat(Values parts, int64_t axis) {
  TRELLIS_CHECK(!parts.empty(), "concat of nothing");
  if (parts.size() == 1) return parts[0];
  Graph &g = parts[0].graph();
  return g.make(Op::concat, std::move(parts), {{Attr::axis, axis}});
}
// An axis counted from the back made one from the front; `rank` is that of the result.
static size_t from_front(int64_t axis, int rank) {
  TRELLIS_CHECK(axis >= -rank && axis < rank, fmt::format("axis {} of rank {}", axis, rank));
  return size_t(axis < 0 ? axis + rank : axis);
}
Value stack(Values parts, int64_t axis) {
  TRELLIS_CHECK(!parts.empty(), "stack of nothing");
  size_t at = from_front(axis, parts[0].rank() + 1);
  for (Value &p : parts) {
    Shape s = p.shape();
    s.insert(s.begin() + std::ptrdiff_t(at), 1);
    p = reshape(p, s);
  }
  return concat(std::move(parts), int64_t(at));
}
Value narrow(Value x, int64_t axis, int64_t start, int64_t limit) {
  std::vector<int64_t> from(size_t(x.rank()), 0), to = dims_of(x.shape());
  size_t at = from_front(axis, x.rank());
  if (start == 0 && limit == to[at]) return x;
  from[at] = start, to[at] = limit;
  return slice(x, from, to);
}
Values split(Value x, std::vector<int64_t> extents, int64_t axis) {
  Values out;
  int64_t start = 0;
  for (int64_t n : extents) out.push_back(narrow(x, axis, start, start + n)), start += n;
  return out;
}
Value flip(Value x, std::vector<int64_t> axes) {
  size_t r = size_t(x.rank());
  std::vector<int64_t> start(r, 0), limit = dims_of(x.shape()), step(r, 1);
  for (int64_t a : axes) {
    size_t at = from_front(a, x.rank());
    start[at] = limit[at] - 1, limit[at] = -1, step[at] = -1;
  }
  return slice(x, start, limit, step);
}
Value tile(Value x, std::vector<int64_t> repeats) {
  TRELLIS_CHECK(int(repeats.size()) == x.rank(), "tile needs a count for each axis");
  Shape apart, wide, flat;
  for (size_t i = 0; i < repeats.size(); ++i) {
    Dim d = x.shape()[i];
    apart.insert(apart.end(), {Dim(1), d}), wide.insert(wide.end(), {Dim(repeats[i]), d}),
        flat.push_back(repeats[i] * d.value());
  }
  return reshape(expand(reshape(x, apart), wide), flat);
}
Value iota(Graph &g, Type type, int64_t axis) {
  return g.make(Op::iota, {}, {{Attr::dtype, type.dtype}, {Attr::shape, std::move(type.shape)}, {Attr::axis, axis}});
}
Value reduce(Value x, std::string_view kind, std::vector<int64_t> axes, bool keep) {
  if (axes.empty())
    for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  Attrs a{{Attr::kind, std::string(kind)}, {Attr::axes, std::move(axes)}};
  if (keep) a.set(Attr::keep, true);
  return x.graph().make(Op::reduce, {x}, std::move(a));
}
Value reduce_over(Value x, std::string_view kind, std::vector<int64_t> axes, bool keep) {
  Attrs a{{Attr::kind, std::string(kind)}, {Attr::axes, std::move(axes)}};
  if (keep) a.set(Attr::keep, true);
  return x.graph().make(Op::reduce, {x}, std::move(a));
}
static Value reducing(Op op, Value x, std::vector<int64_t> axes, bool keep) {
  Attrs a;
  if (!axes.empty()) a.set(Attr::axes, std::move(axes));
  if (keep) a.set(Attr::keep, true);
  return x.graph().make(op, {x}, std::move(a));
}
Value mean(Value x, std::vector<int64_t> axes, bool keep) { return reducing(Op::mean, x, std::move(axes), keep); }
Value var(Value x, std::vector<int64_t> axes, bool keep) { return reducing(Op::var, x, std::move(axes), keep); }
Value logsumexp(Value x, std::vector<int64_t> axes, bool keep) {
  return reducing(Op::logsumexp, x, std::move(axes), keep);
}
static Value arg(Op op, Value x, int64_t axis, bool keep) {
  Attrs a{{Attr::axis, axis}};
  if (keep) a.set(Attr::keep, true);
  return x.graph().make(op, {x}, std::move(a));
}
Value argmax(Value x, int64_t axis, bool keep) { return arg(Op::argmax, x, axis, keep); }
Value argmin(Value x, int64_t axis, bool keep) { return arg(Op::argmin, x, axis, keep); }
Value cumulative(Value x, std::string_view kind, int64_t axis, bool exclusive, bool reverse) {
  Attrs a{{Attr::kind, std::string(kind)}, {Attr::axis, axis}};
  if (exclusive) a.set(Attr::exclusive, true);
  if (reverse) a.set(Attr::reverse, true);
  return x.graph().make(Op::cumulative, {x}, std::move(a));
}

Value gather(Value data, Value indices, int64_t axis) {
  return data.graph().make(Op::gather, {data, indices}, {{Attr::axis, axis}});
}
Value scatter(Value base, Value indices, Value updates, int64_t axis, std::string_view kind) {
  return base.graph().make(Op::scatter, {base, indices, updates},
                           {{Attr::axis, axis}, {Attr::kind, std::string(kind)}});
}
// Row-major offsets into a tensor of shape `data` of the elements that take_along reads.
static Value offsets_along(Value indices, const Shape &data, size_t axis) {
  Graph &g = indices.graph();
  Type t{DType::i64, indices.shape()};
  Value out;
  int64_t stride = 1;
  for (size_t i = data.size(); i-- > 0;) {
    Value at = i == axis ? cast(indices, DType::i64) : iota(g, t, int64_t(i));
    if (stride != 1) at = at * double(stride);
    out = out ? out + at : at;
    stride *= data[i].value();
  }
  return out;
}
Value take_along(Value data, Value indices, int64_t axis) {
  Value at = offsets_along(indices, data.shape(), from_front(axis, data.rank()));
  return gather(reshape(data, {data.type().size()}), at, 0);
}
Value put_along(Value base, Value indices, Value updates, int64_t axis, std::string_view kind) {
  Value at = offsets_along(indices, base.shape(), from_front(axis, base.rank()));
  return reshape(scatter(reshape(base, {base.type().size()}), at, updates, 0, kind), base.shape());
}
Sorted sort(Value x, int64_t axis, bool descending) {
  Attrs a{{Attr::axis, axis}};
  if (descending) a.set(Attr::descending, true);
  const Node *n = x.graph().node(Op::sort, {x}, std::move(a));
  return {n->result(0), n->result(1)};
}
Sorted top_k(Value x, int64_t k, int64_t axis, bool largest) {
  Sorted s = sort(x, axis, largest);
  return {narrow(s.values, axis, 0, k), narrow(s.indices, axis, 0, k)};
}
Value one_hot(Value labels, int64_t classes, DType dtype) {
  if (size_of(labels.dtype()) < 4) labels = cast(labels, DType::i32); // classes need not fit a narrow label's dtype
  Shape wide = labels.shape();
  wide.push_back(1);
  Value l = reshape(labels, wide);
  wide.back() = classes;
  return cast(eq(expand(l, wide), iota(l.graph(), {l.dtype(), wide}, int64_t(wide.size()) - 1)), dtype);
}

Value dot(Value a, Value b) { return a.graph().make(Op::dot, {a, b}); }
Value conv(Value x, Value w, const ConvOptions &o) {
  Attrs a;
  auto put = [&](Attr name, const std::vector<int64_t> &v) {
    if (!v.empty()) a.set(name, v);
  };
  put(Attr::stride, o.stride), put(Attr::lo, o.lo), put(Attr::hi, o.hi), put(Attr::dilation, o.dilation),
      put(Attr::input_dilation, o.input_dilation);
  if (o.groups != 1) a.set(Attr::groups, o.groups);
  return x.graph().make(Op::conv, {x, w}, std::move(a));
}

} // namespace trellis

// Shapes as numbers, and tensors made from nothing: what import folds away.
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

static Values shape_as_tensor(Step &s) {
  Ints dims = dims_of(s.in(0).shape());
  int64_t r = int64_t(dims.size());
  auto place = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + r : i, 0, r); };
  int64_t from = place(s.i("start", 0)), to = std::max(from, place(s.i("end", r)));
  auto part = [&](int64_t a, int64_t b) { return s.constant(Ints(dims.begin() + a, dims.begin() + b)); };
  Count c = s.count(0);
  if (!c || c.axis < from || c.axis >= to) return {part(from, to)};
  return {concat({part(from, c.axis), reshape(c.number, {1}), part(c.axis + 1, to)}, 0)};
}
static Values size(Step &s) {
  Value x = s.in(0);
  Count c = s.count(0);
  if (!c) return {s.g.constant(Tensor::scalar_int(DType::i64, x.type().size()))};
  Ints dims = dims_of(x.shape());
  int64_t others = 1;
  for (int k = 0; k < x.rank(); ++k)
    if (k != c.axis) others *= dims[size_t(k)];
  return {c.number * double(others)};
}

static Values constant(Step &s) {
  if (const AttributeProto *a = s.attr("value")) return {s.g.constant(s.importer.tensor(a->t(), s.where))};
  if (const AttributeProto *a = s.attr("sparse_value"))
    return {s.g.constant(s.importer.tensor(a->sparse_tensor(), s.where))};
  if (const AttributeProto *a = s.attr("value_float")) return {s.g.scalar(DType::f32, double(a->f()))};
  if (const AttributeProto *a = s.attr("value_int")) return {s.g.constant(Tensor::scalar_int(DType::i64, a->i()))};
  if (s.attr("value_ints")) return {s.constant(s.ints("value_ints"))};
  if (s.attr("value_floats")) {
    std::vector<double> v = s.floats("value_floats");
    return {s.g.constant(Tensor::of<double>(DType::f32, {int64_t(v.size())}, std::span<const double>(v)))};
  }
  s.fail("its value is of a kind that is not supported");
}

// A scalar of `t`'s only element, repeated.
static Value filled(Step &s, const Ints &dims, const Tensor &t) {
  for (int64_t d : dims) s.require(d >= 0, "a dim is negative");
  return broadcast_to(s.g.constant(t.reshaped({})), shape_of(dims));
}
static Values constant_of_shape(Step &s) {
  Tensor value = Tensor::scalar(DType::f32, 0);
  if (const AttributeProto *a = s.attr("value")) value = s.importer.tensor(a->t(), s.where);
  s.require(value.size() == 1, "'value' must hold one element");
  return {filled(s, s.known_ints(0), value)};
}

static Values range(Step &s) {
  DType t = s.in(0).dtype();
  int64_t count = 0;
  constexpr double kMost = double(int64_t(1) << 31);
  if (is_float(t)) {
    double n = std::ceil((s.known_real(1) - s.known_real(0)) / s.known_real(2));
    s.require(n < kMost, "the range is too long");
    count = n > 0 ? int64_t(n) : 0;
  } else {
    Ints from = s.known_ints(0), to = s.known_ints(1), step = s.known_ints(2);
    s.require(from.size() == 1 && to.size() == 1 && step.size() == 1 && step[0] != 0,
              "start, limit and step must be numbers, the step not 0");
    double n = std::ceil((double(to[0]) - double(from[0])) / double(step[0]));
    s.require(n < kMost, "the range is too long");
    count = n > 0 ? int64_t(n) : 0;
  }
  Type type{t, {count}};
  DType index = is_float(t) || size_of(t) >= 4 ? t : DType::i32;
  Value i = iota(s.g, {index, type.shape}, 0);
  Value start = s.g.constant(s.known(0).reshaped({})), step = s.g.constant(s.known(2).reshaped({}));
  return {cast(i, t) * step + start};
}

static Values eye_like(Step &s) {
  Value x = s.in(0);
  s.require(x.rank() == 2, "needs a matrix");
  DType t = s.attr("dtype") ? s.dtype(s.i("dtype", 1)) : x.dtype();
  Type index{DType::i64, x.shape()};
  return {cast(eq(iota(s.g, index, 0) + double(s.i("k", 0)), iota(s.g, index, 1)), t)};
}

static Values one_hot_of(Step &s) {
  Value labels = s.in(0), values = s.in(2);
  int64_t depth = s.known_whole(1);
  s.require(depth >= 0 && depth < (int64_t(1) << 31), "the depth is negative or too large");
  s.require(values.rank() == 1 && values.shape()[0].value() == 2, "the values must be two");
  Value l = cast(labels, DType::i64);
  l = select(lt(l, 0), l + double(depth), l);
  Value hot = one_hot(l, depth, DType::boolean);
  int64_t axis = s.axis(s.i("axis", -1), labels.rank() + 1);
  Ints perm;
  for (int64_t k = 0; k <= labels.rank(); ++k) perm.push_back(k == axis ? labels.rank() : k < axis ? k : k - 1);
  Value off = reshape(narrow(values, 0, 0, 1), {}), on = reshape(narrow(values, 0, 1, 2), {});
  return {select(permute(hot, perm), on, off)};
}

// Windows of signal processing: a cosine sum.
static Values window_of(Step &s) {
  int64_t n = s.known_whole(0);
  s.table({n}, "the window");
  const std::string &op = s.node.op_type();
  bool periodic = s.i("periodic", 1) != 0;
  double a0 = op == "HannWindow"      ? 0.5
              : op == "HammingWindow" ? 25.0 / 46
                                      : 0.42,
         a1 = op == "HannWindow"      ? 0.5
              : op == "HammingWindow" ? 21.0 / 46
                                      : 0.5,
         a2 = op == "BlackmanWindow" ? 0.08 : 0;
  std::vector<double> w;
  for (int64_t k = 0; k < n; ++k) {
    double at = 2 * M_PI * double(k) / double(periodic ? n : std::max<int64_t>(n - 1, 1));
    w.push_back(a0 - a1 * std::cos(at) + a2 * std::cos(2 * at));
  }
  return {s.g.constant(Tensor::of<double>(s.dtype(s.i("output_datatype", 1)), {n}, std::span<const double>(w)))};
}

void add_shape(Recipes &r) {
  r.on("Shape", 1, shape_as_tensor), r.on("Size", 1, size), r.on("Constant", 1, constant),
      r.on("ConstantOfShape", 9, constant_of_shape);
  r.on("Range", 11, range), r.on("EyeLike", 9, eye_like), r.on("OneHot", 9, one_hot_of);
  r.on({"HannWindow", "HammingWindow", "BlackmanWindow"}, 17, window_of);
}

} // namespace trellis::onnx

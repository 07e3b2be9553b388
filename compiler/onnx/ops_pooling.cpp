// Pooling, global pooling, and resizing.
#include "compiler/onnx/windows.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

static PoolOptions options_of(const Windows &w) {
  PoolOptions o{w.size, w.stride, w.lo, w.hi, w.dilation, false};
  for (size_t k = 0; k < w.hi.size(); ++k) o.hi[k] += w.extra[k];
  return o;
}
// x with its spatial axes padded by lo and hi.
static Value padded(Value x, const Ints &lo, const Ints &hi, Value fill = {}) {
  Ints a(2, 0), b(2, 0);
  a.insert(a.end(), lo.begin(), lo.end()), b.insert(b.end(), hi.begin(), hi.end());
  return a == Ints(a.size(), 0) && b == a ? x : pad(x, a, b, {}, fill);
}

// Where the largest element of each window lies in x, counted row-major (or column-major in the plane).
static Value indices_of(Step &s, Value x, const PoolOptions &o) {
  size_t n = o.size.size();
  Ints dims = dims_of(x.shape());
  Value at;
  int64_t stride = 1;
  Type type{DType::i64, x.shape()};
  bool column_major = s.i("storage_order", 0) != 0;
  std::vector<size_t> order;
  for (size_t k = 0; k < n; ++k) order.push_back(column_major ? k + 2 : n + 1 - k);
  for (size_t d : {size_t(1), size_t(0)}) order.push_back(d);
  for (size_t d : order) {
    Value i = iota(s.g, type, int64_t(d)) * double(stride);
    at = at ? at + i : i, stride *= dims[d];
  }
  Tensor lowest(x.dtype(), {});
  is_float(x.dtype()) ? lowest.set(0, -INFINITY)
                      : lowest.set_int(0, is_signed_int(x.dtype()) ? INT64_MIN >> (64 - 8 * size_of(x.dtype())) : 0);
  Value far = s.g.constant(Tensor::scalar_int(DType::i64, INT64_MAX));
  auto windows = [&](Value v, Value fill) { return window(padded(v, o.lo, o.hi, fill), o.size, o.stride, o.dilation); };
  Value w = windows(x, s.g.constant(lowest)), i = windows(at, far);
  Ints axes;
  for (int k = x.rank(); k < w.rank(); ++k) axes.push_back(k);
  Value most = expand(reduce_over(w, "max", axes, true), w.shape());
  return reduce_over(select(eq(w, most), i, broadcast_to(far, i.shape())), "min", axes);
}

// ceil_mode may need less than there is: what no window reaches is cropped, since pools pad only.
static Value cropped(Value x, PoolOptions &o) {
  Ints lo(o.size.size(), 0), hi = lo;
  for (size_t k = 0; k < lo.size(); ++k)
    lo[k] = std::min<int64_t>(o.lo[k], 0), hi[k] = std::min<int64_t>(o.hi[k], 0), o.lo[k] -= lo[k], o.hi[k] -= hi[k];
  return padded(x, lo, hi);
}

static Values max_pooled(Step &s) {
  Value x = s.in(0);
  PoolOptions o = options_of(windows_of(s, x, s.ints("kernel_shape"))), inside = o;
  Values y{max_pool(cropped(x, inside), inside)};
  if (s.wants(1)) y.push_back(indices_of(s, x, o));
  return y;
}

Value average_pool(Step &s, Value x) {
  Windows w = windows_of(s, x, s.ints("kernel_shape"));
  PoolOptions o = options_of(w);
  if (s.i("count_include_pad", 0)) { // what ceil_mode adds still does not count
    Ints lo = w.lo, hi = w.hi;
    for (size_t k = 0; k < hi.size(); ++k)
      hi[k] += std::min<int64_t>(w.extra[k], 0), o.lo[k] = 0, o.hi[k] = std::max<int64_t>(w.extra[k], 0);
    x = padded(x, lo, hi);
  }
  x = cropped(x, o);
  return avg_pool(x, o);
}
static Values average_pooled(Step &s) { return {average_pool(s, s.in(0))}; }

static Value power_mean(Step &s, Value sum_of_powers, double p) {
  return p == 1   ? sum_of_powers
         : p == 2 ? sqrt(sum_of_powers)
                  : pow(sum_of_powers, s.g.splat(sum_of_powers.type(), 1 / p));
}
static Value powers(Value x, double p) { return p == 1 ? abs(x) : p == 2 ? square(x) : pow(abs(x), p); }

static Values lp_pooled(Step &s) {
  Value x = s.in(0);
  PoolOptions o = options_of(windows_of(s, x, s.ints("kernel_shape")));
  double p = s.version < 2 ? s.f("p", 2) : double(s.i("p", 2));
  Value w = window(padded(powers(x, p), o.lo, o.hi), o.size, o.stride, o.dilation);
  Ints axes;
  for (int k = x.rank(); k < w.rank(); ++k) axes.push_back(k);
  return {power_mean(s, reduce_over(w, "sum", axes), p)};
}

static Values global_pooled(Step &s) {
  Value x = s.in(0);
  const std::string &op = s.node.op_type();
  s.require(x.rank() >= 2, "needs rank 2 or more");
  Ints axes;
  for (int k = 2; k < x.rank(); ++k) axes.push_back(k);
  if (axes.empty()) return {x};
  if (op == "GlobalMaxPool") return {reduce_over(x, "max", axes, true)};
  if (op == "GlobalAveragePool") return {mean(x, axes, true)};
  double p = s.version < 2 ? s.f("p", 2) : double(s.i("p", 2));
  return {power_mean(s, reduce_over(powers(x, p), "sum", axes, true), p)};
}

static Values max_unpool(Step &s) {
  Value x = s.in(0), at = s.in(1);
  Ints size = s.ints("kernel_shape"), out;
  size_t n = size.size();
  s.require(x.rank() == int(n) + 2 && same(x.shape(), at.shape()), "the indices do not fit");
  Ints stride = s.ints("strides", Ints(n, 1)), pads = s.ints("pads", Ints(2 * n, 0)), dims = dims_of(x.shape());
  s.require(stride.size() == n && pads.size() == 2 * n, "strides or pads do not fit the kernel");
  for (const Ints *all : {&size, &stride, &pads})
    for (int64_t d : *all) s.require(d >= 0 && d < 1 << 24, "a kernel, stride or padding is negative, or too large");
  out = {dims[0], dims[1]};
  for (size_t k = 0; k < n; ++k) out.push_back((dims[k + 2] - 1) * stride[k] + size[k] - pads[k] - pads[k + n]);
  for (int64_t d : out) s.require(d >= 0, "a dim is negative");
  s.require(is_reasonable(shape_of(out)), "no tensor can have the dims that follow from the kernel");
  // Indices count in the shape that follows from the kernel; a given shape has it in its corner.
  Value flat = s.g.splat({x.dtype(), {Dim(element_count(shape_of(out)))}}, 0);
  Value y =
      reshape(scatter(flat, reshape(at, {x.type().size()}), reshape(x, {x.type().size()}), 0, "set"), shape_of(out));
  if (!s.has(2)) return {y};
  Ints want = s.known_ints(2), lo(out.size(), 0), hi;
  s.require(want.size() == out.size() && is_reasonable(shape_of(want)), "the output's shape does not fit");
  for (size_t k = 0; k < want.size(); ++k) hi.push_back(want[k] - out[k]);
  return {pad(y, lo, hi)};
}

// --- resize: each axis by itself, as taps with weights that import computes ---

namespace {
struct Taps {
  std::vector<Ints> index; ///< a list a tap
  std::vector<std::vector<double>> weight;
  std::vector<bool> outside; ///< of an output element: it lies beyond the region (tf_crop_and_resize)
};
struct ResizeAxis {
  int64_t in = 0, out = 0;
  double scale = 1, start = 0, end = 1;
};
} // namespace

static double source_of(const std::string &how, const ResizeAxis &a, int64_t o) {
  double x = double(o), in = double(a.in), out = double(a.out);
  if (how == "asymmetric") return x / a.scale;
  if (how == "align_corners")
    return a.out == 1 ? 0 : x * (in - 1) / (a.scale * in - 1); // the length before it is made whole
  if (how == "pytorch_half_pixel") return a.out > 1 ? (x + 0.5) / a.scale - 0.5 : 0;
  if (how == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (how == "half_pixel_symmetric") return in / 2 * (1 - out / (a.scale * in)) + (x + 0.5) / a.scale - 0.5;
  if (how == "tf_crop_and_resize")
    return a.out > 1 ? a.start * (in - 1) + x * (a.end - a.start) * (in - 1) / (out - 1)
                     : 0.5 * (a.start + a.end) * (in - 1);
  return (x + 0.5) / a.scale - 0.5;
}

static double cubic(double d, double a) {
  d = std::fabs(d);
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

static Taps taps_of(Step &s, const ResizeAxis &a, const std::string &mode, const std::string &how, bool antialias) {
  Taps t;
  double coefficient = s.f("cubic_coeff_a", -0.75);
  bool exclude = s.i("exclude_outside", 0) != 0;
  std::string nearest = s.s("nearest_mode", s.version >= 11 ? "round_prefer_floor" : a.scale < 1 ? "ceil" : "floor");
  double shrink = antialias && a.scale < 1 ? 1 / a.scale : 1; // the filter widens with the step
  double radius = mode == "nearest" ? 0.5 : std::ceil((mode == "cubic" ? 2 : 1) * shrink);
  s.require(radius < 1 << 20, "a scale needs too wide a filter");
  int64_t reach = int64_t(2 * radius);
  s.table({reach, a.out}, "the table of an axis's weights");
  t.index.assign(size_t(reach), Ints(size_t(a.out))),
      t.weight.assign(size_t(reach), std::vector<double>(size_t(a.out)));
  t.outside.resize(size_t(a.out));
  for (int64_t o = 0; o < a.out; ++o) {
    double x = source_of(how, a, o);
    t.outside[size_t(o)] = how == "tf_crop_and_resize" && (x < 0 || x > double(a.in - 1));
    if (mode == "nearest") {
      double i = nearest == "floor"               ? std::floor(x)
                 : nearest == "ceil"              ? std::ceil(x)
                 : nearest == "round_prefer_ceil" ? std::floor(x + 0.5)
                                                  : std::ceil(x - 0.5);
      t.index[0][size_t(o)] = int64_t(std::clamp(i, 0.0, double(a.in - 1))), t.weight[0][size_t(o)] = 1;
      continue;
    }
    double sum = 0, first = std::floor(x) - double(reach / 2 - 1);
    for (int64_t k = 0; k < reach; ++k) {
      double i = first + double(k), d = (i - x) / shrink;
      double w = mode == "cubic" ? cubic(d, coefficient) : std::max(0.0, 1 - std::fabs(d));
      if (exclude && (i < 0 || i > double(a.in - 1))) w = 0;
      t.index[size_t(k)][size_t(o)] = int64_t(std::clamp(i, 0.0, double(a.in - 1)));
      t.weight[size_t(k)][size_t(o)] = w, sum += w;
    }
    if (sum != 0 && (exclude || antialias))
      for (int64_t k = 0; k < reach; ++k) t.weight[size_t(k)][size_t(o)] /= sum;
  }
  return t;
}

static Value apply(Step &s, Value x, int64_t axis, const Taps &t) {
  Value y;
  for (size_t k = 0; k < t.index.size(); ++k) {
    Value part = gather(x, s.constant(t.index[k]), axis);
    if (t.index.size() > 1) {
      Shape c(size_t(x.rank()), Dim(1));
      c[size_t(axis)] = int64_t(t.weight[k].size());
      part = part * s.g.constant(Tensor::of<double>(x.dtype(), dims_of(c), std::span<const double>(t.weight[k])));
    }
    y = y ? y + part : part;
  }
  return y;
}

static Values resized(Step &s) {
  Value x = s.in(0);
  bool upsample = s.node.op_type() == "Upsample";
  std::string mode = s.s("mode", "nearest"),
              how = s.s("coordinate_transformation_mode", s.version < 11 || upsample ? "asymmetric" : "half_pixel");
  if (mode == "bilinear") mode = "linear";
  s.require(mode == "nearest" || mode == "linear" || mode == "cubic",
            fmt::format("mode {} is not supported", quote_name(mode)));
  Ints axes = s.ints("axes");
  if (!s.attr("axes"))
    for (int k = 0; k < x.rank(); ++k) axes.push_back(k);
  axes = s.axes(axes, x.rank());
  std::vector<double> scales, roi;
  std::optional<Ints> sizes;
  auto reals = [&](int i) {
    Tensor t = s.known(i);
    std::vector<double> out;
    for (int64_t k = 0; k < t.size(); ++k) out.push_back(t.get(k));
    return out;
  };
  int at = upsample || s.version < 11 ? 1 : 2;
  if (upsample && s.version < 9) {
    scales = s.floats("scales");
    if (s.attr("width_scale")) scales = {1, 1, s.f("height_scale", 1), s.f("width_scale", 1)};
  } else if (s.has(at))
    scales = reals(at);
  if (!upsample && s.version >= 11 && s.has(3) && scales.empty()) sizes = s.known_ints(3);
  if (how == "tf_crop_and_resize") roi = reals(1);
  for (double edge : roi) s.require(std::fabs(edge) < 1e6, fmt::format("a region's edge is {}", edge));
  s.require(sizes ? sizes->size() == axes.size() : scales.size() == axes.size(),
            "scales or sizes need an entry an axis");
  s.require(roi.empty() || roi.size() == 2 * axes.size(), "the region needs two entries an axis");
  std::string policy = s.s("keep_aspect_ratio_policy", "stretch");
  double common = policy == "not_larger" ? INFINITY : 0;
  if (sizes && policy != "stretch")
    for (size_t k = 0; k < axes.size(); ++k) {
      double r = double((*sizes)[k]) / double(x.shape()[size_t(axes[k])].value());
      common = policy == "not_larger" ? std::min(common, r) : std::max(common, r);
    }
  constexpr int64_t kMost = int64_t(1) << 24;
  auto whole = [](double size) { return size < double(kMost) ? int64_t(std::max(std::floor(size), 0.0)) : kMost; };
  for (size_t k = 0; k < axes.size(); ++k) {
    ResizeAxis a;
    a.in = x.shape()[size_t(axes[k])];
    if (!roi.empty()) a.start = roi[k], a.end = roi[k + axes.size()];
    s.require(a.in > 0, "an axis has no elements");
    if (sizes) {
      a.out = policy == "stretch" ? (*sizes)[k] : whole(common * double(a.in) + 0.5);
      a.scale = policy == "stretch" ? double(a.out) / double(a.in) : common;
    } else {
      a.scale = scales[k];
      s.require(a.scale > 0 && a.scale < 1e6, "a scale is not positive, or too large");
      a.out = whole(double(a.in) * (roi.empty() ? 1 : a.end - a.start) * a.scale);
    }
    s.require(a.out > 0 && a.out < kMost, "a size is not positive, or too large");
    if (a.in == a.out && a.scale == 1 && roi.empty()) continue;
    Taps t = taps_of(s, a, mode, how, s.i("antialias", 0) != 0);
    x = apply(s, x, axes[k], t);
    if (std::find(t.outside.begin(), t.outside.end(), true) != t.outside.end()) {
      Tensor in(DType::boolean, {a.out});
      for (int64_t o = 0; o < a.out; ++o) in.set_int(o, !t.outside[size_t(o)]);
      Shape c(size_t(x.rank()), Dim(1));
      c[size_t(axes[k])] = a.out;
      x = select(s.g.constant(in.reshaped(dims_of(c))), x, s.f("extrapolation_value", 0));
    }
  }
  return {x};
}

void add_pooling(Recipes &r) {
  r.on("MaxPool", 1, max_pooled), r.on("AveragePool", 1, average_pooled), r.on("LpPool", 1, lp_pooled);
  r.on({"GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"}, 1, global_pooled), r.on("MaxUnpool", 9, max_unpool);
  r.on("Resize", 10, resized), r.on("Upsample", 1, resized);
}

} // namespace trellis::onnx

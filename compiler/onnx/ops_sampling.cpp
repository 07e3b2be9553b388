// Reads at real coordinates: grid sampling, regions of interest, deformable convolution. An image is a matrix with a row of
// channels a position, so that each corner of an interpolation is one gather of rows; what lies outside reads 0.
#include "compiler/onnx/windows.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

struct Image {
  Value rows; ///< [N * positions, C]
  Ints dims;  ///< spatial
  int64_t positions;
  DType index; ///< wide enough for any row's number
};

// x [N, C, in...].
Image image_of(Step &s, Value x) {
  s.require(x.rank() >= 3, "needs axes behind the channels");
  Ints perm{0}, dims;
  int64_t positions = 1;
  for (int k = 2; k < x.rank(); ++k) {
    perm.push_back(k), dims.push_back(x.shape()[size_t(k)]), positions *= dims.back();
    s.require(dims.back() > 0, "an axis has no elements");
  }
  perm.push_back(1);
  int64_t rows = x.shape()[0].value() * positions;
  return {reshape(permute(x, perm), {rows, x.shape()[1]}), dims, positions,
          rows < int64_t(1) << 31 ? DType::i32 : DType::i64};
}

// Rows of samples `first` (numbers of images, of the coordinates' shape) at whole coordinates, one a spatial axis: [..., C].
Value fetch(const Image &m, Value first, const Values &at) {
  Value number, inside;
  for (size_t k = 0; k < at.size(); ++k) {
    Value here = bit_and(le(0, at[k]), lt(at[k], double(m.dims[k])));
    inside = inside ? bit_and(inside, here) : here;
    number = number ? number * double(m.dims[k]) + at[k] : at[k];
  }
  return gather(m.rows, select(inside, first * double(m.positions) + number, -1), 0);
}

// Along the last axis.
Value weigh(Value rows, Value weight) {
  Shape c = weight.shape();
  c.push_back(1);
  return rows * cast(reshape(weight, c), rows.dtype());
}

// A corner of an interpolation along one axis.
struct Tap {
  Value at, weight;
};
// The product over the axes of their taps, as a weighted sum of rows.
Value blend(const Image &m, Value first, const std::vector<std::vector<Tap>> &axes) {
  Value y;
  size_t count = 1;
  for (const auto &a : axes) count *= a.size();
  for (size_t k = 0; k < count; ++k) {
    Values at;
    Value weight;
    size_t rest = k;
    for (const auto &a : axes) {
      const Tap &t = a[rest % a.size()];
      rest /= a.size();
      at.push_back(t.at), weight = weight ? weight * t.weight : t.weight;
    }
    Value part = weigh(fetch(m, first, at), weight);
    y = y ? y + part : part;
  }
  return y;
}
std::vector<Tap> linear_taps(Value x, DType index) {
  Value low = floor(x), part = x - low, at = cast(low, index);
  return {{at, 1.0 - part}, {at + 1, part}};
}

// The number of the sample, in the shape of coordinates [N, ...].
Value sample_of(Value coordinate, DType index) { return iota(coordinate.graph(), {index, coordinate.shape()}, 0); }

Value channels_second(Value y) { // [N, o..., C] -> [N, C, o...]
  Ints perm{0, y.rank() - 1};
  for (int k = 1; k + 1 < y.rank(); ++k) perm.push_back(k);
  return permute(y, perm);
}

// --- grid sampling ---

// A triangle wave between lo and hi.
Value reflected(Value x, double lo, double hi) {
  double range = hi - lo;
  if (range == 0) return x * 0 + lo;
  Value d = abs(x - lo);
  d = d - floor(d / (2 * range)) * (2 * range);
  return min(d, 2 * range - d) + lo;
}

} // namespace

static Values grid_sample(Step &s) {
  Value x = s.in(0), grid = s.in(1);
  size_t r = size_t(std::max(x.rank(), 2)) - 2;
  s.require(x.rank() >= 3 && grid.rank() == x.rank() && same(grid.shape().back(), Dim(int64_t(r))) &&
                same(grid.shape()[0], x.shape()[0]),
            fmt::format("a grid {} for {}", grid.type().str(), x.type().str()));
  DType given = x.dtype(), real = is_float(grid.dtype()) && size_of(grid.dtype()) < 4 ? DType::f32 : grid.dtype();
  if (!is_float(given)) x = cast(x, DType::f32);
  Image m = image_of(s, x);
  std::string mode = s.s("mode", "linear"), padding = s.s("padding_mode", "zeros");
  if (mode == "bilinear") mode = "linear";
  if (mode == "bicubic") mode = "cubic";
  s.require(mode == "linear" || mode == "nearest" || mode == "cubic",
            fmt::format("mode {} is not supported", quote_name(mode)));
  s.require(padding == "zeros" || padding == "border" || padding == "reflection",
            fmt::format("padding_mode {} is not supported", quote_name(padding)));
  bool corners = s.i("align_corners", 0) != 0;
  // Coordinates as well as the taps around them are brought inside; those within half a pixel of the border stay.
  auto bring = [&](Value v, int64_t extent) {
    double lo = corners ? 0 : -0.5, hi = double(extent) - 1 - lo;
    if (padding == "border") return select(bit_and(le(lo, v), le(v, hi)), v, clamp(v, 0, double(extent - 1)));
    return padding == "reflection" ? reflected(v, lo, hi) : v;
  };
  std::vector<std::vector<Tap>> taps;
  Value first;
  for (size_t k = 0; k < r; ++k) {
    Shape out(grid.shape().begin(), grid.shape().end() - 1);
    int64_t at = int64_t(r - 1 - k), extent = m.dims[k]; // the last axis of x stands first
    Value g = cast(reshape(narrow(grid, int64_t(r) + 1, at, at + 1), out), real);
    Value v = corners ? (g + 1) * (double(extent - 1) / 2) : ((g + 1) * double(extent) - 1) * 0.5;
    if (mode == "nearest") v = round(v);
    v = bring(v, extent);
    if (mode == "nearest" && padding == "border") v = clamp(v, 0, double(extent - 1));
    first = sample_of(v, m.index);
    if (mode == "nearest") {
      taps.push_back({{cast(v, m.index), s.g.splat(v.type(), 1)}});
      continue;
    }
    Value low = floor(v), part = v - low;
    std::vector<Tap> axis;
    constexpr double a = -0.75; // of the cubic kernel
    auto near = [&](Value d) { return ((d * (a + 2) - (a + 3)) * d) * d + 1; };
    auto far = [&](Value d) { return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a; };
    if (mode == "linear")
      axis = {{low, 1.0 - part}, {low + 1, part}};
    else
      axis = {{low - 1, far(part + 1)}, {low, near(part)}, {low + 1, near(1.0 - part)}, {low + 2, far(2.0 - part)}};
    for (Tap &t : axis)
      t.at = cast(padding == "border" ? clamp(t.at, 0, double(extent - 1)) : bring(t.at, extent), m.index);
    taps.push_back(axis);
  }
  Value y = channels_second(blend(m, first, taps));
  return {is_float(given) ? y : cast(y, given)};
}

static Values affine_grid(Step &s) {
  Value theta = s.in(0);
  Ints size = s.known_ints(1);
  s.require(size.size() == 4 || size.size() == 5, "the size needs 4 or 5 entries");
  Ints dims(size.begin() + 2, size.end());
  int64_t r = int64_t(dims.size()), points = 1;
  s.require(theta.rank() == 3 && theta.shape()[1].value() == r && theta.shape()[2].value() == r + 1,
            fmt::format("theta is {}", theta.type().str()));
  s.require(size[0] == theta.shape()[0].value(),
            fmt::format("the size has a batch of {}, but theta one of {}", size[0], theta.shape()[0].value()));
  for (int64_t d : dims) {
    s.require(d > 0 && d < 1 << 24, "a dim is not positive, or too large");
    points *= d;
    s.require(points < 1 << 28, "the grid is too large");
  }
  bool corners = s.i("align_corners", 0) != 0;
  DType t = theta.dtype();
  Shape shape = shape_of(dims);
  Values base; // x, y, (z,) 1
  for (int64_t k = r; k-- > 0;) {
    double extent = double(dims[size_t(k)]), step = 2 / (corners ? extent - 1 : extent);
    bool alone = corners && extent == 1; // in the middle
    base.push_back(reshape(iota(s.g, {t, shape}, k) * (alone ? 0 : step) + (alone     ? 0
                                                                            : corners ? -1
                                                                                      : step / 2 - 1),
                           {points}));
  }
  base.push_back(s.g.splat({t, {points}}, 1));
  Value at = stack(base, 1);
  Dim n = theta.shape()[0];
  Shape out{n};
  out.insert(out.end(), shape.begin(), shape.end()), out.push_back(r);
  return {reshape(dot(broadcast_to(at, {n, points, r + 1}), transpose(theta)), out)};
}

// --- regions of interest ---

namespace {
// Column k of rois [R, n], scaled, [R].
Value column(Value rois, int64_t k) { return reshape(narrow(rois, 1, k, k + 1), {rois.shape()[0]}); }
// v [R] along axis 0 of `shape`.
Value along_rois(Value v, const Shape &shape) {
  Shape c(shape.size(), Dim(1));
  c[0] = shape[0];
  return expand(reshape(v, c), shape);
}
} // namespace

static Values roi_align(Step &s) {
  Value x = s.in(0), rois = s.in(1);
  std::string mode = s.s("mode", "avg");
  s.require(x.rank() == 4 && rois.rank() == 2 && rois.shape()[1].value() == 4,
            fmt::format("regions {} of {}", rois.type().str(), x.type().str()));
  s.require(mode == "avg" || mode == "max", fmt::format("mode {} is not supported", quote_name(mode)));
  bool half = s.version >= 16 && s.s("coordinate_transformation_mode", "half_pixel") == "half_pixel";
  Ints out{s.i("output_height", 1), s.i("output_width", 1)};
  int64_t ratio = s.i("sampling_ratio", 0);
  constexpr int64_t kMost = 1 << 16;
  s.require(out[0] > 0 && out[1] > 0 && ratio >= 0 && out[0] < kMost && out[1] < kMost && ratio < kMost,
            "the output's size or 'sampling_ratio' does not fit");
  Image m = image_of(s, x);
  double scale = s.f("spatial_scale", 1);
  Value start[2], bin[2], count[2];
  int64_t grid[2];
  for (size_t k = 0; k < 2; ++k) { // rows, columns
    start[k] = column(rois, k == 0 ? 1 : 0) * scale - (half ? 0.5 : 0);
    Value length = column(rois, k == 0 ? 3 : 2) * scale - (half ? 0.5 : 0) - start[k];
    if (!half) length = max(length, 1);
    bin[k] = length / double(out[k]), grid[k] = ratio;
    if (ratio) continue;
    count[k] = max(ceil(bin[k]), 0);
    std::optional<Tensor> most = s.known_value(reduce_over(count[k], "max", {0}, true));
    s.require(most.has_value(), "without 'sampling_ratio' the regions must be known when the model is imported");
    double points = most->size() ? most->get(0) : 1;
    s.require(points < double(kMost), "a region is too large, or has an edge that is no number");
    grid[k] = std::max<int64_t>(int64_t(points), 1);
  }
  Shape shape{rois.shape()[0], out[0], grid[0], out[1], grid[1]};
  Value low[2], high[2], part[2], inside, counted;
  auto both = [](Value a, Value b) { return a ? bit_and(a, b) : b; };
  for (size_t k = 0; k < 2; ++k) {
    Type t{rois.dtype(), shape};
    Value cell = iota(s.g, t, k == 0 ? 1 : 3), at = iota(s.g, t, k == 0 ? 2 : 4) + 0.5,
          size = along_rois(bin[k], shape);
    Value points = count[k] ? along_rois(count[k], shape) : s.g.splat(t, double(ratio));
    if (count[k]) counted = both(counted, lt(at, points));
    double extent = double(m.dims[k]);
    Value v = along_rois(start[k], shape) + cell * size + at * size / points;
    inside = both(inside, bit_and(le(-1, v), le(v, extent)));
    v = clamp(v, 0, extent - 1);
    low[k] = floor(v), part[k] = v - low[k], high[k] = min(low[k] + 1, extent - 1);
  }
  Value batch = along_rois(cast(s.in(2), m.index), shape);
  Values corners;
  for (int k = 0; k < 4; ++k) {
    bool down = k & 1, right = k & 2;
    Value weight = (down ? part[0] : 1.0 - part[0]) * (right ? part[1] : 1.0 - part[1]);
    Values at{cast(down ? high[0] : low[0], m.index), cast(right ? high[1] : low[1], m.index)};
    corners.push_back(weigh(fetch(m, batch, at), select(inside, weight, 0)));
  }
  bool most = mode == "max"; // of the weighted corners, as the standard has it
  Value y = corners[0];
  for (size_t k = 1; k < 4; ++k) y = most ? max(y, corners[k]) : y + corners[k];
  if (counted) {
    Shape c = shape;
    c.push_back(1);
    y = select(broadcast_to(reshape(counted, c), y.shape()), y, most ? -INFINITY : 0);
  }
  y = reduce_over(y, most ? "max" : "sum", {2, 4}); // [R, rows, columns, C]
  if (counted) {
    Value points = along_rois(count[0] * count[1], y.shape());
    y = most ? select(lt(0, points), y, 0) : y / cast(max(points, 1), y.dtype());
  } else if (!most)
    y = y / double(ratio * ratio);
  return {channels_second(y)};
}

// The largest element of each bin, whose edges are whole: first over rows, then over columns.
static Values max_roi_pool(Step &s) {
  Value x = s.in(0), rois = s.in(1);
  Ints out = s.ints("pooled_shape");
  s.require(x.rank() == 4 && rois.rank() == 2 && rois.shape()[1].value() == 5,
            fmt::format("regions {} of {}", rois.type().str(), x.type().str()));
  s.require(out.size() == 2 && out[0] > 0 && out[1] > 0 && out[0] < 1 << 16 && out[1] < 1 << 16,
            "'pooled_shape' needs two positive entries");
  double scale = s.f("spatial_scale", 1);
  Dim r = rois.shape()[0], channels = x.shape()[1];
  // Whether position q of `extent` lies in bin p: [R, bins, extent].
  auto members = [&](int64_t from, int64_t bins, int64_t extent) {
    Value start = floor(column(rois, from) * scale + 0.5), end = floor(column(rois, from + 2) * scale + 0.5);
    Shape shape{r, bins, extent};
    Value size = along_rois(max(end - start + 1, 1) / double(bins), shape), p = iota(s.g, {rois.dtype(), shape}, 1);
    Value q = iota(s.g, {rois.dtype(), shape}, 2) - along_rois(start, shape);
    return bit_and(le(floor(p * size), q), lt(q, ceil((p + 1) * size)));
  };
  int64_t h = x.shape()[2], w = x.shape()[3];
  Value y = gather(x, cast(column(rois, 0), DType::i64), 0); // [R, C, H, W]
  auto largest = [&](Value v, Value in, Shape whole, Shape mask, int64_t axis) {
    return reduce_over(select(expand(reshape(in, mask), whole), v, -INFINITY), "max", {axis});
  };
  Shape rows{r, channels, out[0], h, w}, cells{r, channels, out[0], out[1], w};
  y = largest(expand(reshape(y, {r, channels, 1, h, w}), rows), members(2, out[0], h), rows, {r, 1, out[0], h, 1}, 3);
  y = largest(expand(reshape(y, {r, channels, out[0], 1, w}), cells), members(1, out[1], w), cells,
              {r, 1, 1, out[1], w}, 4);
  return {select(eq(y, -INFINITY), 0, y)}; // an empty bin
}

// --- convolution at displaced positions ---

static Values deform_conv(Step &s) {
  Value x = s.in(0), w = s.in(1), offset = s.in(2);
  s.require(x.rank() >= 3 && w.rank() == x.rank() && offset.rank() == x.rank(),
            fmt::format("weights {} and offsets {} for {}", w.type().str(), offset.type().str(), x.type().str()));
  Windows g = windows_of(s, x, dims_of(Shape(w.shape().begin() + 2, w.shape().end())));
  size_t n = g.size.size();
  int64_t groups = s.i("group", 1), shared = s.i("offset_group", 1), batch = x.shape()[0], channels = x.shape()[1],
          outs = w.shape()[0], taps = 1;
  s.require(channels > 0 && groups > 0 && shared > 0 && channels % groups == 0 && outs % groups == 0 &&
                channels % shared == 0 && w.shape()[1].value() == channels / groups,
            "the channels do not divide into the groups");
  Ints out = dims_of(Shape(offset.shape().begin() + 2, offset.shape().end()));
  int64_t points = element_count(shape_of(out));
  for (int64_t k : g.size) taps *= k;
  for (size_t k = 0; k < n; ++k)
    s.require(out[k] == (x.shape()[k + 2].value() + g.lo[k] + g.hi[k] - g.span(k)) / g.stride[k] + 1,
              "the offsets do not fit the result");
  int64_t entries = offset.shape()[1], each = shared * int64_t(n);
  s.require(same(offset.shape()[0], x.shape()[0]) && entries % each == 0 && entries / each == taps,
            "the offsets do not fit the kernel");
  Shape images{batch * shared, channels / shared};
  images.insert(images.end(), x.shape().begin() + 2, x.shape().end());
  Image m = image_of(s, reshape(x, images));
  Shape shape{batch * shared, taps, points};
  Value apart = reshape(offset, {batch * shared, taps, int64_t(n), points});
  std::vector<std::vector<Tap>> axes;
  Value first;
  for (size_t k = 0; k < n; ++k) {
    // Of the kernel's element, without its displacement.
    Value tap = iota(s.g, {DType::i64, shape_of(g.size)}, int64_t(k)) * double(g.dilation[k]);
    Value point = iota(s.g, {DType::i64, shape_of(out)}, int64_t(k)) * double(g.stride[k]) - double(g.lo[k]);
    Value at = reshape(narrow(apart, 2, int64_t(k), int64_t(k) + 1), shape) +
               cast(reshape(tap, {taps, 1}) + reshape(point, {1, points}), offset.dtype());
    first = sample_of(at, m.index);
    axes.push_back(linear_taps(at, m.index));
  }
  Value y = blend(m, first, axes); // [batch * shared, taps, points, C / shared]
  if (s.has(4)) y = weigh(y, reshape(s.in(4), shape));
  y = reshape(permute(y, {0, 3, 1, 2}), {batch, groups, channels / groups * taps, points});
  Value kernel = broadcast_to(reshape(w, {groups, outs / groups, channels / groups * taps}),
                              {batch, groups, outs / groups, channels / groups * taps});
  Shape result{batch, outs};
  for (int64_t d : out) result.push_back(d);
  y = reshape(dot(kernel, y), result);
  if (!s.has(3)) return {y};
  Shape c(result.size(), Dim(1));
  c[1] = outs;
  return {y + reshape(s.in(3), c)};
}

// Columns of blocks back into an image: overlapping elements add.
static Values columns_to_image(Step &s) {
  Value x = s.in(0);
  Ints image = s.known_ints(1), block = s.known_ints(2);
  size_t n = image.size();
  Ints stride = s.ints("strides", Ints(n, 1)), dilation = s.ints("dilations", Ints(n, 1)),
       pads = s.ints("pads", Ints(2 * n, 0));
  s.require(n > 0 && x.rank() == 3 && block.size() == n && stride.size() == n && dilation.size() == n &&
                pads.size() == 2 * n,
            "image, block, strides, dilations or pads do not fit");
  constexpr int64_t kMost = 1 << 24;
  int64_t taps = 1;
  for (int64_t b : block) {
    s.require(b > 0 && b < kMost, "a block's dim is not positive, or too large");
    taps *= b;
    s.require(taps < kMost, "the block is too large");
  }
  s.require(x.shape()[1].value() % taps == 0, "the channels do not divide into blocks");
  Shape apart{x.shape()[0], x.shape()[1].value() / taps}, whole = apart;
  Ints lo(2, 0), hi(2, 0);
  int64_t places = 1;
  for (size_t k = 0; k < n; ++k) {
    s.require(image[k] > 0 && image[k] < kMost && stride[k] > 0 && dilation[k] > 0 && stride[k] < kMost &&
                  dilation[k] < kMost && pads[k] >= 0 && pads[k + n] >= 0 && pads[k] < kMost && pads[k + n] < kMost,
              "image, strides, dilations or pads are out of range");
    int64_t padded = image[k] + pads[k] + pads[k + n], span = (block[k] - 1) * dilation[k] + 1;
    s.require(span <= padded, "the block is larger than the image");
    int64_t count = (padded - span) / stride[k] + 1;
    apart.push_back(count), whole.push_back(padded), lo.push_back(-pads[k]), hi.push_back(-pads[k + n]),
        places *= count;
    s.require(places < int64_t(1) << 40, "the image is too large");
  }
  s.require(places == x.shape()[2].value(),
            fmt::format("{} blocks, but the image has {}", x.shape()[2].value(), places));
  // [N, C, block..., places...] -> [N, C, places..., block...]
  Shape split{apart[0], apart[1]};
  Ints perm{0, 1};
  for (size_t k = 0; k < n; ++k) split.push_back(block[k]), perm.push_back(int64_t(n + 2 + k));
  for (size_t k = 0; k < n; ++k) split.push_back(apart[k + 2]), perm.push_back(int64_t(k) + 2);
  return {pad(unwindow(permute(reshape(x, split), perm), whole, block, stride, dilation), lo, hi)};
}

void add_sampling(Recipes &r) {
  r.on("GridSample", 16, grid_sample), r.on("AffineGrid", 20, affine_grid), r.on("RoiAlign", 10, roi_align);
  r.on("MaxRoiPool", 1, max_roi_pool), r.on("DeformConv", 19, deform_conv), r.on("Col2Im", 18, columns_to_image);
}

} // namespace trellis::onnx

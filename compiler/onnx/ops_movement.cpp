// Operators that move elements: shapes, slices, padding, tiles, blocks.
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static Values reshape_to(Step &s) {
  Value x = s.in(0);
  Ints want = s.version < 5 ? s.ints("shape") : s.known_ints(1);
  bool zero_is_zero = s.i("allowzero", 0) != 0;
  Shape to;
  constexpr int64_t kMost = int64_t(1) << 41; // more than any tensor has
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i] == 0 && !zero_is_zero) {
      s.require(int(i) < x.rank(),
                fmt::format("dim {} of the new shape copies an axis that {} lacks", i, x.type().str()));
      want[i] = x.shape()[i].value();
    }
    s.require(want[i] >= -1 && (want[i] != -1 || open < 0),
              "the new shape has more than one -1, or other negative dims");
    if (want[i] == -1)
      open = int64_t(i), to.push_back(1);
    else
      to.push_back(want[i]), known = known > kMost / std::max<int64_t>(want[i], 1) ? kMost : known * want[i];
  }
  if (open >= 0) {
    s.require(known > 0 && x.type().size() % known == 0,
              fmt::format("{} does not divide into the new shape", x.type().str()));
    to[size_t(open)] = x.type().size() / known;
  }
  return {reshape(x, to)};
}

static Values flatten(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.i("axis", 1), rows = 1;
  axis = axis == x.rank() ? axis : s.axis(axis, std::max(x.rank(), 1));
  for (int64_t k = 0; k < axis && k < x.rank(); ++k) rows *= x.shape()[size_t(k)].value();
  int64_t columns = 1;
  for (int64_t k = axis; k < x.rank(); ++k) columns *= x.shape()[size_t(k)].value();
  return {reshape(x, {rows, columns})};
}

static Values squeeze(Step &s) {
  Value x = s.in(0);
  std::optional<Ints> given = s.ints_of(1, "axes");
  Ints axes = given ? s.axes(*given, x.rank()) : Ints{};
  Shape to;
  for (int k = 0; k < x.rank(); ++k) {
    bool one = x.shape()[size_t(k)].value() == 1, named = std::find(axes.begin(), axes.end(), k) != axes.end();
    s.require(one || !named, fmt::format("axis {} of {} is not 1", k, x.type().str()));
    if (given ? !named : !one) to.push_back(x.shape()[size_t(k)]);
  }
  return {reshape(x, to)};
}

static Values unsqueeze(Step &s) {
  Value x = s.in(0);
  std::optional<Ints> given = s.ints_of(1, "axes");
  s.require(given.has_value(), "'axes' are missing");
  s.require(given->size() < 64, "too many axes");
  Ints axes = s.axes(*given, x.rank() + int(given->size()));
  Shape to(size_t(x.rank()) + axes.size(), Dim(0));
  for (int64_t a : axes) to[size_t(a)] = 1;
  size_t next = 0;
  for (size_t k = 0; k < to.size(); ++k)
    if (std::find(axes.begin(), axes.end(), int64_t(k)) == axes.end()) to[k] = x.shape()[next++];
  return {reshape(x, to)};
}

static Values transposed(Step &s) {
  Value x = s.in(0);
  Ints perm = s.ints("perm");
  if (!s.attr("perm"))
    for (int k = x.rank(); k-- > 0;) perm.push_back(k);
  return {permute(x, perm)};
}

// Parts whose extents along the axis are only known when it runs: each is written behind the ones before it, over what
// lies behind their counts.
static Values concatenate_counted(Step &s, const Values &parts, int64_t axis) {
  Shape whole = parts[0].shape();
  int64_t bound = 0;
  for (Value p : parts) s.require(p.rank() == parts[0].rank(), "the operands differ in their rank");
  for (Value p : parts) bound += p.shape()[size_t(axis)].value();
  whole[size_t(axis)] = bound;
  Value y = s.g.splat({parts[0].dtype(), whole}, 0), start = s.g.constant(Tensor::scalar_int(DType::i64, 0));
  for (size_t i = 0; i < parts.size(); ++i) {
    int64_t n = parts[i].shape()[size_t(axis)];
    y = scatter(y, iota(s.g, {DType::i64, {n}}, 0) + start, parts[i], axis, "set");
    start = s.count(int(i)) ? start + s.count(int(i)).number : start + double(n);
  }
  s.give_count(0, {int(axis), start});
  return {y};
}

static Values concatenate(Step &s) {
  Values parts = s.all();
  int64_t axis = s.axis(s.version < 4 ? s.i("axis", 1) : s.need_i("axis"), parts[0].rank());
  bool along = false, across = false;
  for (int i = 0; i < s.inputs(); ++i)
    if (Count c = s.count(i)) (c.axis == axis ? along : across) = true;
  s.require(!(along && across), "the numbers of elements along two axes depend on data");
  if (along) return concatenate_counted(s, parts, axis);
  if (across) {
    for (int i = 0; i < s.inputs(); ++i)
      s.require(s.count(i).axis == s.count(0).axis && s.count(i).number.is(s.count(0).number),
                "the operands differ in their number of elements");
    s.give_count(0, s.count(0));
  }
  return {concat(parts, axis)};
}

static Values split_up(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", 0), x.rank()), whole = x.shape()[size_t(axis)];
  std::optional<Ints> extents = s.ints_of(1, "split");
  if (!extents) {
    int64_t n = s.i("num_outputs", s.node.output_size());
    s.require(n > 0 && n == s.node.output_size(), "as many parts as results are needed");
    extents.emplace();
    for (int64_t k = 0, each = (whole + n - 1) / n; k < n; ++k)
      extents->push_back(std::clamp<int64_t>(whole - k * each, 0, each));
  }
  int64_t sum = 0;
  for (int64_t e : *extents) {
    s.require(e >= 0 && e <= whole, "a part has no such length");
    sum += e;
  }
  s.require(sum == whole, fmt::format("the parts have {} elements together, but axis {} has {}", sum, axis, whole));
  return split(x, *extents, axis);
}

// [start, end) of an axis of which `count` elements are there; the result's count.
static Value slice_counted(Value &x, int64_t axis, Value count, int64_t start, int64_t end) {
  auto place = [&](int64_t i) { return i < 0 ? max(count + double(i), 0) : min(count, double(i)); };
  constexpr int64_t kFar = int64_t(1) << 40;
  start = std::clamp(start, -kFar, kFar), end = std::clamp(end, -kFar, kFar);
  Value from = place(start), number = max(place(end) - from, 0);
  if (start != 0) x = gather(x, iota(x.graph(), {DType::i64, {x.shape()[size_t(axis)]}}, 0) + from, axis);
  return number;
}

static Values slices(Step &s) {
  Value x = s.in(0);
  Count count = s.count(0);
  for (int i = 1; i < s.inputs(); ++i) s.require(!s.count(i), "the number of its bounds depends on data");
  bool attributes = s.version < 10;
  Ints starts = attributes ? s.ints("starts") : s.known_ints(1), ends = attributes ? s.ints("ends") : s.known_ints(2),
       axes, steps;
  if (attributes ? s.attr("axes") != nullptr : s.has(3))
    axes = attributes ? s.ints("axes") : s.known_ints(3);
  else
    for (size_t k = 0; k < starts.size(); ++k) axes.push_back(int64_t(k));
  steps = !attributes && s.has(4) ? s.known_ints(4) : Ints(starts.size(), 1);
  s.require(ends.size() == starts.size() && axes.size() == starts.size() && steps.size() == starts.size(),
            "starts, ends, axes and steps differ in length");
  axes = s.axes(axes, x.rank());
  Ints from(size_t(x.rank()), 0), to = dims_of(x.shape()), step(size_t(x.rank()), 1);
  for (size_t k = 0; k < axes.size(); ++k) {
    size_t a = size_t(axes[k]);
    int64_t n = to[a], by = steps[k];
    s.require(by != 0, "a step is 0");
    auto place = [&](int64_t i, int64_t least, int64_t most) {
      return std::clamp(i < 0 ? (i < -n ? -n - 1 : i) + n : i, least, most);
    };
    if (count && int64_t(a) == count.axis) {
      s.require(by == 1, "a step along an axis whose number of elements depends on data");
      count.number = slice_counted(x, int64_t(a), count.number, starts[k], ends[k]);
      continue;
    }
    by = std::clamp<int64_t>(by, -INT32_MAX, INT32_MAX);
    // Backwards a start before the axis is its first element.
    from[a] = by > 0 ? place(starts[k], 0, n) : place(starts[k], std::min<int64_t>(n - 1, 0), n - 1);
    to[a] = by > 0 ? place(ends[k], 0, n) : place(ends[k], -1, n - 1);
    step[a] = by;
  }
  if (count) s.give_count(0, count);
  return {slice(x, from, to, step)};
}

// One axis mirrored (its edge once), its edge repeated, or wrapped.
static Value pad_axis(Step &s, Value x, int64_t axis, int64_t lo, int64_t hi, const std::string &mode) {
  int64_t n = x.shape()[size_t(axis)];
  s.require(n > 0, "padding from an axis without elements");
  s.require(lo + hi < (int64_t(1) << 31), "the padding is too large");
  if (mode == "edge") {
    Shape edge = x.shape();
    Values parts;
    auto repeat = [&](int64_t at, int64_t count) {
      if (count <= 0) return;
      edge[size_t(axis)] = count;
      parts.push_back(expand(narrow(x, axis, at, at + 1), edge));
    };
    repeat(0, lo), parts.push_back(x), repeat(n - 1, hi);
    return concat(parts, axis);
  }
  bool wrap = mode == "wrap";
  int64_t most = wrap ? n : n - 1;
  s.require(most > 0 || lo + hi == 0, "padding is wider than the axis");
  while (lo > 0 || hi > 0) { // wider padding goes round by round
    int64_t a = std::min(lo, most), b = std::min(hi, most), now = x.shape()[size_t(axis)];
    Values parts;
    if (a) parts.push_back(wrap ? narrow(x, axis, now - a, now) : flip(narrow(x, axis, 1, a + 1), {axis}));
    parts.push_back(x);
    if (b) parts.push_back(wrap ? narrow(x, axis, 0, b) : flip(narrow(x, axis, now - 1 - b, now - 1), {axis}));
    x = concat(parts, axis), lo -= a, hi -= b, most = wrap ? most : x.shape()[size_t(axis)].value() - 1;
  }
  return x;
}

static Values padded(Step &s) {
  Value x = s.in(0), fill;
  size_t r = size_t(x.rank());
  Ints pads = s.version < 2 ? s.ints("paddings") : s.version < 11 ? s.ints("pads") : s.known_ints(1);
  if (s.version >= 11)
    fill = s.opt(2);
  else
    fill = s.g.scalar(x.dtype(), s.f("value", 0));
  if (fill && fill.rank() > 0) {
    s.require(fill.type().size() == 1, "the fill must be one number");
    fill = reshape(fill, {});
  }
  Ints axes;
  if (s.version >= 18 && s.has(3))
    axes = s.axes(s.known_ints(3), x.rank());
  else
    for (size_t k = 0; k < r; ++k) axes.push_back(int64_t(k));
  s.require(pads.size() == 2 * axes.size(), fmt::format("{} paddings for {} axes", pads.size(), axes.size()));
  Ints lo(r, 0), hi(r, 0), none(r, 0);
  for (size_t k = 0; k < axes.size(); ++k) lo[size_t(axes[k])] = pads[k], hi[size_t(axes[k])] = pads[k + axes.size()];
  std::string mode = s.s("mode", "constant");
  for (size_t k = 0; k < r; ++k) {
    int64_t limit = int64_t(1) << 31;
    s.require(std::abs(lo[k]) < limit && std::abs(hi[k]) < limit, "the padding is too large");
  }
  if (mode == "constant") return {lo == none && hi == none ? x : pad(x, lo, hi, {}, fill)};
  s.require(mode == "reflect" || mode == "edge" || mode == "wrap",
            fmt::format("mode {} is not supported", quote_name(mode)));
  Ints crop_lo(r, 0), crop_hi(r, 0);
  for (size_t k = 0; k < r; ++k) crop_lo[k] = std::min<int64_t>(lo[k], 0), crop_hi[k] = std::min<int64_t>(hi[k], 0);
  for (size_t k = 0; k < r; ++k)
    if (lo[k] > 0 || hi[k] > 0)
      x = pad_axis(s, x, int64_t(k), std::max<int64_t>(lo[k], 0), std::max<int64_t>(hi[k], 0), mode);
  return {crop_lo == none && crop_hi == none ? x : pad(x, crop_lo, crop_hi)};
}

static Values tiled(Step &s) {
  Value x = s.in(0);
  Ints repeats;
  if (s.version < 6) { // one axis
    repeats.assign(size_t(x.rank()), 1);
    repeats[size_t(s.axis(s.known_whole(2), x.rank()))] = s.known_whole(1);
  } else
    repeats = s.known_ints(1);
  s.require(int(repeats.size()) == x.rank(), fmt::format("{} counts for {}", repeats.size(), x.type().str()));
  for (int64_t n : repeats) s.require(n >= 0 && n < (int64_t(1) << 31), "a count is negative or too large");
  return {tile(x, repeats)};
}

static Shape shape_from(Step &s, const Ints &dims) {
  for (int64_t d : dims) s.require(d >= 0, "a dim is negative");
  return shape_of(dims);
}

static Values expanded(Step &s) {
  Value x = s.in(0);
  return {broadcast_to(x, broadcast(x.shape(), shape_from(s, s.known_ints(1)), "Expand", s.where))};
}

static Values depth_to_space(Step &s) {
  Value x = s.in(0);
  int64_t b = s.need_i("blocksize");
  s.require(x.rank() == 4 && b > 0 && b < 1 << 15 && x.shape()[1].value() % (b * b) == 0,
            fmt::format("{} does not divide into blocks", x.type().str()));
  int64_t n = x.shape()[0], c = x.shape()[1].value() / (b * b), h = x.shape()[2], w = x.shape()[3];
  Value y = s.s("mode", "DCR") == "CRD" ? permute(reshape(x, {n, c, b, b, h, w}), {0, 1, 4, 2, 5, 3})
                                        : permute(reshape(x, {n, b, b, c, h, w}), {0, 3, 4, 1, 5, 2});
  return {reshape(y, {n, c, h * b, w * b})};
}
static Values space_to_depth(Step &s) {
  Value x = s.in(0);
  int64_t b = s.need_i("blocksize");
  s.require(x.rank() == 4 && b > 0 && b < 1 << 15 && x.shape()[2].value() % b == 0 && x.shape()[3].value() % b == 0,
            fmt::format("{} does not divide into blocks", x.type().str()));
  int64_t n = x.shape()[0], c = x.shape()[1], h = x.shape()[2].value() / b, w = x.shape()[3].value() / b;
  std::string mode = s.s("mode", "DCR");
  s.require(mode == "DCR" || mode == "CRD", fmt::format("mode {} is not supported", quote_name(mode)));
  Ints perm = mode == "DCR" ? Ints{0, 3, 5, 1, 2, 4} : Ints{0, 1, 3, 5, 2, 4};
  return {reshape(permute(reshape(x, {n, c, h, b, w, b}), perm), {n, c * b * b, h, w})};
}

static Values crop(Step &s) {
  Value x = s.in(0);
  Ints border = s.ints("border"), size = s.ints("scale");
  s.require(x.rank() == 4 && border.size() == 4, "'border' needs four entries, and the image rank 4");
  for (const Ints *all : {&border, &size})
    for (int64_t d : *all) s.require(d >= 0 && d < int64_t(1) << 31, "a border or size is negative, or too large");
  int64_t h = x.shape()[2], w = x.shape()[3];
  int64_t bottom = size.size() == 2 ? border[1] + size[0] : h - border[3],
          right = size.size() == 2 ? border[0] + size[1] : w - border[2];
  return {slice(x, {0, 0, border[1], border[0]}, {x.shape()[0], x.shape()[1], bottom, right})};
}

static Values center_crop_pad(Step &s) {
  Value x = s.in(0);
  Ints want = s.known_ints(1), axes = s.ints("axes");
  if (!s.attr("axes"))
    for (int k = 0; k < x.rank(); ++k) axes.push_back(k);
  axes = s.axes(axes, x.rank());
  s.require(want.size() == axes.size(), "the shape needs an entry an axis");
  Ints lo(size_t(x.rank()), 0), hi = lo;
  for (size_t k = 0; k < axes.size(); ++k) {
    size_t a = size_t(axes[k]);
    int64_t n = x.shape()[a], more = want[k] - n;
    s.require(want[k] >= 0 && want[k] < (int64_t(1) << 31), "a dim is negative or too large");
    lo[a] = more >= 0 ? more / 2 : -(-more / 2), hi[a] = more - lo[a];
  }
  return {pad(x, lo, hi)};
}

static Values triangle(Step &s) {
  Value x = s.in(0);
  s.require(x.rank() >= 2, "needs a matrix");
  int64_t k = s.has(1) ? s.known_whole(1) : 0;
  Type t{DType::i64, x.shape()};
  Value row = iota(s.g, t, x.rank() - 2), column = iota(s.g, t, x.rank() - 1);
  k = std::clamp<int64_t>(k, -(int64_t(1) << 32), int64_t(1) << 32);
  Value keep = s.i("upper", 1) ? le(row + double(k), column) : le(column, row + double(k));
  return {select(keep, x, s.g.splat(x.type(), 0))};
}

void add_movement(Recipes &r) {
  r.on("Reshape", 1, reshape_to), r.on("Flatten", 1, flatten), r.on("Squeeze", 1, squeeze),
      r.on("Unsqueeze", 1, unsqueeze);
  r.on("Transpose", 1, transposed), r.on("Concat", 1, concatenate), r.on("Split", 1, split_up),
      r.on("Slice", 1, slices);
  r.on("Pad", 1, padded), r.on("Tile", 1, tiled), r.on("Expand", 8, expanded), r.on("DepthToSpace", 1, depth_to_space);
  r.on("SpaceToDepth", 1, space_to_depth), r.on("Crop", 1, crop), r.on("CenterCropPad", 18, center_crop_pad),
      r.on("Trilu", 14, triangle);
}

} // namespace trellis::onnx

// Operators whose results' number of elements depends on data: computed in a shape that bounds it, and counted.
#include "compiler/onnx/bodies.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

Value zeros(Graph &g, DType t, int64_t n) { return g.splat({t, {n}}, 0); }
Value positions(Graph &g, int64_t n) { return iota(g, {DType::i64, {n}}, 0); }

struct Found {
  Value index, count; ///< [bound], of which the first `count` mean something
};
// Where `flags` [n] hold, in order; at most `bound` of them do.
Found find_set(Value flags, int64_t bound) {
  Graph &g = flags.graph();
  Value one = cast(flags, DType::i64), at = cumulative(one, "sum", 0, true);
  return {scatter(zeros(g, DType::i64, bound), select(flags, at, -1), positions(g, flags.type().size()), 0, "set"),
          sum(one)};
}

void give(Step &s, int output, Value v, int axis, Value count) {
  if (!s.importer.is_given(count))
    if (std::optional<Tensor> n = s.importer.known(count))
      return s.importer.give(output, {narrow(v, axis, 0, n->get_int(0))});
  Entry e{v};
  e.count = {axis, count};
  s.importer.give(output, std::move(e));
}

Values non_zero(Step &s) {
  Value x = s.in(0);
  int64_t n = x.type().size();
  Value flat = reshape(x, {n});
  Found f = find_set(x.dtype() == DType::boolean ? flat : ne(flat, 0), n);
  Values rows;
  int64_t stride = n;
  for (Dim d : x.shape()) {
    stride /= std::max<int64_t>(d.value(), 1);
    rows.push_back(rem(f.index / double(std::max<int64_t>(stride, 1)), double(std::max<int64_t>(d.value(), 1))));
  }
  Value y = rows.empty() ? s.g.splat({DType::i64, {0, n}}, 0) : stack(rows, 0);
  return give(s, 0, y, 1, f.count), Values{};
}

Values compressed(Step &s) {
  Value x = s.in(0), keep = s.in(1);
  int64_t axis = 0;
  if (s.attr("axis"))
    axis = s.axis(s.i("axis", 0), x.rank());
  else
    x = reshape(x, {x.type().size()});
  s.require(keep.dtype() == DType::boolean && keep.rank() == 1, fmt::format("the condition is {}", keep.type().str()));
  int64_t n = keep.type().size(), whole = x.shape()[size_t(axis)];
  s.require(n <= whole, "the condition is longer than the axis");
  Found f = find_set(keep, n);
  return give(s, 0, gather(x, f.index, axis), int(axis), f.count), Values{};
}

// --- Unique ---

// The order of the rows of x [n, w] from the least on, by their first elements first; equal rows keep theirs.
Value order_of_rows(Step &s, Value x) {
  int64_t n = x.shape()[0], w = x.shape()[1];
  auto by = [](Value order, Value column) { return gather(order, sort(gather(column, order), 0).indices); };
  Value columns = flip(permute(x, {1, 0}), {0}), order = positions(s.g, n);
  if (w == 1) return sort(reshape(x, {n}), 0).indices;
  return scan(s.importer, {order}, {columns},
              [&](const Values &c, const Values &part) { return Values{by(c[0], part[0])}; })[0];
}

Values unique(Step &s) {
  Value x = s.in(0);
  int64_t axis = 0;
  Shape rest;
  if (s.attr("axis")) {
    axis = s.axis(s.i("axis", 0), x.rank());
    Ints perm{axis};
    for (int k = 0; k < x.rank(); ++k)
      if (k != axis) perm.push_back(k), rest.push_back(x.shape()[size_t(k)]);
    x = permute(x, perm);
  } else
    x = reshape(x, {x.type().size()});
  int64_t n = x.shape()[0], w = element_count(rest);
  if (n == 0 || w == 0) s.fail("of no elements is not supported");
  Value rows = reshape(x, {n, w}), order = order_of_rows(s, rows), sorted = gather(rows, order), i = positions(s.g, n);
  Value before = n > 1 ? concat({narrow(sorted, 0, 0, 1), narrow(sorted, 0, 0, n - 1)}, 0) : sorted,
        differs = ne(sorted, before);
  if (is_float(x.dtype())) differs = bit_and(differs, bit_not(bit_and(is_nan(sorted), is_nan(before))));
  Value fresh = bit_or(reduce_over(differs, "max", {1}), eq(i, 0)), one = cast(fresh, DType::i64);
  Value group = cumulative(one, "sum", 0) - 1, count = sum(one);
  // Of each group: its first row, how many there are; of each row: its group.
  Value first = scatter(zeros(s.g, DType::i64, n), select(fresh, group, -1), order, 0, "set");
  Value many = scatter(zeros(s.g, DType::i64, n), group, s.g.splat({DType::i64, {n}}, 1), 0, "sum");
  Value inverse = scatter(zeros(s.g, DType::i64, n), order, group, 0, "set");
  if (!s.i("sorted", 1)) { // in the order of their first rows
    Sorted by = sort(select(lt(i, count), first, double(n)), 0);
    first = by.values, many = gather(many, by.indices);
    inverse = gather(scatter(zeros(s.g, DType::i64, n), by.indices, i, 0, "set"), inverse);
  }
  Value y = gather(x, first);
  if (x.rank() > 1) {
    Ints perm;
    for (int k = 1; k < x.rank(); ++k) perm.push_back(k);
    perm.insert(perm.begin() + axis, 0);
    y = permute(y, perm);
  }
  give(s, 0, y, int(axis), count), give(s, 1, first, 0, count), give(s, 3, many, 0, count);
  return {{}, {}, inverse};
}

// --- NonMaxSuppression ---

struct Boxes {
  Value lo_x, lo_y, hi_x, hi_y;
  template <class F> Boxes map(F f) const { return {f(lo_x), f(lo_y), f(hi_x), f(hi_y)}; }
  Value area() const { return (hi_x - lo_x) * (hi_y - lo_y); }
};

// The share of their union that both cover is more than `most`.
Value overlap(const Boxes &a, const Boxes &b, Value most) {
  Value width = min(a.hi_x, b.hi_x) - max(a.lo_x, b.lo_x), height = min(a.hi_y, b.hi_y) - max(a.lo_y, b.lo_y);
  Value both = width * height, one = a.area(), other = b.area(), together = one + other - both;
  Value proper =
      bit_and(bit_and(gt(width, 0), gt(height, 0)), bit_and(bit_and(gt(one, 0), gt(other, 0)), gt(together, 0)));
  return bit_and(proper, gt(both / together, most));
}

Values suppress(Step &s) {
  Value boxes = s.in(0), scores = s.in(1);
  s.require(boxes.rank() == 3 && scores.rank() == 3 && boxes.shape()[2].value() == 4 &&
                same(boxes.shape()[0], scores.shape()[0]) && same(boxes.shape()[1], scores.shape()[2]) &&
                boxes.dtype() == scores.dtype(),
            fmt::format("boxes {} and scores {}", boxes.type().str(), scores.type().str()));
  Shape all = scores.shape(); // [batch, classes, boxes]
  int64_t batch = all[0], classes = all[1], n = all[2];
  auto scalar = [&](int i, double otherwise, DType t) {
    if (!s.has(i)) return s.g.scalar(t, otherwise);
    s.require(s.in(i).type().size() == 1, fmt::format("operand {} must be one number", i + 1));
    return cast(reshape(s.in(i), {}), t);
  };
  Value limit = scalar(2, 0, DType::i64), most = scalar(3, 0, boxes.dtype());
  int64_t bound = n; // a class gives no more
  if (!s.importer.is_given(limit))
    if (std::optional<Tensor> k = s.importer.known(limit)) bound = std::clamp<int64_t>(k->get_int(0), 0, n);
  if (batch * classes * bound == 0) return {s.g.splat({DType::i64, {0, 3}}, 0)};

  // From the best score on, a class at a time.
  Sorted best = sort(scores, 2, true);
  auto column = [&](int64_t k) {
    Value c = broadcast_to(reshape(narrow(boxes, 2, k, k + 1), {batch, 1, n}), all);
    return take_along(c, best.indices, 2);
  };
  Boxes corners;
  if (s.i("center_point_box", 0)) {
    Value x = column(0), y = column(1), w = column(2) / 2.0, h = column(3) / 2.0;
    corners = {x - w, y - h, x + w, y + h};
  } else {
    Value y0 = column(0), x0 = column(1), y1 = column(2), x1 = column(3);
    corners = {min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)};
  }
  Value alive = s.has(4) ? gt(best.values, scalar(4, 0, scores.dtype())) : s.g.splat({DType::boolean, all}, 1);
  auto front = [](Value v) { return permute(v, {2, 0, 1}); };
  Boxes turned = corners.map(front);
  Value taken = s.g.splat({DType::i64, {batch, classes}}, 0);
  Values picked =
      scan(s.importer, {alive, taken}, {positions(s.g, n), turned.lo_x, turned.lo_y, turned.hi_x, turned.hi_y},
           [&](const Values &c, const Values &part) -> Values {
             Value here = reduce_over(bit_and(c[0], broadcast_to(eq(positions(s.g, n), part[0]), all)), "max", {2});
             Value pick = bit_and(here, lt(c[1], limit));
             Boxes one = Boxes{part[1], part[2], part[3], part[4]}.map(
                 [&](Value v) { return expand(reshape(v, {batch, classes, 1}), all); });
             Value gone = bit_and(expand(reshape(pick, {batch, classes, 1}), all), overlap(one, corners, most));
             return {bit_and(c[0], bit_not(gone)), c[1] + cast(pick, DType::i64), pick};
           });
  int64_t total = batch * classes * n;
  Found f = find_set(reshape(permute(picked[2], {1, 2, 0}), {total}), batch * classes * bound);
  Value box = gather(reshape(best.indices, {total}), f.index), row = f.index / double(n);
  Value y = stack({row / double(classes), rem(row, double(classes)), box}, 1);
  return give(s, 0, y, 0, f.count), Values{};
}

} // namespace

void add_counted(Recipes &r) {
  r.on("NonZero", 9, non_zero), r.on("Compress", 9, compressed), r.on("Unique", 11, unique),
      r.on("NonMaxSuppression", 10, suppress);
}

} // namespace trellis::onnx

// Reads and writes at positions that other tensors give.
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

// Indices may count from the back; of an axis whose extent is only known when it runs, too.
static Value from_front(Value indices, Value extent) {
  Value i = cast(indices, DType::i64);
  return select(lt(i, 0), i + extent, i);
}
static Value from_front(Value indices, int64_t extent) {
  Value i = size_of(indices.dtype()) < 8 ? cast(indices, DType::i64) : indices;
  return select(lt(i, 0), i + double(extent), i);
}

static Values gathered(Step &s) {
  Value x = s.in(0), at = s.in(1);
  int64_t axis = s.axis(s.i("axis", 0), x.rank()), n = x.shape()[size_t(axis)];
  s.require(is_integer(at.dtype()), "indices must be integers");
  if (Count c = s.count(0); c && c.axis == axis) return {gather(x, from_front(at, c.number), axis)};
  if (at.node->op == Op::constant) { // most are numbers that an exporter wrote
    Tensor i = cast(at, DType::i64).is(at) ? at.node->attrs.get<Tensor>(Attr::value).clone() : s.known(1).clone();
    Tensor wide(DType::i64, i.dims());
    for (int64_t k = 0; k < i.size(); ++k) {
      int64_t e = i.get_int(k);
      s.require(e >= -n && e < n, fmt::format("index {} is out of range for an axis of {}", e, n));
      wide.set_int(k, e < 0 ? e + n : e);
    }
    if (wide.size() == 1) {
      int64_t e = wide.get_int(0);
      Value part = narrow(x, axis, e, e + 1);
      Shape to(x.shape().begin(), x.shape().begin() + axis);
      for (int64_t d : wide.dims()) to.push_back(d);
      to.insert(to.end(), x.shape().begin() + axis + 1, x.shape().end());
      return {reshape(part, to)};
    }
    return {gather(x, s.g.constant(wide), axis)};
  }
  return {gather(x, from_front(at, n), axis)};
}

// The part of data that indices of the same rank cover on the other axes.
static Value covered(Step &s, Value data, Value at, int64_t axis) {
  s.require(at.rank() == data.rank(), fmt::format("indices {} for {}", at.type().str(), data.type().str()));
  Ints start(size_t(data.rank()), 0), limit = dims_of(at.shape()), whole = dims_of(data.shape());
  limit[size_t(axis)] = whole[size_t(axis)];
  for (size_t k = 0; k < limit.size(); ++k)
    s.require(limit[k] <= whole[k], fmt::format("indices {} for {}", at.type().str(), data.type().str()));
  return limit == whole ? data : slice(data, start, limit);
}

static Values gather_elements(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", 0), x.rank());
  return {take_along(covered(s, x, s.in(1), axis), from_front(s.in(1), x.shape()[size_t(axis)]), axis)};
}

static std::string combination(Step &s) {
  std::string how = s.s("reduction", "none");
  static const std::map<std::string, std::string> words{
      {"none", "set"}, {"add", "sum"}, {"mul", "prod"}, {"max", "max"}, {"min", "min"}};
  auto it = words.find(how);
  s.require(it != words.end(), fmt::format("reduction {} is not supported", quote_name(how)));
  return it->second;
}

static Values scatter_elements(Step &s) {
  Value x = s.in(0), at = s.in(1), updates = s.in(2);
  int64_t axis = s.axis(s.i("axis", 0), x.rank());
  s.require(same(at.shape(), updates.shape()), "indices and updates differ in shape");
  covered(s, x, at, axis);
  // Offsets into the whole tensor.
  Type t{DType::i64, at.shape()};
  Value offset;
  int64_t stride = 1;
  for (int k = x.rank(); k-- > 0;) {
    Value i = (k == axis ? from_front(at, x.shape()[size_t(k)]) : iota(s.g, t, k)) * double(stride);
    offset = offset ? offset + i : i, stride *= x.shape()[size_t(k)].value();
  }
  int64_t n = at.type().size();
  Value y = scatter(reshape(x, {x.type().size()}), reshape(offset, {n}), reshape(updates, {n}), 0, combination(s));
  return {reshape(y, x.shape())};
}

// Rows [count, width] of the leading `depth` axes of data, and each index tuple as a row's number.
struct Tuples {
  Value rows;   ///< data as [product of the indexed axes, rest]
  Value number; ///< [tuples]
  Shape lead, rest;
};
static Tuples tuples_of(Step &s, Value data, Value at, int64_t batch) {
  s.require(at.rank() >= 1 && at.rank() > batch && data.rank() > batch, "indices need an axis of tuples");
  int64_t depth = at.shape().back();
  s.require(depth >= 1 && depth + batch <= data.rank(), fmt::format("tuples of {} for {}", depth, data.type().str()));
  Tuples t;
  t.lead = Shape(at.shape().begin(), at.shape().end() - 1);
  t.rest = Shape(data.shape().begin() + batch + depth, data.shape().end());
  int64_t tuples = element_count(t.lead), rows = 1, batches = 1;
  for (int64_t k = 0; k < batch; ++k) {
    s.require(same(data.shape()[size_t(k)], at.shape()[size_t(k)]), "the batch axes differ");
    batches *= data.shape()[size_t(k)].value();
  }
  Value flat = reshape(at, {tuples, depth});
  int64_t stride = 1;
  for (int64_t k = depth; k-- > 0;) {
    int64_t extent = data.shape()[size_t(batch + k)];
    Value i = from_front(reshape(narrow(flat, 1, k, k + 1), {tuples}), extent) * double(stride);
    t.number = t.number ? t.number + i : i, stride *= extent;
  }
  rows = batches * stride;
  if (batches > 1) {
    Value b = reshape(iota(s.g, {DType::i64, {batches, tuples / batches}}, 0), {tuples});
    t.number = t.number + b * double(stride);
  }
  t.rows = reshape(data, {rows, element_count(t.rest)});
  return t;
}
static Values gather_nd(Step &s) {
  int64_t batch = s.i("batch_dims", 0);
  s.require(batch >= 0, "'batch_dims' is negative");
  Tuples t = tuples_of(s, s.in(0), s.in(1), batch);
  Shape out = t.lead;
  out.insert(out.end(), t.rest.begin(), t.rest.end());
  return {reshape(gather(t.rows, t.number, 0), out)};
}
static Values scatter_nd(Step &s) {
  Tuples t = tuples_of(s, s.in(0), s.in(1), 0);
  Shape want = t.lead;
  want.insert(want.end(), t.rest.begin(), t.rest.end());
  s.require(same(s.in(2).shape(), want), fmt::format("the updates are {}", s.in(2).type().str()));
  Value updates = reshape(s.in(2), {element_count(t.lead), element_count(t.rest)});
  if (Count at = s.count(1)) { // what lies behind the count is dropped
    Count u = s.count(2);
    s.require(!s.count(0) && u && u.axis == at.axis && u.number.is(at.number) && at.axis < int(t.lead.size()),
              "indices and updates differ in their number");
    Value position = reshape(iota(s.g, {DType::i64, t.lead}, at.axis), {element_count(t.lead)});
    t.number = select(lt(position, at.number), t.number, -1);
  } else
    s.require(!s.count(0) && !s.count(2), "the number of elements of an operand depends on data");
  return {reshape(scatter(t.rows, t.number, updates, 0, combination(s)), s.in(0).shape())};
}

static Values top(Step &s) {
  Value x = s.in(0);
  int64_t k = s.version < 10 ? s.need_i("k") : s.known_whole(1), axis = s.axis(s.i("axis", -1), x.rank());
  s.require(k >= 0 && k <= x.shape()[size_t(axis)].value(),
            fmt::format("k is {}, for an axis of {}", k, x.shape()[size_t(axis)].str()));
  Sorted t = top_k(x, k, axis, s.i("largest", 1) != 0);
  return {t.values, t.indices};
}

static Values reverse_sequence(Step &s) {
  Value x = s.in(0), length = s.in(1);
  int64_t time = s.axis(s.i("time_axis", 0), x.rank()), batch = s.axis(s.i("batch_axis", 1), x.rank());
  s.require(time != batch, "time and batch are one axis");
  Shape c(size_t(x.rank()), Dim(1));
  c[size_t(batch)] = x.shape()[size_t(batch)];
  Value n = expand(reshape(length, c), x.shape()), t = iota(s.g, {DType::i64, x.shape()}, time);
  return {take_along(x, select(lt(t, n), n - 1 - t, t), time)};
}

// Rows of the cache at given places: write_indices [B] along `axis`.
static Values tensor_scatter(Step &s) {
  Value past = s.in(0), update = s.in(1);
  int64_t axis = s.axis(s.i("axis", -2), past.rank()), n = past.shape()[size_t(axis)];
  Type t{DType::i64, update.shape()};
  Value at = iota(s.g, t, axis);
  if (s.has(2)) {
    Shape c(size_t(past.rank()), Dim(1));
    c[0] = past.shape()[0];
    at = at + expand(reshape(s.in(2), c), update.shape());
  }
  if (s.s("mode", "linear") == "circular") at = rem(at, double(n));
  return {put_along(past, at, update, axis, "set")};
}

void add_indexed(Recipes &r) {
  r.on("Gather", 1, gathered), r.on("GatherElements", 11, gather_elements), r.on("GatherND", 11, gather_nd);
  r.on({"ScatterElements", "Scatter"}, 9, scatter_elements), r.on("ScatterND", 11, scatter_nd), r.on("TopK", 1, top);
  r.on("ReverseSequence", 10, reverse_sequence);
  r.on("TensorScatter", 24, tensor_scatter);
}

} // namespace trellis::onnx

// Movement ops, iota and constants. Windows are gathers, and their transposes sums of elements put apart.
#include "compiler/onnx/exporter.h"
#include <algorithm>
#include <limits>

namespace trellis::onnx {

// `count` elements of `fill` between neighbours of one axis of x, whose dims these are.
std::string spread(Writer &w, const std::string &x, DType t, Ints &d, size_t axis, int64_t count,
                   const std::string &fill) {
  if (count == 0 || d[axis] <= 1) return x;
  Ints split = d;
  split.insert(split.begin() + int64_t(axis) + 1, 1);
  Ints lo(split.size(), 0), hi = lo;
  hi[axis + 1] = count;
  std::string y = w.pad(w.reshape(x, split), t, lo, hi, fill);
  int64_t n = d[axis];
  d[axis] = n * (count + 1);
  y = w.reshape(y, d);
  d[axis] -= count;
  return w.narrow(y, int64_t(axis), 0, d[axis]);
}

// Padding that crops where it is negative.
std::string surround(Writer &w, std::string y, DType t, Ints &d, Ints lo, Ints hi, const std::string &fill) {
  Ints more_lo = lo, more_hi = hi;
  for (size_t k = 0; k < d.size(); ++k)
    more_lo[k] = std::max<int64_t>(lo[k], 0), more_hi[k] = std::max<int64_t>(hi[k], 0), d[k] += more_lo[k] + more_hi[k];
  y = w.pad(y, t, more_lo, more_hi, fill);
  for (size_t k = 0; k < d.size(); ++k)
    if (lo[k] < 0 || hi[k] < 0) {
      int64_t from = lo[k] < 0 ? -lo[k] : 0, to = d[k] - (hi[k] < 0 ? -hi[k] : 0);
      y = w.narrow(y, int64_t(k), from, to), d[k] = to - from;
    }
  return y;
}

namespace {

Ints dims(const Node &n) { return dims_of(n.type().shape); }
Ints dims(Value v) { return dims_of(v.shape()); }
Ints ones_or(const Node &n, Attr a, size_t count, int64_t otherwise) {
  return n.attrs.has(a) ? n.attrs.ints(a) : Ints(count, otherwise);
}

Names constant(Writer &w, const Node &n, const Names &) { return {w.constant(n.attrs.get<Tensor>(Attr::value))}; }

Names counted(Writer &w, const Node &n, const Names &) {
  size_t axis = size_t(n.attrs.i(Attr::axis));
  Ints to = dims(n), line(to.size(), 1);
  line[axis] = to[axis];
  Tensor t(n.type().dtype, line);
  for (int64_t i = 0; i < t.size(); ++i) is_float(t.dtype()) ? t.set(i, double(i)) : t.set_int(i, i);
  std::string name = w.constant(t);
  return {line == to ? name : w.expand(name, to)};
}

Names reshaped(Writer &w, const Node &n, const Names &x) { return {w.reshape(x[0], dims(n))}; }
Names permuted(Writer &w, const Node &n, const Names &x) { return {w.permute(x[0], n.attrs.ints(Attr::perm))}; }
Names repeated(Writer &w, const Node &n, const Names &x) { return {w.expand(x[0], dims(n))}; }

Names sliced(Writer &w, const Node &n, const Names &x) {
  Ints start = n.attrs.ints(Attr::start), limit = n.attrs.ints(Attr::limit),
       step = ones_or(n, Attr::step, start.size(), 1), axes;
  for (size_t k = 0; k < start.size(); ++k) {
    axes.push_back(int64_t(k));
    if (step[k] < 0 && limit[k] < 0) limit[k] = std::numeric_limits<int64_t>::min(); // -1 would count from the back
  }
  return {start.empty() ? x[0] : w.call("Slice", {x[0], w.ints(start), w.ints(limit), w.ints(axes), w.ints(step)})};
}

Names padded(Writer &w, const Node &n, const Names &x) {
  Ints d = dims(n.operands[0]), interior = ones_or(n, Attr::interior, d.size(), 0);
  DType t = n.type().dtype;
  bool few = t == DType::i16 || t == DType::u16 || t == DType::bf16; // that runtimes pad
  DType wide = !few ? t : t == DType::bf16 ? DType::f32 : DType::i32;
  std::string y = w.cast(x[0], t, wide), fill = w.cast(x[1], t, wide);
  for (size_t k = 0; k < d.size(); ++k) y = spread(w, y, wide, d, k, interior[k], fill);
  return {w.cast(surround(w, y, wide, d, n.attrs.ints(Attr::lo), n.attrs.ints(Attr::hi), fill), wide, t)};
}

Names joined(Writer &w, const Node &n, const Names &x) {
  return {w.call("Concat", x, {{"axis", n.attrs.i(Attr::axis)}})};
}

// An axis at a time, from the last: [..., n, ...] becomes [..., o, k, ...].
Names windowed(Writer &w, const Node &n, const Names &x) {
  const Ints &size = n.attrs.ints(Attr::size);
  Ints stride = ones_or(n, Attr::stride, size.size(), 1), dilation = ones_or(n, Attr::dilation, size.size(), 1),
       d = dims(n);
  size_t windows = size.size(), rest = d.size() - 2 * windows;
  std::string y = x[0];
  for (size_t k = windows; k-- > 0;) {
    int64_t o = d[rest + k];
    Tensor at(DType::i64, {o, size[k]});
    for (int64_t i = 0; i < at.size(); ++i) at.set_int(i, i / size[k] * stride[k] + i % size[k] * dilation[k]);
    y = w.call("Gather", {y, w.constant(at)}, {{"axis", int64_t(rest + k)}});
  }
  Ints perm;
  for (size_t k = 0; k < rest; ++k) perm.push_back(int64_t(k));
  for (size_t part : {0, 1})
    for (size_t k = 0; k < windows; ++k) perm.push_back(int64_t(rest + 2 * k + part));
  return {w.permute(y, perm)};
}

// Sums [..., o, k, ...] (axes a and a + 1) into n elements of one axis.
std::string unwind(Writer &w, std::string y, DType t, Ints &d, size_t a, int64_t n, int64_t stride, int64_t dilation) {
  int64_t o = d[a], k = d[a + 1];
  auto merged = [&](int64_t extent) {
    Ints m = d;
    m.erase(m.begin() + int64_t(a) + 1);
    m[a] = extent;
    return m;
  };
  auto fit = [&](const std::string &s, Ints have,
                 int64_t before) { // `before` zeros, then the elements, then zeros up to n
    Ints lo(have.size(), 0), hi = lo;
    lo[a] = before, hi[a] = n - before - have[a];
    return surround(w, s, t, have, lo, hi);
  };
  std::string sum;
  if (dilation == 1 && stride == k)
    sum = fit(w.reshape(y, merged(o * k)), merged(o * k), 0); // windows side by side
  else if (o == 1) {
    Ints m = merged(k);
    std::string s = spread(w, w.reshape(y, m), t, m, a, dilation - 1);
    sum = fit(s, m, 0);
  } else
    for (int64_t i = 0; i < k; ++i) {
      Ints m = merged(o);
      std::string s = spread(w, w.reshape(w.narrow(y, int64_t(a) + 1, i, i + 1), m), t, m, a, stride - 1);
      s = fit(s, m, i * dilation);
      sum = sum.empty() ? s : w.call("Add", {sum, s});
    }
  d = merged(n);
  return sum;
}

Names unwindowed(Writer &w, const Node &n, const Names &x) {
  const Ints &size = n.attrs.ints(Attr::size);
  Ints stride = ones_or(n, Attr::stride, size.size(), 1), dilation = ones_or(n, Attr::dilation, size.size(), 1);
  Ints to = dims(n), d = dims(n.operands[0]);
  size_t windows = size.size(), rest = d.size() - 2 * windows;
  if (std::find(d.begin(), d.end(), 0) != d.end()) return {w.expand(w.integer(n.type().dtype, 0), to)};
  DType t = n.type().dtype;
  DType wide = is_float(t) ? t : t == DType::u64 || t == DType::i64 || t == DType::u32 ? DType::i64 : DType::i32;
  Ints perm, apart;
  for (size_t k = 0; k < rest; ++k) perm.push_back(int64_t(k));
  for (size_t k = 0; k < windows; ++k) perm.push_back(int64_t(rest + k)), perm.push_back(int64_t(rest + windows + k));
  for (int64_t p : perm) apart.push_back(d[size_t(p)]);
  std::string y = w.permute(w.cast(x[0], t, wide), perm);
  for (size_t k = windows; k-- > 0;) y = unwind(w, y, wide, apart, rest + 2 * k, to[rest + k], stride[k], dilation[k]);
  return {w.cast(y, wide, t)};
}

} // namespace

void add_movement(ExportRows &r) {
  r[Op::constant] = {constant}, r[Op::iota] = {counted};
  r[Op::reshape] = {reshaped}, r[Op::permute] = {permuted}, r[Op::expand] = {repeated}, r[Op::slice] = {sliced},
  r[Op::pad] = {padded};
  r[Op::concat] = {joined}, r[Op::window] = {windowed}, r[Op::unwindow] = {unwindowed};
}

} // namespace trellis::onnx

// Pooling over the last axes: a reduction of windows, whose derivative follows from theirs.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

namespace {
struct Pool {
  Ints size, stride, lo, hi, dilation; ///< an entry a pooled axis
};
} // namespace

static Pool pool_of(const Attrs &a) {
  Ints size = a.ints(Attr::size);
  auto list = [&](Attr which, int64_t otherwise) { return a.get_or<Ints>(which, Ints(size.size(), otherwise)); };
  return {size, list(Attr::stride, 1), list(Attr::lo, 0), list(Attr::hi, 0), list(Attr::dilation, 1)};
}

void infer_pool(Infer &c) {
  Pool p = pool_of(c.attrs);
  size_t k = p.size.size(), r = size_t(c.x().rank());
  c.require(k <= r, fmt::format("'size' has {} entries, but {} has rank {}", k, c.x().str(), r));
  auto list = [&](Attr a, const Ints &v, int64_t otherwise, int64_t least) {
    c.require(v.size() == k, fmt::format("'{}' has {} entries, but 'size' has {}", name(a), v.size(), k));
    for (int64_t e : v) c.require(e >= least, fmt::format("'{}' must be at least {}", name(a), least));
    if (v == Ints(k, otherwise)) c.attrs.erase(a);
  };
  for (int64_t e : p.size) c.require(e > 0, "'size' must be at least 1");
  list(Attr::stride, p.stride, 1, 1), list(Attr::dilation, p.dilation, 1, 1);
  list(Attr::lo, p.lo, 0, 0), list(Attr::hi, p.hi, 0, 0);
  if (c.op == Op::avg_pool && !c.attrs.flag(Attr::count_pad)) c.attrs.erase(Attr::count_pad);
  Shape out(c.x().shape.begin(), c.x().shape.end() - std::ptrdiff_t(k));
  for (size_t a = 0; a < k; ++a) {
    Dim d = c.x().shape[r - k + a];
    if (!d.is_static()) {
      out.push_back(Dim::unknown());
      continue;
    }
    int64_t span = (p.size[a] - 1) * p.dilation[a] + 1, in = d.value() + p.lo[a] + p.hi[a];
    c.require(in >= span, fmt::format("a window of {} does not fit in a padded axis of {}", span, in));
    out.push_back((in - span) / p.stride[a] + 1);
  }
  c.result(c.x().dtype, out);
}

// [..., o..., k...] of the padded operand.
static Value windows(const Pool &p, Value x, Value fill) {
  size_t r = size_t(x.rank()), k = p.size.size();
  bool padded = false;
  for (size_t a = 0; a < k; ++a) padded |= p.lo[a] || p.hi[a];
  if (padded) {
    Ints lo(r, 0), hi(r, 0);
    for (size_t a = 0; a < k; ++a) lo[r - k + a] = p.lo[a], hi[r - k + a] = p.hi[a];
    x = pad(x, lo, hi, {}, fill);
  }
  return window(x, p.size, p.stride, p.dilation);
}

Values expand_max_pool(Expand e) {
  Value x = e.x[0], w = windows(pool_of(e.node.attrs), x, least(e.graph(), x.dtype()));
  return {reduce_over(w, "max", axes_from(x.rank(), w.rank()))};
}

// How many elements of the operand each window sees, of shape [o...].
static Tensor counts(const Pool &p, const Shape &in, const Shape &out) {
  size_t k = p.size.size();
  Shape tail(out.end() - std::ptrdiff_t(k), out.end());
  Tensor t(DType::f64, dims_of(tail));
  for (int64_t i = 0; i < t.size(); ++i) {
    int64_t rest = i, seen = 1;
    for (size_t a = k; a-- > 0;) {
      int64_t o = rest % tail[a].value(), extent = in[in.size() - k + a], n = 0;
      rest /= tail[a].value();
      for (int64_t w = 0; w < p.size[a]; ++w) {
        int64_t at = o * p.stride[a] + w * p.dilation[a] - p.lo[a];
        n += at >= 0 && at < extent;
      }
      seen *= n;
    }
    t.set(i, double(seen));
  }
  return t;
}

Values expand_avg_pool(Expand e) {
  Value x = e.x[0];
  Pool p = pool_of(e.node.attrs);
  Value w = windows(p, x, e.graph().scalar(x.dtype(), 0));
  Value s = reduce_over(w, "sum", axes_from(x.rank(), w.rank()));
  Tensor seen = counts(p, x.shape(), s.shape());
  double whole = 1;
  for (int64_t n : p.size) whole *= double(n);
  bool same = true;
  for (int64_t i = 0; i < seen.size(); ++i) same &= seen.get(i) == whole;
  if (same || e.node.attrs.flag(Attr::count_pad)) return {s / whole};
  Tensor n(x.dtype(), seen.dims());
  for (int64_t i = 0; i < n.size(); ++i) n.set(i, seen.get(i));
  return {s / broadcast_to(e.graph().constant(n), s.shape())};
}

} // namespace trellis::ops

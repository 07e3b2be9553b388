// Movement: where each element of the result lies in an operand.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

static ReadMap one(std::vector<Index> index, std::vector<IndexGuard> guards = {}) {
  return {ReadMap::Combine::first, {{0, std::move(index), std::move(guards)}}};
}

static Ints ints_or(const Node &n, Attr a, size_t count, int64_t otherwise) {
  return n.attrs.get_or<Ints>(a, Ints(count, otherwise));
}

// `what` has one entry an axis; a list of all `def` is dropped (canonical form).
static Ints per_axis(Infer &c, Attr what, size_t count, int64_t def) {
  Ints v = c.attrs.get_or<Ints>(what, Ints(count, def));
  c.require(v.size() == count, fmt::format("'{}' has {} entries, but needs {}", name(what), v.size(), count));
  if (v == Ints(count, def)) c.attrs.erase(what);
  return v;
}

void infer_reshape(Infer &c) {
  Shape to = c.attrs.get<Shape>(Attr::shape);
  const Shape &from = c.x().shape;
  int open = -1;
  int64_t known = 1;
  bool symbols = !is_static(from);
  c.require(is_reasonable(to), "no tensor can have the new shape");
  for (size_t i = 0; i < to.size(); ++i)
    if (to[i].is_unknown()) {
      c.require(open < 0, "at most one dim may be ?");
      open = int(i);
    } else if (to[i].is_static())
      known *= to[i].value();
    else
      symbols = true;
  if (!symbols) {
    int64_t n = element_count(from);
    if (open >= 0) {
      c.require(known && n % known == 0,
                fmt::format("{} has {} elements, which {} do not divide", c.x().str(), n, known));
      to[size_t(open)] = n / known;
      c.attrs.set(Attr::shape, to);
    } else
      c.require(known == n, fmt::format("{} has {} elements, the new shape {}", c.x().str(), n, known));
  }
  c.result(c.x().dtype, to);
}
ReadMap map_reshape(const Node &n, const std::vector<Index> &i) {
  return one(delinearize(linearize(i, dims_of(n.type().shape)), dims_of(n.operands[0].shape())));
}
Values vjp_reshape(Vjp v) { return {reshape(v.dy, v.x[0].shape())}; }

void infer_permute(Infer &c) {
  Ints perm = c.attrs.ints(Attr::perm);
  c.require(int(perm.size()) == c.x().rank(),
            fmt::format("'perm' has {} entries, but {} has rank {}", perm.size(), c.x().str(), c.x().rank()));
  std::vector<bool> seen(perm.size());
  Shape out;
  for (int64_t &p : perm) {
    p = c.axis(p, c.x().rank());
    c.require(!seen[size_t(p)], fmt::format("'perm' names axis {} twice", p));
    seen[size_t(p)] = true;
    out.push_back(c.x().shape[size_t(p)]);
  }
  c.attrs.set(Attr::perm, perm);
  c.result(c.x().dtype, out);
}
ReadMap map_permute(const Node &n, const std::vector<Index> &i) {
  const Ints &perm = n.attrs.ints(Attr::perm);
  std::vector<Index> at(perm.size());
  for (size_t k = 0; k < perm.size(); ++k) at[size_t(perm[k])] = i[k];
  return one(std::move(at));
}
Values vjp_permute(Vjp v) {
  const Ints &perm = v.node.attrs.ints(Attr::perm);
  Ints inverse(perm.size());
  for (size_t k = 0; k < perm.size(); ++k) inverse[size_t(perm[k])] = int64_t(k);
  return {permute(v.dy, inverse)};
}

void infer_expand(Infer &c) {
  const Shape &to = c.attrs.get<Shape>(Attr::shape), &from = c.x().shape;
  bool ok = to.size() == from.size();
  for (size_t i = 0; ok && i < to.size(); ++i)
    ok = (from[i].is_static() && from[i].value() == 1) || compatible(from[i], to[i]);
  c.require(ok, fmt::format("{} does not expand to {}", c.x().str(), Type{c.x().dtype, to}.str()));
  c.result(c.x().dtype, to);
}
ReadMap map_expand(const Node &n, const std::vector<Index> &i) {
  std::vector<Index> at = i;
  const Shape &from = n.operands[0].shape();
  for (size_t k = 0; k < at.size(); ++k)
    if (from[k].value() == 1) at[k] = 0;
  return one(std::move(at));
}
Values vjp_expand(Vjp v) {
  Ints axes;
  for (size_t k = 0; k < v.y.shape().size(); ++k)
    if (!same(v.y.shape()[k], v.x[0].shape()[k])) axes.push_back(int64_t(k));
  return {axes.empty() ? v.dy : sum(v.dy, axes, true)};
}

void infer_slice(Infer &c) {
  size_t r = size_t(c.x().rank());
  Ints start = c.attrs.ints(Attr::start), limit = c.attrs.ints(Attr::limit), step = per_axis(c, Attr::step, r, 1);
  c.require(start.size() == r && limit.size() == r, fmt::format("'start' and 'limit' need {} entries", r));
  Shape out;
  for (size_t k = 0; k < r; ++k) {
    Dim d = c.x().shape[k];
    c.require(step[k] != 0, fmt::format("axis {}: the step is 0", k));
    int64_t count =
        step[k] > 0 ? (limit[k] - start[k] + step[k] - 1) / step[k] : (start[k] - limit[k] - step[k] - 1) / -step[k];
    count = std::max<int64_t>(count, 0);
    if (d.is_static() && count) {
      int64_t last = start[k] + (count - 1) * step[k];
      c.require(std::min(start[k], last) >= 0 && std::max(start[k], last) < d.value(),
                fmt::format("axis {}: {} to {} is outside 0 to {}", k, start[k], last, d.value() - 1));
    }
    // Canonical: the limit is next to the last element; nothing starts at 0; a step that is never taken is 1.
    if (count <= 1) step[k] = 1;
    if (count == 0) start[k] = 0;
    limit[k] = count ? start[k] + (count - 1) * step[k] + (step[k] > 0 ? 1 : -1) : 0;
    out.push_back(count);
  }
  c.attrs.set(Attr::start, start), c.attrs.set(Attr::limit, limit), c.attrs.set(Attr::step, step);
  per_axis(c, Attr::step, r, 1);
  c.result(c.x().dtype, out);
}
ReadMap map_slice(const Node &n, const std::vector<Index> &i) {
  const Ints &start = n.attrs.ints(Attr::start);
  Ints step = n.attrs.get_or<Ints>(Attr::step, Ints(start.size(), 1));
  std::vector<Index> at;
  for (size_t k = 0; k < i.size(); ++k) at.push_back(i[k] * step[k] + start[k]);
  return one(std::move(at));
}
Values vjp_slice(Vjp v) {
  const Node &n = v.node;
  const Ints &start = n.attrs.ints(Attr::start);
  Ints step = n.attrs.get_or<Ints>(Attr::step, Ints(start.size(), 1)), lo, hi, interior;
  Value dy = v.dy;
  Ints from, to, flip;
  for (size_t k = 0; k < start.size(); ++k) {
    int64_t count = dy.shape()[k].value(), whole = v.x[0].shape()[k].value(), s = std::abs(step[k]);
    int64_t first = step[k] > 0 || !count ? start[k] : start[k] + (count - 1) * step[k];
    lo.push_back(count ? first : 0), interior.push_back(s - 1);
    hi.push_back(whole - lo.back() - (count ? (count - 1) * s + 1 : 0));
    bool down = step[k] < 0 && count > 0;
    from.push_back(down ? count - 1 : 0), to.push_back(down ? -1 : count), flip.push_back(down ? -1 : 1);
  }
  if (flip != Ints(flip.size(), 1)) dy = slice(dy, from, to, flip);
  return {pad(dy, lo, hi, interior)};
}

void infer_pad(Infer &c) {
  size_t r = size_t(c.x().rank());
  c.require(c.x(1).rank() == 0 && c.x(1).dtype == c.x().dtype,
            fmt::format("the fill is {}, but must be a {} scalar", c.x(1).str(), name(c.x().dtype)));
  Ints lo = c.attrs.ints(Attr::lo), hi = c.attrs.ints(Attr::hi), interior = per_axis(c, Attr::interior, r, 0);
  c.require(lo.size() == r && hi.size() == r, fmt::format("'lo' and 'hi' need {} entries", r));
  Shape out;
  for (size_t k = 0; k < r; ++k) {
    Dim d = c.x().shape[k];
    c.require(interior[k] >= 0, "'interior' must not be negative");
    if (!d.is_static()) {
      out.push_back(lo[k] == 0 && hi[k] == 0 && interior[k] == 0 ? d : Dim::unknown());
      continue;
    }
    int64_t n = d.value() + std::max<int64_t>(d.value() - 1, 0) * interior[k] + lo[k] + hi[k];
    c.require(n >= 0, fmt::format("axis {} would have {} elements", k, n));
    out.push_back(n);
  }
  c.result(c.x().dtype, out);
}
ReadMap map_pad(const Node &n, const std::vector<Index> &i) {
  const Ints &lo = n.attrs.ints(Attr::lo);
  Ints interior = n.attrs.get_or<Ints>(Attr::interior, Ints(lo.size(), 0));
  std::vector<Index> at;
  std::vector<IndexGuard> guards;
  for (size_t k = 0; k < i.size(); ++k) {
    int64_t d = n.operands[0].shape()[k].value(), s = interior[k] + 1;
    Index e = i[k] + -lo[k];
    if (s > 1) guards.push_back({e % s, 0, 1});
    e = e / s;
    if (e.min() < 0 || e.max() >= d) guards.push_back({e, 0, d});
    at.push_back(std::move(e));
  }
  return {ReadMap::Combine::first, {{0, std::move(at), std::move(guards)}, {1, {}, {}}}};
}
Values vjp_pad(Vjp v) {
  const Node &n = v.node;
  const Ints &lo = n.attrs.ints(Attr::lo), &hi = n.attrs.ints(Attr::hi);
  Ints interior = n.attrs.get_or<Ints>(Attr::interior, Ints(lo.size(), 0)), zero(lo.size(), 0), start, limit, step,
       minus_lo, minus_hi;
  for (size_t k = 0; k < lo.size(); ++k) minus_lo.push_back(-lo[k]), minus_hi.push_back(-hi[k]);
  Value dx = pad(v.dy, minus_lo, minus_hi);
  for (size_t k = 0; k < lo.size(); ++k)
    start.push_back(0), limit.push_back(dx.shape()[k].value()), step.push_back(interior[k] + 1);
  if (interior != zero) dx = slice(dx, start, limit, step);
  // The fill gets what no element of x got.
  Value inside = pad(v.graph().splat({DType::boolean, v.x[0].shape()}, 1), lo, hi, interior);
  return {dx, sum(select(inside, 0, v.dy))};
}

void infer_window(Infer &c) {
  const Ints size = c.attrs.ints(Attr::size);
  size_t r = size_t(c.x().rank()), k = size.size();
  c.require(k <= r, fmt::format("'size' has {} entries, but {} has rank {}", k, c.x().str(), r));
  Ints stride = per_axis(c, Attr::stride, k, 1), dilation = per_axis(c, Attr::dilation, k, 1);
  Shape out(c.x().shape.begin(), c.x().shape.end() - std::ptrdiff_t(k));
  for (size_t a = 0; a < k; ++a) {
    c.require(size[a] > 0 && stride[a] > 0 && dilation[a] > 0, "'size', 'stride' and 'dilation' must be positive");
    Dim d = c.x().shape[r - k + a];
    int64_t span = (size[a] - 1) * dilation[a] + 1;
    if (!d.is_static()) {
      out.push_back(Dim::unknown());
      continue;
    }
    c.require(d.value() >= span, fmt::format("a window of {} does not fit in an axis of {}", span, d.value()));
    out.push_back((d.value() - span) / stride[a] + 1);
  }
  for (int64_t s : size) out.push_back(s);
  c.result(c.x().dtype, out);
}
ReadMap map_window(const Node &n, const std::vector<Index> &i) {
  const Ints &size = n.attrs.ints(Attr::size);
  size_t k = size.size(), r = size_t(n.operands[0].rank());
  Ints stride = ints_or(n, Attr::stride, k, 1), dilation = ints_or(n, Attr::dilation, k, 1);
  std::vector<Index> at(i.begin(), i.begin() + std::ptrdiff_t(r - k));
  for (size_t a = 0; a < k; ++a) at.push_back(i[r - k + a] * stride[a] + i[r + a] * dilation[a]);
  return one(std::move(at));
}
Values vjp_window(Vjp v) {
  size_t k = v.node.attrs.ints(Attr::size).size();
  return {unwindow(v.dy, v.x[0].shape(), v.node.attrs.ints(Attr::size), ints_or(v.node, Attr::stride, k, 1),
                   ints_or(v.node, Attr::dilation, k, 1))};
}

void infer_unwindow(Infer &c) {
  const Ints size = c.attrs.ints(Attr::size);
  const Shape &to = c.attrs.get<Shape>(Attr::shape), &from = c.x().shape;
  size_t r = to.size(), k = size.size();
  c.require(k <= r && from.size() == r + k,
            fmt::format("{} is no window of {} axes on a tensor of rank {}", c.x().str(), k, r));
  Ints stride = per_axis(c, Attr::stride, k, 1), dilation = per_axis(c, Attr::dilation, k, 1);
  bool ok = true;
  for (size_t a = 0; a < r - k; ++a) ok &= compatible(from[a], to[a]);
  for (size_t a = 0; a < k; ++a) {
    c.require(size[a] > 0 && stride[a] > 0 && dilation[a] > 0, "'size', 'stride' and 'dilation' must be positive");
    ok &= compatible(from[r + a], size[a]);
    Dim d = to[r - k + a];
    if (!d.is_static()) continue;
    int64_t span = (size[a] - 1) * dilation[a] + 1;
    ok &= d.value() >= span && compatible(from[r - k + a], (d.value() - span) / stride[a] + 1);
  }
  c.require(ok, fmt::format("{} is not what this window shows of {}", c.x().str(), Type{c.x().dtype, to}.str()));
  c.result(c.x().dtype, to);
}

// One way for element i of an axis to be shown: as element k of window o.
struct Shown {
  Index o, k;
  std::vector<IndexGuard> guards;
};

static void guard(std::vector<IndexGuard> &guards, const Index &e, int64_t lo, int64_t hi) {
  if (e.min() < lo || e.max() >= hi) guards.push_back({e, lo, hi});
}

// All (o, k) with o * stride + k * dilation = i. Either o is counted, or k, or (without dilation) the windows
// that can reach i are: those are o = i / stride - t with k = i mod stride + t * stride. The shortest list is
// taken; windows that do not overlap give a single entry.
static std::vector<Shown> shown(const Index &i, int64_t windows, int64_t size, int64_t stride, int64_t dilation) {
  std::vector<Shown> out;
  if (size == 1) dilation = 1;
  int64_t reach = dilation == 1 ? (size + stride - 1) / stride : size;
  if (windows <= reach) {
    for (int64_t o = windows - 1; o >= 0; --o) {
      Shown s{o, i + -o * stride, {}};
      if (dilation > 1) guard(s.guards, s.k % dilation, 0, 1), s.k = s.k / dilation;
      guard(s.guards, s.k, 0, size);
      out.push_back(std::move(s));
    }
    return out;
  }
  for (int64_t t = 0; t < reach; ++t) {
    Shown s;
    if (dilation == 1) {
      s.o = i / stride + -t, s.k = i % stride + t * stride;
      guard(s.guards, s.k, 0, size);
    } else {
      Index at = i + -t * dilation;
      s.k = t, s.o = at / stride;
      guard(s.guards, at % stride, 0, 1);
    }
    guard(s.guards, s.o, 0, windows);
    out.push_back(std::move(s));
  }
  return out;
}

// The sum runs over ascending k, the last axis fastest.
ReadMap map_unwindow(const Node &n, const std::vector<Index> &i) {
  const Ints &size = n.attrs.ints(Attr::size);
  size_t k = size.size(), r = i.size();
  Ints stride = ints_or(n, Attr::stride, k, 1), dilation = ints_or(n, Attr::dilation, k, 1);
  std::vector<Read> reads{{0, std::vector<Index>(i.begin(), i.begin() + std::ptrdiff_t(r - k)), {}}};
  for (Read &read : reads) read.index.resize(r + k);
  for (size_t a = 0; a < k; ++a) {
    std::vector<Read> longer;
    std::vector<Shown> ways =
        shown(i[r - k + a], n.operands[0].shape()[r - k + a].value(), size[a], stride[a], dilation[a]);
    for (const Read &read : reads)
      for (const Shown &s : ways) {
        Read &next = longer.emplace_back(read);
        next.index[r - k + a] = s.o, next.index[r + a] = s.k;
        next.guards.insert(next.guards.end(), s.guards.begin(), s.guards.end());
      }
    reads = std::move(longer);
  }
  return {ReadMap::Combine::sum, std::move(reads)};
}
Values vjp_unwindow(Vjp v) {
  size_t k = v.node.attrs.ints(Attr::size).size();
  return {window(v.dy, v.node.attrs.ints(Attr::size), ints_or(v.node, Attr::stride, k, 1),
                 ints_or(v.node, Attr::dilation, k, 1))};
}

void infer_concat(Infer &c) {
  size_t axis = size_t(c.axis(c.attrs.i(Attr::axis), c.x().rank()));
  c.attrs.set(Attr::axis, int64_t(axis));
  Shape out = c.x().shape;
  int64_t extent = 0;
  bool known = true;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Shape &s = c.x(i).shape;
    bool ok = s.size() == out.size() && c.x(i).dtype == c.x().dtype;
    for (size_t d = 0; ok && d < s.size(); ++d)
      if (d == axis)
        known &= s[d].is_static(), extent += s[d].is_static() ? s[d].value() : 0;
      else {
        ok = compatible(s[d], out[d]);
        if (out[d].is_unknown()) out[d] = s[d];
      }
    c.require(ok, fmt::format("operand {} is {}, which does not fit {} along axis {}", i + 1, c.x(i).str(), c.x().str(),
                              axis));
  }
  if (c.operands.size() > 1) out[axis] = known ? Dim(extent) : Dim::unknown();
  c.result(c.x().dtype, out);
}
ReadMap map_concat(const Node &n, const std::vector<Index> &i) {
  size_t axis = size_t(n.attrs.i(Attr::axis));
  ReadMap map;
  int64_t start = 0;
  for (size_t k = 0; k < n.operands.size(); ++k) {
    int64_t extent = n.operands[k].shape()[axis];
    Read read{int(k), i, {}};
    read.index[axis] = i[axis] + -start;
    guard(read.guards, read.index[axis], 0, extent);
    start += extent;
    if (extent) map.reads.push_back(std::move(read));
  }
  return map;
}
Values vjp_concat(Vjp v) {
  int64_t axis = v.node.attrs.i(Attr::axis), start = 0;
  Values out;
  for (Value x : v.x) {
    int64_t extent = x.shape()[size_t(axis)];
    out.push_back(narrow(v.dy, axis, start, start + extent));
    start += extent;
  }
  return out;
}

} // namespace trellis::ops

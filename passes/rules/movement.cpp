// Movement: all exact, since elements only change place (sums of repeated elements are marked).
#include "ir/build.h"
#include "passes/rules/rules.h"
#include <algorithm>

namespace trellis {

namespace {
using Ints = std::vector<int64_t>;
namespace p = pattern;
const Pattern x = Pattern::variable(0), y = Pattern::variable(1), f = Pattern::variable(2), c = Pattern::constant(4);
constexpr auto exact = Exactness::exact;
constexpr auto inexact = Exactness::inexact;
constexpr auto any_dtype = Domain::any;
constexpr auto floats = Domain::floats;
constexpr auto integers = Domain::integers;

const Node &inner(const Match &m) { return *m.root.node->operands[0].node; }
Ints list(const Node &n, Attr a, int64_t otherwise, size_t count) {
  return n.attrs.get_or<Ints>(a, Ints(count, otherwise));
}
Value same_as_root(const Match &m) { return m[x].type() == m.root.type() ? m[x] : Value{}; }
Shape without_units(const Shape &s) {
  Shape out;
  for (Dim d : s)
    if (d.value() != 1) out.push_back(d);
  return out;
}
/// A splat of the same element with the root's shape.
Value splat_like(const Match &m, Value v) {
  const Tensor *t = splat_of(v);
  return t ? broadcast_to(m.graph().constant(t->rank() ? t->reshaped({}) : *t), m.root.shape()) : Value{};
}

// --- reshape ---

// Both shapes are the same but for extents of 1: the expansion moves outside, where consumers see it.
Value reshape_of_expand(const Match &m) {
  const Shape &from = m[x].shape(), &wide = inner(m).type().shape, &to = m.root.shape();
  if (!same(without_units(wide), without_units(to))) return {};
  // Axes of `wide` that are not 1 stand in `to` in the same order.
  Shape narrow;
  size_t k = 0;
  for (Dim d : to) {
    if (d.value() == 1) {
      narrow.push_back(1);
      continue;
    }
    while (wide[k].value() == 1) ++k;
    narrow.push_back(from[k++]);
  }
  return expand(reshape(m[x], narrow), to);
}

// --- permute ---

Value permute_of_permute(const Match &m) {
  const Ints &first = inner(m).attrs.ints(Attr::perm), &second = m.attrs().ints(Attr::perm);
  Ints both;
  for (int64_t k : second) both.push_back(first[size_t(k)]);
  return permute(m[x], both);
}
// Only extents of 1 change place.
Value permute_of_units(const Match &m) {
  int64_t last = -1;
  for (int64_t k : m.attrs().ints(Attr::perm)) {
    if (m[x].shape()[size_t(k)].value() == 1) continue;
    if (k < last) return {};
    last = k;
  }
  return reshape(m[x], m.root.shape());
}
// A reshape that only adds or drops extents of 1 moves outside, where it meets other reshapes.
Value permute_of_unit_reshape(const Match &m) {
  const Shape &from = m[x].shape(), &middle = inner(m).type().shape;
  if (!same(without_units(from), without_units(middle))) return {};
  Ints axis_of(middle.size(), -1), perm; // the axis of x that each axis of `middle` is
  for (size_t k = 0, a = 0; k < middle.size(); ++k) {
    if (middle[k].value() == 1) continue;
    while (from[a].value() == 1) ++a;
    axis_of[k] = int64_t(a++);
  }
  for (size_t a = 0; a < from.size(); ++a)
    if (from[a].value() == 1) perm.push_back(int64_t(a));
  for (int64_t k : m.attrs().ints(Attr::perm))
    if (axis_of[size_t(k)] >= 0) perm.push_back(axis_of[size_t(k)]);
  return reshape(permute(m[x], perm), m.root.shape());
}
Value permute_of_expand(const Match &m) { return expand(permute(m[x], m.attrs().ints(Attr::perm)), m.root.shape()); }

// --- slice and pad ---

Value slice_of_all(const Match &m) {
  if (m.attrs().has(Attr::step)) return {};
  for (int64_t s : m.attrs().ints(Attr::start))
    if (s) return {};
  return same_as_root(m);
}
Value slice_of_slice(const Match &m) {
  const Node &in = inner(m), &out = *m.root.node;
  size_t r = size_t(m.root.rank());
  Ints s1 = in.attrs.ints(Attr::start), t1 = list(in, Attr::step, 1, r), s2 = out.attrs.ints(Attr::start),
       t2 = list(out, Attr::step, 1, r);
  Ints start, limit, step;
  for (size_t k = 0; k < r; ++k) {
    int64_t count = m.root.shape()[k].value(), s = count ? s1[k] + s2[k] * t1[k] : 0, t = count ? t1[k] * t2[k] : 1;
    start.push_back(s), step.push_back(t), limit.push_back(s + t * count);
  }
  return slice(m[x], start, limit, step);
}
Value slice_of_expand(const Match &m) {
  size_t r = size_t(m.root.rank());
  Ints start = m.attrs().ints(Attr::start), limit = m.attrs().ints(Attr::limit),
       step = list(*m.root.node, Attr::step, 1, r);
  for (size_t k = 0; k < r; ++k)
    if (m[x].shape()[k].value() == 1) start[k] = 0, limit[k] = 1, step[k] = 1;
  return expand(slice(m[x], start, limit, step), m.root.shape());
}
// Unit steps, nothing between elements: what is left of each border, around what is left of x.
Value slice_of_pad(const Match &m) {
  const Node &in = inner(m);
  if (m.attrs().has(Attr::step) || in.attrs.has(Attr::interior)) return {};
  const Ints &start = m.attrs().ints(Attr::start), &lo = in.attrs.ints(Attr::lo);
  Ints first, last, before, after;
  for (size_t k = 0; k < start.size(); ++k) {
    int64_t n = m[x].shape()[k].value(), count = m.root.shape()[k].value(), from = start[k] - lo[k],
            to = from + count; // in x
    int64_t a = std::clamp<int64_t>(from, 0, n), b = std::clamp<int64_t>(to, a, n);
    if (b == a) return splat_of(m[f]) ? splat_like(m, m[f]) : Value{};
    first.push_back(a), last.push_back(b), before.push_back(a - from), after.push_back(to - b);
  }
  Value v = slice(m[x], first, last);
  return before == Ints(before.size(), 0) && after == before ? v : pad(v, before, after, {}, m[f]);
}

Value pad_by_nothing(const Match &m) {
  const Ints &lo = m.attrs().ints(Attr::lo), &hi = m.attrs().ints(Attr::hi);
  return lo == Ints(lo.size(), 0) && hi == lo ? same_as_root(m) : Value{};
}
// Borders of the same fill add up, but an inner crop stays cropped.
Value pad_of_pad(const Match &m) {
  const Node &in = inner(m), &out = *m.root.node;
  if (out.attrs.has(Attr::interior)) return {};
  Ints lo = in.attrs.ints(Attr::lo), hi = in.attrs.ints(Attr::hi);
  const Ints &lo2 = out.attrs.ints(Attr::lo), &hi2 = out.attrs.ints(Attr::hi);
  for (size_t k = 0; k < lo.size(); ++k) {
    if ((lo[k] < 0 && lo2[k] > 0) || (hi[k] < 0 && hi2[k] > 0)) return {};
    lo[k] += lo2[k], hi[k] += hi2[k];
  }
  return pad(m[x], lo, hi, list(in, Attr::interior, 0, lo.size()), m[f]);
}
Value pad_that_crops(const Match &m) {
  const Ints &lo = m.attrs().ints(Attr::lo), &hi = m.attrs().ints(Attr::hi);
  if (m.attrs().has(Attr::interior)) return {};
  Ints start, limit;
  for (size_t k = 0; k < lo.size(); ++k) {
    if (lo[k] > 0 || hi[k] > 0) return {};
    start.push_back(-lo[k]), limit.push_back(m[x].shape()[k].value() + hi[k]);
  }
  return slice(m[x], start, limit);
}
Value pad_of_splat(const Match &m) {
  const Tensor *a = splat_of(m[c]), *b = splat_of(m[f]);
  return a && b && a->reshaped({}) == b->reshaped({}) ? splat_like(m, m[c]) : Value{};
}

// --- reduce ---

bool is_kind(const Match &m, std::string_view kind) { return m.attrs().word(Attr::kind) == kind; }
// Any order of elements, any number of repetitions.
bool is_extreme(const Match &m) { return is_kind(m, "max") || is_kind(m, "min"); }

// A reshape that only drops or puts back the extents of 1 of the reduced axes is the reduction's own choice.
Value reshape_of_reduce(const Match &m) {
  const Node &in = inner(m);
  bool keep = !in.attrs.flag(Attr::keep);
  Value other = reduce(m[x], in.attrs.word(Attr::kind), in.attrs.ints(Attr::axes), keep);
  return same(other.shape(), m.root.shape()) && !in.attrs.ints(Attr::axes).empty() ? other : Value{};
}
// Axes of extent 1, or none, need no reduction. A sum starts at +0, which turns -0 into it.
Value reduce_of_units(const Match &m) {
  const Ints &axes = m.attrs().ints(Attr::axes);
  Ints rest;
  for (int64_t a : axes)
    if (m[x].shape()[size_t(a)].value() != 1) rest.push_back(a);
  if (rest.size() == axes.size() && !axes.empty()) return {};
  Value v = rest.empty() ? m[x] : reduce(m[x], m.attrs().word(Attr::kind), rest, true);
  v = reshape(v, m.root.shape());
  return rest.empty() && is_kind(m, "sum") && is_float(v.dtype()) ? v + 0.0 : v;
}
// The outer reduction's axes in the numbering of x.
Value reduce_of_reduce(const Match &m) {
  const Node &in = inner(m);
  if (in.attrs.word(Attr::kind) != m.attrs().word(Attr::kind)) return {};
  Ints left, axes = in.attrs.ints(Attr::axes);
  bool kept = in.attrs.flag(Attr::keep);
  for (int64_t k = 0; k < m[x].rank(); ++k)
    if (kept || !std::binary_search(axes.begin(), axes.end(), k)) left.push_back(k);
  for (int64_t a : m.attrs().ints(Attr::axes)) axes.push_back(left[size_t(a)]);
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return reshape(reduce(m[x], m.attrs().word(Attr::kind), axes), m.root.shape());
}
// Axes along which x repeats: n of them sum to n x, and are one for max and min.
Value reduce_of_expand(const Match &m) {
  Ints rest;
  double repeats = 1;
  Shape narrow = inner(m).type().shape;
  for (int64_t a : m.attrs().ints(Attr::axes)) {
    int64_t n = narrow[size_t(a)].value();
    if (m[x].shape()[size_t(a)].value() != 1 || n == 1) {
      rest.push_back(a);
      continue;
    }
    if (n == 0) return {};
    repeats *= double(n), narrow[size_t(a)] = 1;
  }
  if (repeats == 1 || is_kind(m, "prod")) return {};
  Value v = expand(m[x], narrow);
  if (!rest.empty()) v = reduce(v, m.attrs().word(Attr::kind), rest, true);
  v = reshape(v, m.root.shape());
  return is_kind(m, "sum") ? v * repeats : v;
}
// Axes that are not reduced move outside; reduced ones must meet in the same order where order counts.
Value reduce_of_permute(const Match &m) {
  const Ints &perm = inner(m).attrs.ints(Attr::perm), &axes = m.attrs().ints(Attr::axes);
  bool keep = m.attrs().flag(Attr::keep);
  Ints from;
  for (int64_t a : axes) from.push_back(perm[size_t(a)]);
  if (!is_extreme(m) && is_float(m.root.dtype()) && !std::is_sorted(from.begin(), from.end())) return {};
  std::sort(from.begin(), from.end());
  Value v = reduce(m[x], m.attrs().word(Attr::kind), from, keep);
  if (keep) return permute(v, perm);
  Ints order; // place of each kept axis of x among the kept ones
  for (int64_t k : perm)
    if (!std::binary_search(from.begin(), from.end(), k))
      order.push_back(k - (std::lower_bound(from.begin(), from.end(), k) - from.begin()));
  return permute(v, order);
}

// --- contraction ---

// Weights that repeat along every batch axis: the batch is more rows.
Value dot_of_shared(const Match &m) {
  const Shape &a = m[x].shape(), &b = m[y].shape();
  size_t r = a.size();
  if (r < 3) return {};
  int64_t rows = 1;
  for (size_t k = 0; k + 1 < r; ++k) {
    if (k + 2 < r && b[k].value() != 1) return {};
    rows *= a[k].value();
  }
  if (m.root.node->operands[1].shape()[r - 1].value() != b[r - 1].value() ||
      m.root.node->operands[1].shape()[r - 2].value() != b[r - 2].value())
    return {};
  return reshape(dot(reshape(m[x], {rows, a[r - 1]}), reshape(m[y], {b[r - 2], b[r - 1]})), m.root.shape());
}
} // namespace

const std::vector<Rule> &movement_rules() {
  static const std::vector<Rule> rules = {
      {"reshape-same", p::reshape(x), same_as_root},
      {"reshape-reshape", p::reshape(p::reshape(x)), [](const Match &m) { return reshape(m[x], m.root.shape()); }},
      {"reshape-expand", p::reshape(p::expand(x)), reshape_of_expand},
      {"reshape-reduce", p::reshape(p::reduce(x)), reshape_of_reduce},
      {"reshape-splat", p::reshape(p::expand(c)), [](const Match &m) { return splat_like(m, m[c]); }},

      {"expand-same", p::expand(x), same_as_root},
      {"expand-expand", p::expand(p::expand(x)), [](const Match &m) { return expand(m[x], m.root.shape()); }},

      {"permute-permute", p::permute(p::permute(x)), permute_of_permute},
      {"permute-units", p::permute(x), permute_of_units},
      {"permute-unit-reshape", p::permute(p::reshape(x)), permute_of_unit_reshape},
      {"permute-expand", p::permute(p::expand(x)), permute_of_expand},

      {"slice-all", p::slice(x), slice_of_all},
      {"slice-slice", p::slice(p::slice(x)), slice_of_slice},
      {"slice-expand", p::slice(p::expand(x)), slice_of_expand},
      {"slice-pad", p::slice(p::pad(x, f)), slice_of_pad},

      {"pad-nothing", p::pad(x, f), pad_by_nothing},
      {"pad-splat", p::pad(c, f), pad_of_splat},
      {"pad-crop", p::pad(x, f), pad_that_crops},
      {"pad-pad", p::pad(p::pad(x, f), f), pad_of_pad},

      {"window-splat", p::window(c), [](const Match &m) { return splat_like(m, m[c]); }},

      {"reduce-units", p::reduce(x), reduce_of_units},
      {"reduce-permute", p::reduce(p::permute(x)), reduce_of_permute},
      {"reduce-expand-extreme", p::reduce(p::expand(x)), reduce_of_expand, exact, any_dtype, is_extreme},
      {"reduce-expand", p::reduce(p::expand(x)), reduce_of_expand, exact, integers},
      {"reduce-expand-float", p::reduce(p::expand(x)), reduce_of_expand, inexact, floats},
      {"reduce-reduce-extreme", p::reduce(p::reduce(x)), reduce_of_reduce, exact, any_dtype, is_extreme},
      {"reduce-reduce", p::reduce(p::reduce(x)), reduce_of_reduce, exact, integers},
      {"reduce-reduce-float", p::reduce(p::reduce(x)), reduce_of_reduce, inexact, floats},

      {"dot-shared", p::dot(x, p::expand(y)), dot_of_shared},
  };
  return rules;
}

} // namespace trellis

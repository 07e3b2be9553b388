// The map is asked once, with a variable for each axis of the result; its index expressions are then run
// along the innermost axis, row by row. An offset that is linear in that axis is computed once a row, and so
// is the interval in which a linear guard holds.
#include "ir/eval_movement.h"
#include "ir/diag.h"
#include <algorithm>
#include <cstring>
#include <utility>

namespace trellis {

namespace {

int64_t floor_div(int64_t a, int64_t k) { return a / k - (a % k < 0); }
int64_t floor_mod(int64_t a, int64_t k) { return a - floor_div(a, k) * k; }

/// An index as arrays, for repeated evaluation. Variable `id` is `at[id]`.
class Program {
public:
  explicit Program(const Index &e);
  int64_t operator()(const std::vector<int64_t> &at) const;

private:
  struct Rounded;
  int64_t constant_;
  std::vector<std::pair<int64_t, int>> linear_;
  std::vector<Rounded> rest_;
};
struct Program::Rounded {
  int64_t coef;
  bool div;
  int64_t k;
  Program arg;
};

Program::Program(const Index &e) : constant_(e.constant()) {
  for (const IndexTerm &t : e.terms()) {
    const IndexAtom &a = *t.atom;
    if (a.kind == IndexAtom::Kind::var)
      linear_.push_back({t.coef, a.var.id});
    else
      rest_.push_back({t.coef, a.kind == IndexAtom::Kind::div, a.k, Program(*a.arg)});
  }
}
int64_t Program::operator()(const std::vector<int64_t> &at) const {
  int64_t sum = constant_;
  for (const auto &[coef, var] : linear_) sum += coef * at[size_t(var)];
  for (const Rounded &r : rest_) sum += r.coef * (r.div ? floor_div(r.arg(at), r.k) : floor_mod(r.arg(at), r.k));
  return sum;
}

struct Guard {
  Program e;
  std::optional<int64_t> stride; ///< along the innermost axis; nothing: not linear
  int64_t lo, hi;
};
struct Source {
  const Tensor *x;
  Program offset;
  std::optional<int64_t> stride;
  std::vector<Guard> guards;
};

/// Where, in [begin, end), lo <= base + stride * i < hi.
void clip(int64_t base, int64_t stride, int64_t lo, int64_t hi, int64_t &begin, int64_t &end) {
  if (stride == 0) {
    if (base < lo || base >= hi) end = begin;
    return;
  }
  int64_t first = stride > 0 ? -floor_div(base - lo, stride) : floor_div(base - hi, -stride) + 1;
  int64_t last = stride > 0 ? -floor_div(base - hi, stride) : floor_div(base - lo, -stride) + 1;
  begin = std::max(begin, first), end = std::max(begin, std::min(end, last));
}

/// Calls f(i, element of the source) for each i of the row at which all guards hold.
template <class F> void for_row(const Source &s, std::vector<int64_t> &at, int64_t count, F f) {
  bool has_axis = !at.empty();
  int64_t begin = 0, end = count;
  bool per_element = !s.stride;
  if (has_axis) at.back() = 0;
  for (const Guard &g : s.guards)
    if (g.stride)
      clip(g.e(at), *g.stride, g.lo, g.hi, begin, end);
    else
      per_element = true;
  if (begin >= end) return;
  if (!per_element) {
    int64_t offset = s.offset(at) + begin * *s.stride;
    for (int64_t i = begin; i < end; ++i, offset += *s.stride) f(i, offset);
    return;
  }
  for (int64_t i = begin; i < end; ++i) {
    at.back() = i;
    bool holds = true;
    for (const Guard &g : s.guards)
      if (!g.stride) {
        int64_t e = g.e(at);
        holds &= e >= g.lo && e < g.hi;
      }
    if (holds) f(i, s.offset(at));
  }
}

void copy_element(std::byte *to, const std::byte *from, int size) {
  switch (size) {
  case 1: *to = *from; break;
  case 2: std::memcpy(to, from, 2); break;
  case 4: std::memcpy(to, from, 4); break;
  default: std::memcpy(to, from, 8); break;
  }
}
} // namespace

void evaluate_movement(const Node &n, const std::vector<Tensor> &x, Tensor &y) {
  if (y.size() == 0) return;
  size_t rank = y.dims().size();
  std::vector<Index> axes;
  for (size_t i = 0; i < rank; ++i) axes.push_back(Index(IndexVar{int(i), y.dims()[i]}));
  ReadMap map = n.info().map(n, axes);
  int inner = int(rank) - 1;
  auto stride = [&](const Index &e) { return rank ? e.coefficient(inner) : std::optional<int64_t>(0); };
  std::vector<Source> sources;
  for (const Read &r : map.reads) {
    const Tensor &from = x[size_t(r.operand)];
    Index offset = linearize(r.index, from.dims());
    Source s{&from, Program(offset), stride(offset), {}};
    for (const IndexGuard &g : r.guards) s.guards.push_back({Program(g.e), stride(g.e), g.lo, g.hi});
    sources.push_back(std::move(s));
  }

  const int64_t count = rank ? y.dims()[rank - 1] : 1, rows = y.size() / count;
  const int size = size_of(y.dtype());
  const bool adds = map.combine == ReadMap::Combine::sum, real = is_float(y.dtype());
  std::vector<char> filled(size_t(count), 0);
  std::vector<double> sum(adds && real ? size_t(count) : 0);
  std::vector<uint64_t> whole(adds && !real ? size_t(count) : 0);
  std::vector<int64_t> at(rank, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t base = row * count;
    if (adds) {
      std::fill(sum.begin(), sum.end(), 0.0), std::fill(whole.begin(), whole.end(), uint64_t(0));
      for (const Source &s : sources)
        for_row(s, at, count, [&](int64_t i, int64_t e) {
          if (real)
            sum[size_t(i)] += s.x->get(e);
          else
            whole[size_t(i)] += uint64_t(s.x->get_int(e));
        });
      for (int64_t i = 0; i < count; ++i)
        if (real)
          y.set(base + i, sum[size_t(i)]);
        else
          y.set_int(base + i, int64_t(whole[size_t(i)]));
    } else {
      bool only = sources.size() == 1;
      if (!only) std::fill(filled.begin(), filled.end(), char(0));
      for (const Source &s : sources)
        for_row(s, at, count, [&](int64_t i, int64_t e) {
          if (!only && std::exchange(filled[size_t(i)], char(1))) return;
          copy_element(y.data() + (base + i) * size, s.x->data() + e * size, size);
        });
    }
    for (size_t a = rank; a-- > 1;) { // the next row
      if (++at[a - 1] < y.dims()[a - 1]) break;
      at[a - 1] = 0;
    }
  }
}

} // namespace trellis

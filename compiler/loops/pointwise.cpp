// Pointwise groups: one nest over the results' elements, in the order of their storage.
#include "compiler/loops/lower.h"
#include <algorithm>
#include <fmt/format.h>
#include <numeric>

namespace trellis {

// Splits axes until every place is linear, then sorts them by the first result's stride and merges what is contiguous.
static Nest settle(Lowering &l, const std::vector<int64_t> &dims) {
  Nest nest(l.kernel, dims, {});
  auto accesses = [&] {
    l.pull.clear();
    Accesses a;
    for (const Stmt &s : l.store_results(nest.out)) a.add(s.value, l.kernel);
    return a;
  };
  Accesses a = accesses();
  for (auto s = wanted_split(nest, a.all(l.result_places(nest.out))); s; s = wanted_split(nest, a.all(l.result_places(nest.out)))) {
    nest.split(l.kernel, s->first, s->second);
    a = accesses();
  }
  Index store = l.result_places(nest.out)[0];
  std::vector<size_t> order(nest.axes.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) {
    return store.coefficient(nest.axes[x].var.id).value_or(0) > store.coefficient(nest.axes[y].var.id).value_or(0);
  });
  nest.reorder(order);
  for (size_t i = 0; i + 1 < nest.axes.size();)
    if (mergeable(nest, i, a.places(l.result_places(nest.out)), a.others)) {
      nest.merge(l.kernel, i);
      a = accesses();
    } else ++i;
  l.pull.clear();
  return nest;
}

static std::vector<Index> at(const std::vector<Index> &index, const std::vector<std::pair<IndexVar, Index>> &values) {
  std::vector<Index> out = index;
  for (Index &e : out)
    e = e.substitute([&](IndexVar v) -> std::optional<Index> {
      for (const auto &[var, by] : values)
        if (var.id == v.id) return by;
      return std::nullopt;
    });
  return out;
}

// The axis along which the far loads are contiguous, where storage order is another's: both lanes of loads and lanes of
// stores are next to each other only if squares are turned in between. A load is far where neighbours of the last axis
// lie further apart than whole vectors and shuffles would bridge.
static std::optional<size_t> turned_axis(Lowering &l, const Nest &nest) {
  constexpr int64_t kNear = 4;
  int lanes = l.lanes();
  if (l.group.results.size() != 1 || lanes < 2 || nest.axes.size() < 2) return std::nullopt;
  if (l.group.results[0].dtype() == DType::boolean || size_of(l.group.results[0].dtype()) * lanes != l.machine.vector_bytes) return std::nullopt;
  IndexVar last = nest.axes.back().var;
  if (last.extent < lanes || l.result_places(nest.out)[0].coefficient(last.id) != 1) return std::nullopt;
  Accesses a;
  l.pull.clear();
  for (const Stmt &s : l.store_results(nest.out)) a.add(s.value, l.kernel);
  l.pull.clear();
  if (a.dynamic) return std::nullopt;
  std::optional<size_t> found;
  for (const auto &[buffer, index] : a.loads) {
    std::optional<int64_t> step = index.coefficient(last.id);
    if (step && std::abs(*step) <= kNear) continue;
    std::optional<size_t> contiguous;
    for (size_t i = 0; i + 1 < nest.axes.size(); ++i)
      if (nest.axes[i].var.extent >= lanes && index.coefficient(nest.axes[i].var.id) == 1) contiguous = i;
    if (!step || !contiguous || (found && found != contiguous)) return std::nullopt;
    found = contiguous;
  }
  return found;
}

// Squares of lanes x lanes elements: computed with lanes along axis `w`, turned in registers, stored along the last
// axis. What whole squares leave over is for `rest(outer axes, last axis, first of w, extent of w, first of last, extent of last)`.
template <class Rest> static std::vector<Stmt> lower_turned(Lowering &l, const Nest &nest, size_t w, Rest rest) {
  int lanes = l.lanes();
  IndexVar across = nest.axes[w].var, last = nest.axes.back().var;
  int64_t columns = across.extent / lanes, blocks = last.extent / lanes;
  IndexVar cb = l.kernel.var(columns), jb = l.kernel.var(blocks);
  DType t = l.group.results[0].dtype();
  int square = l.kernel.add_buffer({fmt::format("square{}", l.kernel.buffers.size()), t, Space::reg, int64_t(lanes) * lanes, lanes});
  auto over = [&](bool load) { // rows along one axis, lanes along the other
    IndexVar row = l.kernel.var(lanes), lane = l.kernel.var(lanes);
    Index x = Index(cb) * lanes + Index(load ? lane : row), y = Index(jb) * lanes + Index(load ? row : lane);
    l.pull.clear();
    Stmt s = std::move(l.store_results(at(nest.out, {{across, x}, {last, y}}))[0]);
    Index slot = Index(row) * lanes + Index(lane);
    s = load ? make_store(square, slot, s.value) : make_store(s.buffer, s.index, l.kernel.load(square, slot));
    std::vector<Stmt> body, inner;
    body.push_back(std::move(s));
    inner.push_back(make_loop(Stmt::Loop::vector, lane, std::move(body), lanes, true));
    return make_loop(Stmt::Loop::unroll, row, std::move(inner));
  };
  std::vector<Stmt> body, out;
  body.push_back(over(true)), body.push_back(make_transpose(square)), body.push_back(over(false));
  std::vector<Axis> axes(nest.axes.begin(), nest.axes.end() - 1);
  axes[w].var = cb;
  axes.push_back({jb, false});
  out = wrap_parallel(axes, std::move(body));
  l.kernel.schedule = fmt::format("squares of {}, lanes i{} turned to i{}", lanes, across.id, last.id);
  if (int64_t left = across.extent - columns * lanes) rest(columns * lanes, left, 0, last.extent, out);
  if (int64_t left = last.extent - blocks * lanes) rest(0, columns * lanes, blocks * lanes, left, out);
  return out;
}

std::vector<Stmt> lower_pointwise(Lowering &l) {
  Type domain = l.domain();
  if (domain.size() == 0) return {};
  Nest nest = settle(l, dims_of(domain.shape));
  if (nest.axes.empty()) return wrap_parallel({}, l.store_results(nest.out));
  if (std::optional<size_t> w = turned_axis(l, nest))
    return lower_turned(l, nest, *w, [&](int64_t w0, int64_t wn, int64_t j0, int64_t jn, std::vector<Stmt> &out) {
      IndexVar x = l.kernel.var(wn), y = l.kernel.var(jn);
      l.pull.clear();
      std::vector<Stmt> body;
      body.push_back(make_loop(Stmt::Loop::vector, y, l.store_results(at(nest.out, {{nest.axes[*w].var, Index(x) + w0}, {nest.axes.back().var, Index(y) + j0}})), l.lanes()));
      std::vector<Axis> axes(nest.axes.begin(), nest.axes.end() - 1);
      axes[*w].var = x;
      std::vector<Stmt> wrapped = wrap_parallel(axes, std::move(body));
      std::move(wrapped.begin(), wrapped.end(), std::back_inserter(out));
    });
  // A long last axis is cut into blocks where the others are too few to share among threads.
  constexpr int64_t kBlock = 2048;
  IndexVar inner = nest.axes.back().var;
  nest.axes.pop_back();
  int64_t trip = 1;
  for (const Axis &a : nest.axes) trip *= a.var.extent;
  std::vector<Stmt> out;
  auto nest_over = [&](const Index &base, IndexVar j, std::vector<Axis> axes) {
    l.pull.clear();
    std::vector<Stmt> body;
    body.push_back(make_loop(Stmt::Loop::vector, j, l.store_results(at(nest.out, {{inner, base + Index(j)}})), l.lanes()));
    std::vector<Stmt> wrapped = wrap_parallel(axes, std::move(body));
    std::move(wrapped.begin(), wrapped.end(), std::back_inserter(out));
  };
  int64_t blocks = trip < 8 && inner.extent >= 2 * kBlock ? inner.extent / kBlock : 0;
  if (blocks) {
    IndexVar b = l.kernel.var(blocks);
    std::vector<Axis> axes = nest.axes;
    axes.push_back({b, false});
    nest_over(Index(b) * kBlock, l.kernel.var(kBlock), axes);
  }
  if (int64_t left = inner.extent - blocks * kBlock) nest_over(Index(blocks * kBlock), l.kernel.var(left), nest.axes);
  return out;
}

} // namespace trellis

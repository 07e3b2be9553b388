// Pointwise groups: one nest over the results' elements, in the order of their storage.
#include "compiler/loops/lower.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

static Accesses accesses(Lowering &l, const Nest &nest) {
  l.pull.clear();
  Accesses a;
  for (const Stmt &s : l.store_results(nest.out)) a.add(s.value, l.kernel);
  return a;
}

// A vector loop over `lane` of the results at `at`, in parallel loops over `outer`.
static void append_vectors(std::vector<Stmt> &out, Lowering &l, const Nest &at, IndexVar lane,
                           const std::vector<Axis> &outer) {
  l.pull.clear();
  std::vector<Stmt> body;
  body.push_back(make_loop(Stmt::Loop::vector, lane, l.store_results(at.out), l.lanes()));
  std::vector<Stmt> wrapped = wrap_parallel(outer, std::move(body));
  std::move(wrapped.begin(), wrapped.end(), std::back_inserter(out));
}

// The axis along which the far loads are contiguous, where storage order is another's: both lanes of loads and lanes of
// stores are next to each other only if squares are turned in between. A load is far where neighbours of the last axis
// lie further apart than whole vectors and shuffles would bridge.
static std::optional<size_t> turned_axis(Lowering &l, const Nest &nest) {
  constexpr int64_t kNear = 4;
  int lanes = l.lanes();
  if (l.group.results.size() != 1 || lanes < 2 || nest.axes.size() < 2) return std::nullopt;
  if (l.group.results[0].dtype() == DType::boolean ||
      size_of(l.group.results[0].dtype()) * lanes != l.machine.vector_bytes)
    return std::nullopt;
  IndexVar last = nest.axes.back().var;
  if (last.extent < lanes || l.result_places(nest.out)[0].coefficient(last.id) != 1) return std::nullopt;
  Accesses a = accesses(l, nest);
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
// axis. What whole squares leave over is vectors along the last axis.
static std::vector<Stmt> lower_turned(Lowering &l, const Nest &nest, size_t w) {
  int lanes = l.lanes();
  IndexVar across = nest.axes[w].var, last = nest.axes.back().var;
  int64_t columns = across.extent / lanes, blocks = last.extent / lanes;
  IndexVar cb = l.kernel.var(columns), jb = l.kernel.var(blocks);
  DType t = l.group.results[0].dtype();
  int square = l.kernel.add_buffer(
      {fmt::format("square{}", l.kernel.buffers.size()), t, Space::reg, int64_t(lanes) * lanes, lanes});
  auto over = [&](bool load) { // rows along one axis, lanes along the other
    IndexVar row = l.kernel.var(lanes), lane = l.kernel.var(lanes);
    Index x = Index(cb) * lanes + Index(load ? lane : row), y = Index(jb) * lanes + Index(load ? row : lane);
    l.pull.clear();
    Stmt s = std::move(l.store_results(nest.at({{across.id, x}, {last.id, y}}).out)[0]);
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
  auto rest = [&](int64_t first, int64_t columns_left, int64_t from, int64_t left) {
    if (!columns_left || !left) return;
    IndexVar x = l.kernel.var(columns_left), y = l.kernel.var(left);
    std::vector<Axis> outer(nest.axes.begin(), nest.axes.end() - 1);
    outer[w].var = x;
    append_vectors(out, l, nest.at({{across.id, Index(x) + first}, {last.id, Index(y) + from}}), y, outer);
  };
  rest(columns * lanes, across.extent - columns * lanes, 0, last.extent);
  rest(0, columns * lanes, blocks * lanes, last.extent - blocks * lanes);
  return out;
}

std::vector<Stmt> lower_pointwise(Lowering &l) {
  Type domain = l.domain();
  if (domain.size() == 0) return {};
  Nest nest(l.kernel, dims_of(domain.shape), {});
  Index store;
  auto places = [&] {
    std::vector<Index> stores = l.result_places(nest.out);
    store = stores[0];
    return accesses(l, nest).with(std::move(stores));
  };
  nest.settle(l.kernel, places, [&](const Axis &a) { return store.coefficient(a.var.id).value_or(0); });
  l.pull.clear();
  if (nest.axes.empty()) return wrap_parallel({}, l.store_results(nest.out));
  if (std::optional<size_t> w = turned_axis(l, nest)) return lower_turned(l, nest, *w);
  // A long last axis is cut into blocks where the others are too few to share among threads.
  constexpr int64_t kBlock = 2048;
  IndexVar inner = nest.axes.back().var;
  std::vector<Axis> outer(nest.axes.begin(), nest.axes.end() - 1);
  int64_t trip = 1;
  for (const Axis &a : outer) trip *= a.var.extent;
  std::vector<Stmt> out;
  int64_t blocks = trip < 8 && inner.extent >= 2 * kBlock ? inner.extent / kBlock : 0,
          left = inner.extent - blocks * kBlock;
  if (blocks) {
    IndexVar b = l.kernel.var(blocks), j = l.kernel.var(kBlock);
    std::vector<Axis> axes = outer;
    axes.push_back({b, false});
    append_vectors(out, l, nest.at({{inner.id, Index(b) * kBlock + Index(j)}}), j, axes);
  }
  if (left) {
    IndexVar j = l.kernel.var(left);
    append_vectors(out, l, nest.at({{inner.id, Index(j) + blocks * kBlock}}), j, outer);
  }
  return out;
}

} // namespace trellis

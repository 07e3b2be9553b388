// Pointwise groups: one nest over the results' elements, in the order of their storage.
#include "compiler/loops/lower.h"
#include <algorithm>
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

std::vector<Stmt> lower_pointwise(Lowering &l) {
  Type domain = l.domain();
  if (domain.size() == 0) return {};
  Nest nest = settle(l, dims_of(domain.shape));
  if (nest.axes.empty()) return wrap_parallel({}, l.store_results(nest.out));
  // A long last axis is cut into blocks where the others are too few to share among threads.
  constexpr int64_t kBlock = 2048;
  IndexVar inner = nest.axes.back().var;
  nest.axes.pop_back();
  int64_t trip = 1;
  for (const Axis &a : nest.axes) trip *= a.var.extent;
  std::vector<Stmt> out;
  auto nest_over = [&](const Index &base, IndexVar j, std::vector<Axis> axes) {
    std::vector<Index> at = nest.out;
    for (Index &e : at) e = e.substitute([&](IndexVar v) { return v.id == inner.id ? std::optional<Index>(base + Index(j)) : std::nullopt; });
    l.pull.clear();
    std::vector<Stmt> body;
    body.push_back(make_loop(Stmt::Loop::vector, j, l.store_results(at), l.lanes()));
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

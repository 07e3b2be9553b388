#include "compiler/loops/nest.h"
#include <algorithm>

namespace trellis {

Nest::Nest(Kernel &k, const std::vector<int64_t> &out_dims, const std::vector<int64_t> &red_dims) {
  auto add = [&](int64_t extent, bool reduce, std::vector<Index> &into) {
    IndexVar v = k.var(extent);
    if (extent != 1) axes.push_back({v, reduce});
    into.push_back(Index(v));
  };
  for (int64_t d : out_dims) add(d, false, out);
  for (int64_t d : red_dims) add(d, true, red);
}

Nest Nest::at(const std::vector<std::pair<int, Index>> &values) const {
  Nest n = *this;
  auto map = [&](IndexVar v) -> std::optional<Index> {
    for (const auto &[id, by] : values)
      if (id == v.id) return by;
    return std::nullopt;
  };
  for (auto *part : {&n.out, &n.red})
    for (Index &e : *part) e = e.substitute(map);
  return n;
}

void Nest::split(Kernel &kernel, size_t a, int64_t k) {
  Axis axis = axes[a];
  IndexVar outer = kernel.var(axis.var.extent / k), inner = kernel.var(k);
  *this = at({{axis.var.id, Index(outer) * k + Index(inner)}});
  axes[a].var = inner;
  if (outer.extent > 1) axes.insert(axes.begin() + std::ptrdiff_t(a), Axis{outer, axis.reduce});
}

void Nest::merge(Kernel &kernel, size_t a) {
  IndexVar x = axes[a].var, y = axes[a + 1].var, both = kernel.var(x.extent * y.extent);
  *this = at({{x.id, Index(both) / y.extent}, {y.id, Index(both) % y.extent}});
  axes[a].var = both;
  axes.erase(axes.begin() + std::ptrdiff_t(a) + 1);
}

void Accesses::add(const Expr *e, const Kernel &k) {
  if (!seen_.insert(e).second) return;
  if (e->kind == Expr::Kind::load && k.buffers[size_t(e->buffer)].space != Space::reg) {
    loads.emplace_back(e->buffer, e->index);
    if (e->dynamic) dynamic = true, add(e->dynamic, k);
  }
  if (e->kind == Expr::Kind::index) others.push_back(e->index);
  for (const IndexGuard &g : e->guards) others.push_back(g.e);
  for (const Expr *a : e->args) add(a, k);
}

Places Accesses::with(std::vector<Index> stores) const {
  for (const auto &[buffer, index] : loads) stores.push_back(index);
  return {std::move(stores), others};
}

// A variable that stands alone under a division or remainder by a divisor of its extent.
static std::optional<std::pair<int, int64_t>> lone_division(const Index &e) {
  for (const IndexTerm &t : e.terms()) {
    const IndexAtom &a = *t.atom;
    if (a.kind == IndexAtom::Kind::var) continue;
    const auto &inner = a.arg->terms();
    if (inner.size() == 1 && a.arg->constant() == 0 && inner[0].coef == 1 &&
        inner[0].atom->kind == IndexAtom::Kind::var) {
      IndexVar v = inner[0].atom->var;
      if (v.extent % a.k == 0 && a.k > 1 && a.k < v.extent) return std::pair(v.id, a.k);
    }
    if (auto deeper = lone_division(*a.arg)) return deeper;
  }
  return std::nullopt;
}

std::optional<std::pair<size_t, int64_t>> Nest::wanted_split(const std::vector<Index> &places) const {
  for (const Index &e : places)
    if (auto found = lone_division(e))
      for (size_t a = 0; a < axes.size(); ++a)
        if (axes[a].var.id == found->first) return std::pair(a, found->second);
  return std::nullopt;
}

bool Nest::mergeable(size_t a, const Places &places) const {
  if (axes[a].reduce != axes[a + 1].reduce) return false;
  IndexVar x = axes[a].var, y = axes[a + 1].var;
  for (const Index &e : places.others)
    if (e.uses(x.id) || e.uses(y.id)) return false;
  for (const Index &e : places.memory) {
    auto cx = e.coefficient(x.id), cy = e.coefficient(y.id);
    if (!cx || !cy || *cx != *cy * y.extent) return false;
  }
  return true;
}

void Nest::settle(Kernel &kernel, const std::function<Places()> &places,
                  const std::function<int64_t(const Axis &)> &weight) {
  Places now = places();
  for (;;) {
    auto s = wanted_split(now.memory);
    if (!s) s = wanted_split(now.others);
    if (!s) break;
    split(kernel, s->first, s->second), now = places();
  }
  std::stable_sort(axes.begin(), axes.end(), [&](const Axis &x, const Axis &y) {
    return x.reduce != y.reduce ? y.reduce : weight(x) > weight(y);
  });
  for (size_t i = 0; i + 1 < axes.size();)
    if (mergeable(i, now))
      merge(kernel, i), now = places();
    else
      ++i;
}

} // namespace trellis

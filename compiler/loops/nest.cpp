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

void Nest::substitute(int id, const Index &by) {
  auto map = [&](IndexVar v) -> std::optional<Index> { return v.id == id ? std::optional<Index>(by) : std::nullopt; };
  for (Index &e : out) e = e.substitute(map);
  for (Index &e : red) e = e.substitute(map);
}

void Nest::split(Kernel &kernel, size_t a, int64_t k) {
  Axis axis = axes[a];
  IndexVar outer = kernel.var(axis.var.extent / k), inner = kernel.var(k);
  substitute(axis.var.id, Index(outer) * k + Index(inner));
  axes[a].var = inner;
  if (outer.extent > 1) axes.insert(axes.begin() + std::ptrdiff_t(a), Axis{outer, axis.reduce});
}

void Nest::merge(Kernel &kernel, size_t a) {
  IndexVar x = axes[a].var, y = axes[a + 1].var, both = kernel.var(x.extent * y.extent);
  substitute(x.id, Index(both) / y.extent);
  substitute(y.id, Index(both) % y.extent);
  axes[a].var = both;
  axes.erase(axes.begin() + std::ptrdiff_t(a) + 1);
}

void Nest::reorder(const std::vector<size_t> &order) {
  std::vector<Axis> sorted;
  for (size_t i : order) sorted.push_back(axes[i]);
  axes = std::move(sorted);
}

std::optional<size_t> Nest::find(int id) const {
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i].var.id == id) return i;
  return std::nullopt;
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

std::vector<Index> Accesses::places(const std::vector<Index> &more) const {
  std::vector<Index> out = more;
  for (const auto &[buffer, index] : loads) out.push_back(index);
  return out;
}
std::vector<Index> Accesses::all(const std::vector<Index> &more) const {
  std::vector<Index> out = places(more);
  out.insert(out.end(), others.begin(), others.end());
  return out;
}

static std::optional<std::pair<int, int64_t>> lone_division(const Index &e) {
  for (const IndexTerm &t : e.terms()) {
    const IndexAtom &a = *t.atom;
    if (a.kind == IndexAtom::Kind::var) continue;
    const auto &inner = a.arg->terms();
    if (inner.size() == 1 && a.arg->constant() == 0 && inner[0].coef == 1 && inner[0].atom->kind == IndexAtom::Kind::var) {
      IndexVar v = inner[0].atom->var;
      if (v.extent % a.k == 0 && a.k > 1 && a.k < v.extent) return std::pair(v.id, a.k);
    }
    if (auto deeper = lone_division(*a.arg)) return deeper;
  }
  return std::nullopt;
}

std::optional<std::pair<size_t, int64_t>> wanted_split(const Nest &n, const std::vector<Index> &places) {
  for (const Index &e : places)
    if (auto found = lone_division(e))
      if (auto axis = n.find(found->first)) return std::pair(*axis, found->second);
  return std::nullopt;
}

bool mergeable(const Nest &n, size_t a, const std::vector<Index> &places, const std::vector<Index> &others) {
  if (n.axes[a].reduce != n.axes[a + 1].reduce) return false;
  IndexVar x = n.axes[a].var, y = n.axes[a + 1].var;
  for (const Index &e : others)
    if (e.uses(x.id) || e.uses(y.id)) return false;
  for (const Index &e : places) {
    auto cx = e.coefficient(x.id), cy = e.coefficient(y.id);
    if (!cx || !cy || *cx != *cy * y.extent) return false;
  }
  return true;
}

} // namespace trellis

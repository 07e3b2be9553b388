#include "compiler/loops/lower.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

Type Lowering::domain() const { return group.anchor ? group.anchor->type() : group.results[0].type(); }

int Lowering::lanes() const {
  int bytes = 4;
  for (Value v : group.results) bytes = std::max(bytes, size_of(v.dtype()));
  return machine.lanes(bytes);
}

std::vector<Stmt> Lowering::store_results(const std::vector<Index> &index) {
  // Last results first: one that is computed from another's operands reads them before they are overwritten in place.
  std::vector<Stmt> out;
  for (size_t i = group.results.size(); i-- > 0;) {
    Value r = group.results[i];
    std::vector<Index> at = pull.result_index(r, index);
    const Expr *e = pull.at(r, at);
    out.push_back(make_store(pull.slot(r), pull.layout(r).offset(at), e));
  }
  return out;
}

std::vector<Index> Lowering::result_places(const std::vector<Index> &index) {
  std::vector<Index> out;
  for (Value r : group.results) out.push_back(pull.layout(r).offset(pull.result_index(r, index)));
  return out;
}

std::vector<Stmt> wrap_parallel(const std::vector<Axis> &axes, std::vector<Stmt> body, int64_t enough) {
  int64_t trip = 1;
  size_t parallel = 0;
  while (parallel < axes.size() && trip < enough) trip *= axes[parallel++].var.extent;
  for (size_t i = axes.size(); i-- > 0;) {
    std::vector<Stmt> level;
    level.push_back(make_loop(i < parallel ? Stmt::Loop::parallel : Stmt::Loop::serial, axes[i].var, std::move(body)));
    body = std::move(level);
  }
  if (axes.empty()) { // one nest, not many
    std::vector<Stmt> level;
    level.push_back(make_loop(Stmt::Loop::parallel, {-1, 1}, std::move(body)));
    return level;
  }
  return body;
}

LoweredGroup lower_group(const Fusion &f, const Group &g, const Machine &m, const LayoutOf &layout, std::string name) {
  LoweredGroup out;
  out.kernel.name = std::move(name);
  Pull pull(out.kernel, f, g, layout);
  for (Value r : g.results) pull.slot(r);
  for (Value r : g.reads) pull.slot(r);
  Lowering l{out.kernel, pull, g, m};
  if (!g.anchor)
    out.kernel.body = lower_pointwise(l);
  else if (g.anchor->op == Op::reduce)
    out.kernel.body = lower_reduction(l);
  else if (g.anchor->info().kind == OpKind::contraction)
    out.kernel.body = lower_contraction(l);
  else if (g.anchor->op == Op::cumulative)
    out.kernel.body = lower_cumulative(l);
  else if (g.anchor->op == Op::scatter)
    out.kernel.body = lower_scatter(l);
  else
    throw CompileError(g.anchor->loc, fmt::format("{}: native code for this op is not supported; `--interpret` runs it",
                                                  trellis::name(g.anchor->op)));
  out.slots = pull.slots();
  return out;
}

} // namespace trellis

// Groups as kernel trees.
#pragma once
#include "compiler/loops/machine.h"
#include "compiler/loops/nest.h"
#include "compiler/loops/pull.h"

namespace trellis {

struct LoweredGroup {
  Kernel kernel;
  Values slots; ///< the kernel's arguments
};

/// The kernel of one group. Throws a located CompileError for an op that has no lowering.
LoweredGroup lower_group(const Fusion &f, const Group &g, const Machine &m, const LayoutOf &layout, std::string name);

/// What the parts of the lowering share.
struct Lowering {
  Kernel &kernel;
  Pull &pull;
  const Group &group;
  const Machine &machine;

  /// Stores every result of the group at the position `index` of its domain.
  std::vector<Stmt> store_results(const std::vector<Index> &index);
  /// Where results are stored, for analysis.
  std::vector<Index> result_places(const std::vector<Index> &index);
  /// Lanes for the widest element type of the group.
  int lanes() const;
  Type domain() const;
};

std::vector<Stmt> lower_pointwise(Lowering &l);
std::vector<Stmt> lower_reduction(Lowering &l);
std::vector<Stmt> lower_contraction(Lowering &l);
std::vector<Stmt> lower_scatter(Lowering &l);
std::vector<Stmt> lower_cumulative(Lowering &l);

/// Wraps `body` in loops over `axes`, the first outermost; the leading ones are parallel until `enough` iterations.
std::vector<Stmt> wrap_parallel(const std::vector<Axis> &axes, std::vector<Stmt> body, int64_t enough = 64);

} // namespace trellis

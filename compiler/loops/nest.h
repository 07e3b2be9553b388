// The iteration space of a kernel: axes, and the logical indices of the result and of the reduction as expressions
// over them. Axes are split where a layout needs it (n = 8 a + b, where storage has n / 8 and n % 8) and merged where
// neighbours are contiguous in every access, so that schedules see few, long, linear axes.
#pragma once
#include "compiler/loops/tree.h"
#include <unordered_set>

namespace trellis {

struct Axis {
  IndexVar var;
  bool reduce = false;
};

struct Nest {
  std::vector<Axis> axes;   ///< outermost first; result axes before reduced ones
  std::vector<Index> out;   ///< logical index of the result
  std::vector<Index> red;   ///< position in the reduced axes
  /// An axis for each dim; those of extent 1 vanish.
  Nest(Kernel &k, const std::vector<int64_t> &out_dims, const std::vector<int64_t> &red_dims);
  /// axis = k * outer + inner. The extent is a multiple of k.
  void split(Kernel &kernel, size_t axis, int64_t k);
  /// Axes `a` and `a + 1` become one.
  void merge(Kernel &kernel, size_t a);
  void reorder(const std::vector<size_t> &order);
  std::optional<size_t> find(int var_id) const;

private:
  void substitute(int var_id, const Index &by);
};

/// Every place that an expression touches.
struct Accesses {
  std::vector<std::pair<int, Index>> loads; ///< buffer, index; registers are left out
  std::vector<Index> others;                ///< guards and indices used as values
  bool dynamic = false;
  void add(const Expr *e, const Kernel &k);
  /// Indices of loads and others, and `more`: what splits are wanted for.
  std::vector<Index> all(const std::vector<Index> &more) const;
  std::vector<Index> places(const std::vector<Index> &more) const;

private:
  std::unordered_set<const Expr *> seen_;
};

/// An axis that stands alone under a division or remainder by k, a divisor of its extent.
std::optional<std::pair<size_t, int64_t>> wanted_split(const Nest &n, const std::vector<Index> &places);
/// Whether axes a and a + 1 are contiguous in every place.
bool mergeable(const Nest &n, size_t a, const std::vector<Index> &places, const std::vector<Index> &others);

} // namespace trellis

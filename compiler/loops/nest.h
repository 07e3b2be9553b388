// The iteration space of a kernel: axes, and the logical indices of the result and of the reduction as expressions
// over them. Axes are split where a layout needs it (n = 8 a + b, where storage has n / 8 and n % 8) and merged where
// neighbours are contiguous in every access, so that schedules see few, long, linear axes.
#pragma once
#include "compiler/loops/tree.h"
#include <functional>
#include <unordered_set>

namespace trellis {

struct Axis {
  IndexVar var;
  bool reduce = false;
};

/// What the statements of a nest touch, for the nest as it stands.
struct Places {
  std::vector<Index> memory; ///< stores and loads; registers are left out
  std::vector<Index> others; ///< guards, and indices used as values
};

struct Nest {
  std::vector<Axis> axes; ///< outermost first; result axes before reduced ones
  std::vector<Index> out; ///< logical index of the result
  std::vector<Index> red; ///< position in the reduced axes
  /// An axis for each dim; those of extent 1 vanish.
  Nest(Kernel &k, const std::vector<int64_t> &out_dims, const std::vector<int64_t> &red_dims);
  /// Splits axes until every place is linear, sorts them (results before reduced ones, then by `weight`, the largest
  /// first) and merges neighbours that are contiguous in every place. `places` is asked anew after each change.
  void settle(Kernel &kernel, const std::function<Places()> &places,
              const std::function<int64_t(const Axis &)> &weight);
  /// The same nest with variables, by id, replaced.
  Nest at(const std::vector<std::pair<int, Index>> &values) const;

private:
  /// axis = k * outer + inner. The extent is a multiple of k.
  void split(Kernel &kernel, size_t axis, int64_t k);
  /// Axes `a` and `a + 1` become one.
  void merge(Kernel &kernel, size_t a);
  std::optional<std::pair<size_t, int64_t>> wanted_split(const std::vector<Index> &places) const;
  bool mergeable(size_t a, const Places &places) const;
};

/// Every place that expressions touch.
struct Accesses {
  std::vector<std::pair<int, Index>> loads; ///< buffer, index; registers are left out
  std::vector<Index> others;                ///< guards and indices used as values
  bool dynamic = false;
  void add(const Expr *e, const Kernel &k);
  Places with(std::vector<Index> stores) const;

private:
  std::unordered_set<const Expr *> seen_;
};

} // namespace trellis

// Schedules of contractions: which axis fills the lanes, which axes are tiled in registers, and what it costs.
#pragma once
#include "compiler/loops/machine.h"
#include "compiler/loops/nest.h"

namespace trellis {

/// How the two operands and the result move along one axis; null: not linear.
struct AxisStrides {
  Axis axis;
  std::optional<int64_t> a, b, store;
};

struct ContractionSchedule {
  int lane_axis = -1; ///< number in the axes; a result axis (lanes are results) or a reduced one (lanes are chains)
  bool lanes_reduce = false;
  int row_axis = -1;    ///< result axis tiled by `rows`; -1: none
  int column_axis = -1; ///< lanes_reduce: result axis tiled by `vectors`
  int rows = 1, vectors = 1;
  bool pack = false; ///< the operand that moves with the lanes is copied to a panel first
  double cycles = 0; ///< estimate for the whole contraction on one thread
};

/// The cheapest schedule by the model: multiply-adds at two a cycle, loads at two a cycle, a latency of four, what
/// remainders waste. `lanes` elements fill a register.
ContractionSchedule choose_schedule(const std::vector<AxisStrides> &axes, const Machine &m, int lanes,
                                    int64_t element_bytes);

/// `extent` in tiles of at most `most`, as even as can be: `first` tiles of `size`, then `rest` tiles of `size - 1`.
struct EvenSplit {
  int64_t size = 0, first = 0, rest = 0;
};
EvenSplit split_evenly(int64_t extent, int64_t most);

} // namespace trellis

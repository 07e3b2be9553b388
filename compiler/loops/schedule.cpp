#include "compiler/loops/contraction.h"
#include <algorithm>
#include <cmath>

namespace trellis {

EvenSplit split_evenly(int64_t extent, int64_t most) {
  int64_t tiles = (extent + most - 1) / most, size = (extent + tiles - 1) / tiles;
  int64_t rest = tiles * size - extent;
  return {size, tiles - rest, rest};
}

namespace {

struct Chooser {
  const std::vector<AxisStrides> &axes;
  const Machine &machine;
  int lanes;
  int64_t bytes;
  double steps = 1;  // reduction steps of one result
  double points = 1; // results

  ContractionSchedule best{.cycles = INFINITY};

  int64_t extent(int axis) const { return axis < 0 ? 1 : axes[size_t(axis)].axis.var.extent; }

  // Loads that one operand needs in a reduction step of a tile; strided lanes are gathered one by one.
  double loads(std::optional<int64_t> lane_stride, bool rows_move, int rows, int vectors) const {
    int times = rows_move ? rows : 1;
    if (lane_stride == 0) return times;
    if (lane_stride == 1) return times * vectors;
    return double(times) * vectors * lanes * 1.5;
  }

  double step_cycles(double fmas, double loaded) const {
    double issue = (fmas + loaded + 3) / 5.5; // micro-ops a cycle
    return std::max({fmas / 2, loaded / 2, issue, 4.0}) + (fmas < 8 ? 0.1 : 0);
  }

  // Elements of an operand that a tile touches over the whole reduction. A tiled axis that slides along a reduced one
  // (the taps of a convolution over its pixels) touches little more than one position does.
  double footprint(bool a, int tiled, int64_t count) const {
    double elements = 1;
    auto moves = [&](int i) { return i < 0 ? 0 : std::abs((a ? axes[size_t(i)].a : axes[size_t(i)].b).value_or(1)); };
    double slide = 0;
    for (size_t i = 0; i < axes.size(); ++i) {
      if (!axes[i].axis.reduce || !moves(int(i))) continue;
      elements *= double(extent(int(i)));
      if (moves(int(i)) == moves(tiled)) slide = double(extent(int(i)));
    }
    if (!moves(tiled)) return elements;
    return slide ? elements * (1 + double(count - 1) / slide) : elements * double(count);
  }
  // Cycles that a tile waits for operands from L2: what streams at 24 bytes a cycle hides behind arithmetic.
  double traffic(double elements, double arithmetic) const {
    double size = elements * double(bytes);
    return size > double(machine.l1_bytes) ? std::max(0.0, size / 24 - 0.75 * arithmetic) : 0;
  }

  void consider(ContractionSchedule s, double cycles) {
    s.cycles = cycles;
    if (cycles < best.cycles) best = s;
  }

  // Lanes along result axis `v`, `rows` along `t`.
  void result_lanes(int v, int t) {
    const AxisStrides &lane = axes[size_t(v)];
    if (!lane.a || !lane.b || !lane.store) return;
    bool a_moves = *lane.a != 0, b_moves = *lane.b != 0;
    const AxisStrides *row = t < 0 ? nullptr : &axes[size_t(t)];
    if (row && (!row->a || !row->b)) return;
    int64_t chunks = extent(v) / lanes, tail = extent(v) % lanes;
    double others = points / double(extent(v)) / double(extent(t));
    for (int rows = 1; rows <= std::min<int64_t>(t < 0 ? 1 : 12, extent(t)); ++rows)
      for (int vectors = 1; vectors <= std::min<int64_t>(12, std::max<int64_t>(chunks, 1)); ++vectors) {
        bool a_rows = row && *row->a != 0, b_rows = row && *row->b != 0;
        // Registers: the accumulators, one operand's vectors held over the rows, the other's current element.
        int held = a_moves && !a_rows ? vectors : b_moves && !b_rows ? vectors : 1;
        if (rows * vectors + std::min(held, vectors) + 1 > machine.registers) continue;
        auto tile = [&](int r, int n, bool pack) {
          std::optional<int64_t> sa = pack && a_moves ? 1 : lane.a, sb = pack && b_moves ? 1 : lane.b;
          double loaded = loads(sa, a_rows, r, n) + loads(sb, b_rows, r, n);
          double store = *lane.store == 1 ? 1.5 : 1.5 * lanes;
          double touched = footprint(true, a_rows ? t : -1, r) * (a_moves ? double(n) * lanes : 1) +
                           footprint(false, b_rows ? t : -1, r) * (b_moves ? double(n) * lanes : 1);
          double arithmetic = steps * step_cycles(double(r) * n, loaded);
          return arithmetic + traffic(touched, arithmetic) + r * n * (1 + store) + 12;
        };
        for (bool pack : {false, true}) {
          int64_t moving = a_moves && !b_moves ? *lane.a : b_moves && !a_moves ? *lane.b : 1;
          bool one_moves = a_moves != b_moves;
          // A panel serves all rows: its operand must not move with them. It is worth it where the operand is not in order
          // already.
          bool panel_moves = a_moves ? a_rows : b_rows;
          if (pack && (!one_moves || panel_moves || others > 1 || (moving == 1 && panel_order(v, vectors)))) continue;
          EvenSplit tr = split_evenly(extent(t), rows);
          double total = 0;
          auto columns = [&](int r) {
            double c = 0;
            if (chunks) {
              EvenSplit tv = split_evenly(chunks, vectors);
              c += double(tv.first) * tile(r, int(tv.size), pack) +
                   (tv.rest ? double(tv.rest) * tile(r, int(tv.size - 1), pack) : 0);
            }
            return c + (tail ? tile(r, 1, pack) : 0);
          };
          total +=
              double(tr.first) * columns(int(tr.size)) + (tr.rest ? double(tr.rest) * columns(int(tr.size - 1)) : 0);
          total *= others;
          double panel = steps * double(extent(v)) * double(bytes);
          if (pack)
            total += steps * double(chunks + (tail != 0)) * (moving == 1 ? 2.5 : 2.0 * lanes);
          else if (one_moves && moving == 1 && !panel_order(v, vectors) && panel > double(machine.l1_bytes) / 2 &&
                   extent(t) > 4 * rows)
            total *= 1.12;
          // Of equal tiles, the one whose rows lie closer together.
          double apart = row ? std::log2(1.0 + double(std::abs(a_rows ? *row->a : *row->b))) : 0;
          consider({.lane_axis = v, .row_axis = t, .rows = rows, .vectors = vectors, .pack = pack},
                   total * (1 + 1e-4 * apart));
        }
      }
  }

  // Whether consecutive reduction steps of the lanes' operand are neighbours of the tile: no panel would help.
  bool panel_order(int v, int vectors) const {
    const AxisStrides &lane = axes[size_t(v)];
    bool a = lane.a.value_or(0) != 0;
    for (size_t i = axes.size(); i-- > 0;)
      if (axes[i].axis.reduce) {
        int64_t stride = std::abs((a ? axes[i].a : axes[i].b).value_or(1 << 20));
        return stride <= int64_t(vectors) * lanes || stride <= 2 * lanes;
      }
    return true;
  }

  // Lanes along reduced axis `v`: chains, combined at the end.
  void reduced_lanes(int v, int t, int c) {
    const AxisStrides &lane = axes[size_t(v)];
    if (lane.a != 1 || lane.b != 1) return;
    if (t >= 0 && axes[size_t(t)].b != 0) return; // rows move a alone, columns b alone
    if (c >= 0 && axes[size_t(c)].a != 0) return;
    double others = points / double(extent(t)) / double(extent(c));
    int64_t whole = extent(v) / lanes, tail = extent(v) % lanes;
    if (!whole) return;
    for (int rows = 1; rows <= std::min<int64_t>(6, extent(t)); ++rows)
      for (int columns = 1; columns <= std::min<int64_t>(6, extent(c)); ++columns) {
        if (rows * columns + std::min(rows, columns) + 1 > machine.registers) continue;
        auto tile = [&](int64_t r, int64_t n) {
          double work =
              steps / double(extent(v)) *
              (double(whole) * step_cycles(double(r * n), double(r + n)) + double(tail) * std::max(4.0, double(r * n)));
          return work + traffic(footprint(true, t, r) + footprint(false, c, n), work) +
                 double(r * n) * (8 + (tail ? 2 : 0)) + 12;
        };
        EvenSplit tr = split_evenly(extent(t), rows), tc = split_evenly(extent(c), columns);
        double total = 0;
        for (auto [r, nr] : {std::pair(tr.size, tr.first), std::pair(tr.size - 1, tr.rest)})
          for (auto [n, nc] : {std::pair(tc.size, tc.first), std::pair(tc.size - 1, tc.rest)})
            if (nr && nc) total += double(nr) * double(nc) * tile(r, n);
        consider(
            {.lane_axis = v, .lanes_reduce = true, .row_axis = t, .column_axis = c, .rows = rows, .vectors = columns},
            total * others);
      }
  }

  ContractionSchedule run() {
    std::vector<int> results{-1};
    for (size_t i = 0; i < axes.size(); ++i) {
      (axes[i].axis.reduce ? steps : points) *= double(extent(int(i)));
      if (!axes[i].axis.reduce) results.push_back(int(i));
    }
    for (int v = 0; v < int(axes.size()); ++v) {
      if (!axes[size_t(v)].axis.reduce) {
        for (int t : results)
          if (t != v) result_lanes(v, t);
        continue;
      }
      for (int t : results)
        for (int c : results)
          if (t != c || t < 0) reduced_lanes(v, t, c);
    }
    return best;
  }
};

} // namespace

ContractionSchedule choose_schedule(const std::vector<AxisStrides> &axes, const Machine &m, int lanes,
                                    int64_t element_bytes) {
  return Chooser{axes, m, lanes, element_bytes}.run();
}

} // namespace trellis

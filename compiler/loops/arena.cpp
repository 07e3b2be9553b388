// Offsets in the arena: greedy by size (Pisarchyk and Lee, 2020: within a few per cent of the lower bound on networks).
#include "compiler/loops/plan.h"
#include <algorithm>
#include <numeric>

namespace trellis {

int64_t assign_offsets(std::vector<ArenaRequest> &requests) {
  constexpr int64_t kAlign = 64;
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return requests[a].bytes > requests[b].bytes; });
  std::vector<size_t> placed; // by offset
  int64_t total = 0;
  for (size_t i : order) {
    ArenaRequest &r = requests[i];
    int64_t at = 0, size = (r.bytes + kAlign - 1) / kAlign * kAlign;
    for (size_t p : placed) {
      const ArenaRequest &o = requests[p];
      if (o.last < r.first || r.last < o.first) continue;
      if (at + size <= o.offset) break;
      at = std::max(at, (o.offset + o.bytes + kAlign - 1) / kAlign * kAlign);
    }
    r.offset = at;
    total = std::max(total, at + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](size_t x, size_t y) { return requests[x].offset < requests[y].offset; }),
                  i);
  }
  return total;
}

} // namespace trellis

#include "passes/dce.h"

namespace trellis {

GraphPtr dce(const Graph &g) {
  return rebuild(g, [](const Node &) { return Values{}; });
}

} // namespace trellis

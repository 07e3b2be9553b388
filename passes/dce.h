// Dead code: what no output or update reaches is left behind. Declared inputs stay, used or not.
#pragma once
#include "passes/pass.h"

namespace trellis {

/// A compact copy: ids are dense, in the order of the nodes in g.
GraphPtr dce(const Graph &g);

} // namespace trellis

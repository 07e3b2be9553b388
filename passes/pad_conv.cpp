#include "passes/pad_conv.h"
#include "ir/build.h"
#include "ir/ops/ops.h"

namespace trellis {

GraphPtr pad_conv(const Graph &g) {
  return rebuild(g, [](const Node &n) -> Values {
    if (n.op != Op::conv) return {};
    ops::ConvDims d = ops::conv_dims(n);
    std::vector<int64_t> lo{0, 0}, hi{0, 0}, interior{0, 0};
    bool any = false;
    for (size_t i = 0; i < size_t(d.spatial); ++i) {
      any |= d.lo[i] || d.hi[i] || d.input_dilation[i] != 1;
      lo.push_back(d.lo[i]), hi.push_back(d.hi[i]), interior.push_back(d.input_dilation[i] - 1);
    }
    if (!any) return {};
    return {conv(pad(n.operands[0], lo, hi, interior), n.operands[1], {.stride = d.stride, .lo = {}, .hi = {}, .dilation = d.dilation, .input_dilation = {}, .groups = d.groups})};
  });
}

} // namespace trellis

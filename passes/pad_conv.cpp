#include "passes/pad_conv.h"
#include "ir/build.h"
#include "ir/ops/ops.h"

namespace trellis {

// pad(v) with the pad moved below permutes and reshapes that keep the padded axes, so that a convolution and its
// gradients share one padded tensor.
static Value pad_below(Value v, const std::vector<int64_t> &lo, const std::vector<int64_t> &hi,
                       const std::vector<int64_t> &interior) {
  const Node &n = *v.node;
  using Ints = std::vector<int64_t>;
  if (n.op == Op::permute) {
    const Ints &perm = n.attrs.ints(Attr::perm);
    Ints l(perm.size()), h(perm.size()), i(perm.size());
    for (size_t k = 0; k < perm.size(); ++k)
      l[size_t(perm[k])] = lo[k], h[size_t(perm[k])] = hi[k], i[size_t(perm[k])] = interior[k];
    return permute(pad_below(n.operands[0], l, h, i), perm);
  }
  if (n.op == Op::reshape) {
    const Shape &to = v.shape(), &from = n.operands[0].shape();
    Ints l(from.size()), h(from.size()), i(from.size());
    bool ok = true;
    int64_t behind = 1;
    for (size_t k = to.size(); k-- > 0 && ok; behind *= to[k].value()) {
      if (!lo[k] && !hi[k] && !interior[k]) continue;
      int64_t seen = 1;
      ok = false;
      for (size_t a = from.size(); a-- > 0 && !ok; seen *= from[a].value())
        if (seen == behind && from[a].value() == to[k].value())
          l[a] = lo[k], h[a] = hi[k], i[a] = interior[k], ok = true;
    }
    if (ok) {
      Value inner = pad_below(n.operands[0], l, h, i);
      Shape padded = to;
      for (size_t k = 0; k < to.size(); ++k)
        padded[k] = to[k].value() + std::max<int64_t>(to[k].value() - 1, 0) * interior[k] + lo[k] + hi[k];
      return reshape(inner, padded);
    }
  }
  return pad(v, lo, hi, interior);
}

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
    return {conv(
        pad_below(n.operands[0], lo, hi, interior), n.operands[1],
        {.stride = d.stride, .lo = {}, .hi = {}, .dilation = d.dilation, .input_dilation = {}, .groups = d.groups})};
  });
}

} // namespace trellis

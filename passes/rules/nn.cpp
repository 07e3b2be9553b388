// Contractions and their surroundings.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include "passes/rules/rules.h"
#include <cmath>

namespace trellis {

namespace {
using Ints = std::vector<int64_t>;
namespace p = pattern;
const Pattern x = Pattern::variable(0), w = Pattern::variable(1);

// A convolution pads with zeros itself. Not exact: an infinite weight meets a zero of the border or none.
Value conv_of_pad(const Match &m) {
  const Node &border = *m.root.node->operands[0].node, &n = *m.root.node;
  if (border.attrs.has(Attr::interior)) return {};
  const Ints &lo = border.attrs.ints(Attr::lo), &hi = border.attrs.ints(Attr::hi);
  if (lo[0] || hi[0] || lo[1] || hi[1]) return {};
  size_t s = lo.size() - 2;
  Attrs a = n.attrs;
  if (a.has(Attr::input_dilation)) return {};
  Ints before = a.get_or<Ints>(Attr::lo, Ints(s, 0)), after = a.get_or<Ints>(Attr::hi, Ints(s, 0));
  for (size_t k = 0; k < s; ++k) {
    if ((lo[k + 2] < 0 && before[k] > 0) || (hi[k + 2] < 0 && after[k] > 0)) return {};
    before[k] += lo[k + 2], after[k] += hi[k + 2];
  }
  a.set(Attr::lo, before), a.set(Attr::hi, after);
  return m.graph().make(Op::conv, {m[x], m[w]}, a);
}
} // namespace

const std::vector<Rule> &nn_rules() {
  static const std::vector<Rule> rules = {
      {"conv-pad", p::conv(p::pad(x, 0.0), w), conv_of_pad, Exactness::finite},
  };
  return rules;
}

const RuleSet &simplify_rules() {
  static const RuleSet rules{&arith_rules(), &movement_rules(), &nn_rules()};
  return rules;
}

} // namespace trellis

#include "compiler/frontend/training_form.h"
#include "compiler/frontend/state.h"
#include "ir/build.h"
#include "passes/pass.h"
#include <algorithm>

namespace trellis {

static bool is_state(Value v) { return v.node->op == Op::input && role_of(v) == "state"; }
static bool is_updated(const Graph &g, Value state) {
  return std::any_of(g.updates.begin(), g.updates.end(), [&](const Update &u) { return u.state.is(state); });
}
static bool is_random(Op op) {
  return op == Op::dropout || op == Op::random_bits || op == Op::random_uniform || op == Op::random_normal;
}

std::unique_ptr<Graph> training_form(const Graph &model) {
  std::vector<Update> running;
  GraphPtr g = rebuild(model, [&](const Node &n) -> Values {
    if (n.op != Op::batch_norm_inference) return {};
    BatchNorm b = batch_norm(n.operands[0], n.operands[1], n.operands[2], n.attrs.get_or<double>(Attr::epsilon, 1e-5));
    double momentum = n.attrs.get_or<double>(Attr::momentum, 0.1);
    double count = double(n.type().size()) / double(std::max<int64_t>(n.type().shape[1], 1));
    Value batch[] = {b.mean, b.var * (count > 1 ? count / (count - 1) : 1)};
    for (int i = 0; i < 2; ++i)
      if (Value state = n.operands[size_t(3 + i)]; is_state(state)) {
        // A layer that is used twice updates twice, in order.
        auto last = std::find_if(running.rbegin(), running.rend(), [&](const Update &u) { return u.state.is(state); });
        bool again = last != running.rend();
        Value old = again ? last->next : state, next = old + (batch[i] - old) * momentum;
        if (again)
          last->next = next;
        else
          running.push_back({state, next});
      }
    return {b.y};
  });
  for (const Update &u : running)
    if (!is_updated(*g, u.state)) g->updates.push_back(u);
  for (const Node *n : g->reachable())
    if (is_random(n->op))
      if (Value seed = n->operands.back(); is_state(seed) && !is_updated(*g, seed))
        g->updates.push_back({seed, seed + 1});
  return g;
}

std::unique_ptr<Graph> inference_form(const Graph &model) {
  GraphPtr g = rebuild(model, [](const Node &n) { return n.op == Op::dropout ? Values{n.operands[0]} : Values{}; });
  g->updates.clear();
  return g;
}

} // namespace trellis

#include "passes/fuse_stored.h"
#include <algorithm>
#include <numeric>

namespace trellis {

bool is_external(Value v) { return v.node->op == Op::input || (v.node->op == Op::constant && !is_immediate(*v.node)); }

namespace {

int64_t elements(const Node &n) { return std::max<int64_t>(n.type().size(), 1); }

// Elements that an inline reduction reads for one of its own.
int64_t fan_in(const Node &n) { return n.operands[0].type().size() / elements(n); }

int own_cost(const Node &n) {
  if (n.op == Op::div || n.op == Op::rem || n.op == Op::sqrt || n.op == Op::pow) return 8;
  if (n.info().kind == OpKind::elementwise) return 1;
  if (n.op == Op::gather) return 4;
  return 0;
}

// Reads other elements of its operand than the one at its own index.
bool moves(const Node &n) { return n.info().kind == OpKind::movement && !is_bijective(n) && n.op != Op::expand; }

class Chooser {
public:
  Chooser(const Graph &g, const std::vector<const Node *> &nodes, const FuseOptions &o, Fusion &out)
      : graph_(g), nodes_(nodes), options_(o), out_(out), users_(g.node_count()), cost_(g.node_count()) {}

  std::unordered_set<const Node *> run() {
    for (const Node *n : nodes_)
      for (Value o : n->operands) users_[o.node->id].push_back(n);
    store_terminals();
    store_shared();
    while (cut_chains()) {
      for (const Node *n : nodes_) set_cost(*n);
      store_shared();
    }
    return std::move(cut_);
  }

private:
  const Graph &graph_;
  const std::vector<const Node *> &nodes_;
  FuseOptions options_;
  Fusion &out_;
  std::vector<std::vector<const Node *>> users_; // by id
  std::vector<int> cost_;                        // of computing one element from what is stored
  std::unordered_set<const Node *> cut_;

  bool loaded(Value v) const { return is_external(v) || out_.stored(v); }

  void set_cost(const Node &n) {
    int64_t cost = own_cost(n);
    for (Value o : n.operands)
      if (!loaded(o)) cost += cost_[o.node->id];
    if (is_inline_reduction(n)) cost = (cost + 1) * fan_in(n);
    cost_[n.id] = int(std::min<int64_t>(cost, 1 << 20));
  }

  // Outputs, anchors and what they want in storage.
  void store_terminals() {
    std::unordered_set<const Node *> terminal;
    for (const NamedValue &o : graph_.outputs) terminal.insert(o.value.node);
    for (const Update &u : graph_.updates) terminal.insert(u.next.node);
    auto force = [&](Value v) {
      v = under_movement(v);
      if (!is_external(v) && !is_immediate(*v.node)) out_.store(v);
    };
    for (const Node *n : nodes_) {
      if (is_anchor(*n)) {
        for (uint32_t i = 0; i < n->types.size(); ++i) out_.store(n->result(i));
        if (takes_storage(*n)) {
          for (Value o : n->operands)
            if (!is_external(o) && !is_immediate(*o.node)) out_.store(o);
        } else if (n->op != Op::reduce && n->op != Op::cumulative)
          for (Value o : n->operands) force(o);
      }
      if (n->op == Op::gather) force(n->operands[0]);
      if (terminal.count(n) && !is_external(n->result())) out_.store(n->result());
      set_cost(*n);
    }
  }

  // Users first: a value that several stored values need, or that a movement multiplies, is stored if it is dear.
  void store_shared() {
    std::vector<const Node *> root(graph_.node_count()); // the one stored value that needs it
    std::vector<bool> many(graph_.node_count());
    for (size_t k = nodes_.size(); k-- > 0;) {
      const Node *n = nodes_[k];
      bool multiplied = false;
      for (const Node *u : users_[n->id]) {
        const Node *r = out_.stored(u->result()) ? u : root[u->id];
        if (!out_.stored(u->result()) && many[u->id])
          many[n->id] = true;
        else if (root[n->id] && r != root[n->id])
          many[n->id] = true;
        if (r) root[n->id] = r;
        if (u->info().kind == OpKind::movement && elements(*u) >= 2 * elements(*n)) multiplied = true;
      }
      if (out_.stored(n->result()) || is_external(n->result()) || n->info().kind == OpKind::source) continue;
      if ((many[n->id] || multiplied) && cost_[n->id] > options_.recompute_limit && n->info().kind != OpKind::movement)
        out_.store(n->result());
    }
  }

  // Elements of each value that are read, at most: fewer than it has where only a slice of it is.
  std::vector<int64_t> demand() const {
    std::vector<int64_t> out(graph_.node_count());
    for (size_t k = nodes_.size(); k-- > 0;) {
      const Node *n = nodes_[k];
      int64_t most = loaded(n->result()) ? elements(*n) : 0;
      for (const Node *u : users_[n->id]) {
        bool alike = u->info().kind == OpKind::elementwise || is_bijective(*u) || u->op == Op::slice;
        most = std::max(most, alike ? out[u->id] : is_inline_reduction(*u) ? out[u->id] * fan_in(*u) : elements(*n));
      }
      out[n->id] = std::min(most, elements(*n));
    }
    return out;
  }

  // Elements of values that are not stored and live on behind each node: where they are few, a chain is cut at least cost.
  std::vector<int64_t> live() const {
    std::vector<int64_t> out(nodes_.size() + 1);
    std::vector<size_t> last(graph_.node_count());
    for (size_t k = 0; k < nodes_.size(); ++k)
      for (Value o : nodes_[k]->operands) last[o.node->id] = k;
    for (size_t k = 0; k < nodes_.size(); ++k)
      if (const Node *n = nodes_[k]; last[n->id] > k && !loaded(n->result()) && !is_immediate(*n))
        out[k] += elements(*n), out[last[n->id]] -= elements(*n);
    std::partial_sum(out.begin(), out.end(), out.begin());
    return out;
  }

  void cut(const Node *n) { out_.store(n->result()), cut_.insert(n); }

  // Kernels that compute a long chain of values take long to compile, and so do those that compute a value at many indices.
  // A value is stored where its chain would grow beyond a limit, where it would be read at the 32nd index (each fork doubles
  // them), and where an inline reduction would compute a long chain for each of its elements.
  bool cut_chains() {
    constexpr int kMostForks = 4, kMostInline = 4; // the latter times deepest_chain
    std::vector<int> depth(graph_.node_count()), forks(graph_.node_count());
    std::vector<size_t> place(graph_.node_count());
    for (size_t k = 0; k < nodes_.size(); ++k) place[nodes_[k]->id] = k;
    std::vector<int64_t> alive = live(), wanted = demand();
    auto deepest = [&](const Node &n) {
      const Node *most = nullptr;
      for (Value o : n.operands)
        if (!loaded(o) && (!most || depth[o.node->id] > depth[most->id])) most = o.node;
      return most;
    };
    auto is_source = [](const Node &n) { return n.info().kind == OpKind::source; };
    auto set_depth = [&](const Node &n) {
      const Node *from = deepest(n);
      depth[n.id] = 1 + (from ? depth[from->id] : 0), forks[n.id] = 0;
      for (Value o : n.operands)
        if (!loaded(o)) forks[n.id] = std::max(forks[n.id], forks[o.node->id]);
      const std::vector<const Node *> &users = users_[n.id];
      bool moved = users.size() > 1 && std::any_of(users.begin(), users.end(), [](const Node *u) { return moves(*u); });
      forks[n.id] += moved || n.op == Op::concat;
      return from;
    };
    bool any = false;
    for (size_t k = 0; k < nodes_.size(); ++k) {
      const Node *n = nodes_[k], *from = set_depth(*n);
      if (is_source(*n) || is_external(n->result())) continue;
      if (from && is_inline_reduction(*n) && !is_source(*from) &&
          depth[from->id] * fan_in(*n) > kMostInline * options_.deepest_chain) {
        cut(from), any = true;
        set_depth(*n);
      }
      if (out_.stored(n->result())) continue;
      if (forks[n->id] > kMostForks) {
        cut(n), any = true;
        continue;
      }
      if (depth[n->id] <= options_.deepest_chain) continue;
      const Node *best = nullptr;
      auto better = [&](const Node &m) {
        if (is_source(m)) return false;
        if (!best) return true;
        bool whole = elements(m) <= 2 * wanted[m.id], best_whole = elements(*best) <= 2 * wanted[best->id];
        return whole != best_whole ? whole : alive[place[m.id]] < alive[place[best->id]];
      };
      for (const Node *m = from; m && depth[m->id] * 2 > options_.deepest_chain; m = deepest(*m))
        if (better(*m)) best = m;
      if (!best) continue;
      cut(best), any = true;
      k = place[best->id]; // what follows is less deep now
    }
    return any;
  }
};

} // namespace

std::unordered_set<const Node *> choose_stored(const Graph &g, const std::vector<const Node *> &nodes,
                                               const FuseOptions &options, Fusion &out) {
  return Chooser(g, nodes, options, out).run();
}

} // namespace trellis

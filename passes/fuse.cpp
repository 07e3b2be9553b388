#include "passes/fuse.h"
#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <numeric>

namespace trellis {

bool is_anchor(const Node &n) {
  OpKind k = n.info().kind;
  return k == OpKind::contraction || (k == OpKind::reduction && !is_inline_reduction(n)) || n.op == Op::scatter ||
         k == OpKind::control || n.types.size() > 1;
}

bool is_inline_reduction(const Node &n) {
  return n.op == Op::reduce && n.operands[0].type().size() <= 16 * std::max<int64_t>(n.type().size(), 1) &&
         n.type().size() > 0;
}

bool is_immediate(const Node &n) {
  if (n.op != Op::constant) return false;
  const Tensor &t = n.attrs.get<Tensor>(Attr::value);
  int64_t e = size_of(t.dtype());
  for (int64_t i = 1; i < t.size(); ++i)
    if (!std::equal(t.data(), t.data() + e, t.data() + i * e)) return false;
  return t.size() > 0;
}

bool takes_storage(const Node &n) { return n.info().kind == OpKind::control || n.op == Op::sort; }

bool is_bijective(const Node &n) { return n.op == Op::reshape || n.op == Op::permute; }

Value under_movement(Value v) {
  while (v.node->op == Op::reshape || v.node->op == Op::permute || v.node->op == Op::slice ||
         v.node->op == Op::expand || v.node->op == Op::window)
    v = v.node->operands[0];
  return v;
}

namespace {

class Fuser {
public:
  Fuser(const Graph &g, const FuseOptions &o) : graph_(g), options_(o), nodes_(g.reachable()) {}

  Fusion run() {
    index_uses();
    choose_stored();
    form_groups();
    join_epilogues();
    join_siblings();
    order_groups();
    return std::move(out_);
  }

private:
  const Graph &graph_;
  FuseOptions options_;
  std::vector<const Node *> nodes_;
  std::vector<std::vector<const Node *>> users_; // by id
  std::vector<int> cost_;
  std::vector<int> group_of_; // by id; -1: none
  Fusion out_;

  bool external(Value v) const {
    return v.node->op == Op::input || (v.node->op == Op::constant && !is_immediate(*v.node));
  }
  bool loaded(Value v) const { return external(v) || out_.stored(v); }

  void index_uses() {
    users_.resize(graph_.node_count()), cost_.resize(graph_.node_count()), group_of_.assign(graph_.node_count(), -1);
    for (const Node *n : nodes_)
      for (Value o : n->operands) users_[o.node->id].push_back(n);
  }

  static int own_cost(const Node &n) {
    if (n.op == Op::div || n.op == Op::rem || n.op == Op::sqrt || n.op == Op::pow) return 8;
    if (n.info().kind == OpKind::elementwise) return 1;
    if (n.op == Op::gather) return 4;
    return 0;
  }

  void choose_stored() {
    std::set<const Node *> terminal;
    for (const NamedValue &o : graph_.outputs) terminal.insert(o.value.node);
    for (const Update &u : graph_.updates) terminal.insert(u.next.node);
    auto force = [&](Value v) {
      v = under_movement(v);
      if (!external(v) && !is_immediate(*v.node)) out_.store(v);
    };
    for (const Node *n : nodes_) {
      if (is_anchor(*n)) {
        for (uint32_t i = 0; i < n->types.size(); ++i) out_.store(n->result(i));
        if (takes_storage(*n)) {
          for (Value o : n->operands)
            if (!external(o) && !is_immediate(*o.node)) out_.store(o);
        } else if (n->op != Op::reduce && n->op != Op::cumulative)
          for (Value o : n->operands) force(o);
      }
      if (n->op == Op::gather) force(n->operands[0]);
      if (terminal.count(n) && !external(n->result())) out_.store(n->result());
      int64_t cost = own_cost(*n);
      for (Value o : n->operands)
        if (!loaded(o)) cost += cost_[o.node->id];
      if (is_inline_reduction(*n))
        cost = (cost + 1) * (n->operands[0].type().size() / std::max<int64_t>(n->type().size(), 1));
      cost_[n->id] = int(std::min<int64_t>(cost, 1 << 20));
    }
    do store_shared();
    while (cut_deep());
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
        if (u->info().kind == OpKind::movement && u->type().size() >= 2 * std::max<int64_t>(n->type().size(), 1))
          multiplied = true;
      }
      if (out_.stored(n->result()) || external(n->result()) || n->info().kind == OpKind::source) continue;
      if ((many[n->id] || multiplied) && cost_[n->id] > options_.recompute_limit && n->info().kind != OpKind::movement)
        out_.store(n->result());
    }
  }

  // Compiling a kernel takes time that grows faster than its chains, and code that computes them. Chains beyond a limit are
  // cut where few values live on, and so are those that an inline reduction would repeat for each of its elements too often.
  bool cut_deep() {
    std::vector<int> live(nodes_.size() + 1), depth(graph_.node_count()), last(graph_.node_count(), -1);
    std::vector<size_t> place(graph_.node_count());
    for (size_t k = 0; k < nodes_.size(); ++k) {
      place[nodes_[k]->id] = k;
      for (Value o : nodes_[k]->operands) last[o.node->id] = int(k);
    }
    for (size_t k = 0; k < nodes_.size(); ++k)
      if (const Node *n = nodes_[k]; last[n->id] >= 0 && !loaded(n->result()) && !is_immediate(*n))
        ++live[k], --live[size_t(last[n->id])];
    std::partial_sum(live.begin(), live.end(), live.begin());
    bool cut = false;
    auto deepest = [&](const Node &n) {
      const Node *most = nullptr;
      for (Value o : n.operands)
        if (!loaded(o) && (!most || depth[o.node->id] > depth[most->id])) most = o.node;
      return most;
    };
    for (size_t k = 0; k < nodes_.size(); ++k) {
      const Node *n = nodes_[k], *from = deepest(*n);
      depth[n->id] = 1 + (from ? depth[from->id] : 0);
      if (from && is_inline_reduction(*n) && from->info().kind != OpKind::source) {
        int64_t elements = n->operands[0].type().size() / n->type().size();
        Value operand = under_movement(from->result());
        if (depth[from->id] * elements > 4 * options_.deepest_chain && !loaded(operand) &&
            operand.node->info().kind != OpKind::source) {
          out_.store(operand), cut = true;
          from = deepest(*n), depth[n->id] = 1 + (from ? depth[from->id] : 0);
        }
      }
      if (depth[n->id] <= options_.deepest_chain || out_.stored(n->result())) continue;
      const Node *best = nullptr;
      for (const Node *m = from; m && depth[m->id] * 2 > options_.deepest_chain; m = deepest(*m))
        if (m->info().kind == OpKind::elementwise && (!best || live[place[m->id]] < live[place[best->id]])) best = m;
      if (!best) continue;
      out_.store(best->result()), cut = true;
      k = place[best->id]; // what follows is less deep now
    }
    return cut;
  }

  void form_groups() {
    for (const Node *n : nodes_) {
      if (external(n->result()) || !out_.stored(n->result())) continue;
      Group g;
      if (is_anchor(*n)) g.anchor = n;
      for (uint32_t i = 0; i < n->types.size(); ++i) g.results.push_back(n->result(i));
      group_of_[n->id] = int(out_.groups.size());
      out_.groups.push_back(std::move(g));
    }
    for (Group &g : out_.groups) collect_reads(g);
  }

  // What the group loads: stored values under its results that are not its own.
  void collect_reads(Group &g) {
    std::set<std::pair<uint32_t, uint32_t>> seen;
    std::vector<Value> reads;
    std::function<void(Value)> visit = [&](Value v) {
      if (is_immediate(*v.node) || !seen.insert({v.node->id, v.index}).second) return;
      bool own = group_of_[v.node->id] >= 0 && &out_.groups[size_t(group_of_[v.node->id])] == &g;
      if (loaded(v) && !own && v.node != g.anchor) {
        reads.push_back(v);
        return;
      }
      for (Value o : v.node->operands) visit(o);
    };
    for (Value r : g.results) visit(r);
    std::sort(reads.begin(), reads.end(),
              [](Value a, Value b) { return std::pair(a.node->id, a.index) < std::pair(b.node->id, b.index); });
    g.reads = std::move(reads);
  }

  // Groups that read what group `from` stores, directly or through others, `from` included.
  std::vector<bool> reached_from(int from) {
    std::vector<bool> hit(out_.groups.size());
    hit[size_t(from)] = true;
    for (bool grew = true; grew;) {
      grew = false;
      for (size_t i = 0; i < out_.groups.size(); ++i) {
        if (hit[i]) continue;
        for (Value r : out_.groups[i].reads)
          if (int p = group_of_[r.node->id]; p >= 0 && hit[size_t(p)]) {
            hit[i] = grew = true;
            break;
          }
      }
    }
    return hit;
  }

  void move_into(int target, int source) {
    Group &t = out_.groups[size_t(target)], &s = out_.groups[size_t(source)];
    for (Value v : s.results) t.results.push_back(v), group_of_[v.node->id] = target;
    std::sort(t.results.begin(), t.results.end(), [](Value a, Value b) { return a.node->id < b.node->id; });
    s.results.clear(), s.reads.clear(), s.anchor = nullptr;
    collect_reads(t);
  }

  // Stored values that users of `v` end in, and whether every path is elementwise or bijective.
  void ends(const Node *v, bool bijective, std::set<const Node *> &good, std::set<const Node *> &bad,
            std::set<std::pair<uint32_t, bool>> &seen) {
    for (const Node *u : users_[v->id]) {
      bool ok = bijective && (u->info().kind == OpKind::elementwise || is_bijective(*u)) && u->types.size() == 1;
      if (!seen.insert({u->id, ok}).second) continue;
      if (out_.stored(u->result()))
        (ok ? good : bad).insert(u);
      else
        ends(u, ok, good, bad, seen);
    }
  }

  bool is_output(const Node *n) const {
    for (const NamedValue &o : graph_.outputs)
      if (o.value.node == n) return true;
    for (const Update &u : graph_.updates)
      if (u.next.node == n) return true;
    return false;
  }

  void join_epilogues() {
    for (size_t gi = 0; gi < out_.groups.size(); ++gi) {
      const Node *anchor = out_.groups[gi].anchor;
      if (!anchor || anchor->types.size() > 1 ||
          !(anchor->info().kind == OpKind::contraction || anchor->op == Op::reduce))
        continue;
      std::set<const Node *> good, bad;
      std::set<std::pair<uint32_t, bool>> seen;
      ends(anchor, true, good, bad, seen);
      std::vector<const Node *> order(good.begin(), good.end());
      std::sort(order.begin(), order.end(), [](const Node *a, const Node *b) { return a->id < b->id; });
      // An epilogue may end in a chain of stored values: each joins once those before it have.
      for (size_t i = 0; i < order.size(); ++i) {
        const Node *s = order[i];
        int source = group_of_[s->id];
        if (bad.count(s) || source < 0 || source == int(gi) || out_.groups[size_t(source)].anchor ||
            out_.groups[size_t(source)].results.size() != 1)
          continue;
        if (s->type().size() != anchor->type().size() || out_.groups[gi].results.size() >= 6) continue;
        std::vector<bool> after = reached_from(int(gi));
        bool cycle = false;
        for (Value r : out_.groups[size_t(source)].reads)
          if (int p = group_of_[r.node->id]; p >= 0 && p != int(gi) && after[size_t(p)]) cycle = true;
        if (cycle) continue;
        move_into(int(gi), source);
        std::set<const Node *> more;
        std::set<std::pair<uint32_t, bool>> again;
        ends(s, true, more, bad, again);
        for (const Node *m : more)
          if (std::find(order.begin(), order.end(), m) == order.end()) order.push_back(m);
      }
      // The anchor's own result need not be stored when its users are all in the group.
      Group &g = out_.groups[gi];
      if (is_output(anchor) || g.results.size() < 2) continue;
      good.clear(), bad.clear(), seen.clear();
      ends(anchor, true, good, bad, seen);
      bool needed = false;
      for (const auto *set : {&good, &bad})
        for (const Node *u : *set) needed |= group_of_[u->id] != int(gi);
      if (needed) continue;
      out_.drop(anchor->result());
      g.results.erase(std::find_if(g.results.begin(), g.results.end(), [&](Value v) { return v.node == anchor; }));
      collect_reads(g);
    }
  }

  void join_siblings() {
    constexpr size_t kMostSlots = 24;
    for (size_t a = 0; a < out_.groups.size(); ++a) {
      if (out_.groups[a].anchor || out_.groups[a].results.empty()) continue;
      for (size_t b = a + 1; b < out_.groups.size(); ++b) {
        const Group &ga = out_.groups[a], &gb = out_.groups[b];
        if (gb.anchor || gb.results.empty() || !same(ga.results[0].shape(), gb.results[0].shape()) ||
            ga.results[0].type().size() < 2)
          continue;
        if (ga.results.size() + gb.results.size() + ga.reads.size() + gb.reads.size() > kMostSlots) continue;
        bool related = false, feeds = false, elementwise_only = true;
        for (Value r : gb.reads) {
          if (r.node->op != Op::constant)
            related |= std::any_of(ga.reads.begin(), ga.reads.end(), [&](Value x) { return x.is(r); });
          if (group_of_[r.node->id] == int(a)) feeds = true;
        }
        if (feeds) { // what a stores must be read at the same position
          std::set<const Node *> good, bad;
          std::set<std::pair<uint32_t, bool>> seen;
          for (Value v : ga.results) ends(v.node, true, good, bad, seen);
          for (Value v : gb.results) elementwise_only &= !bad.count(v.node);
        }
        if (!(related || feeds) || !elementwise_only) continue;
        // No third group may stand between.
        std::vector<bool> after_a = reached_from(int(a)), after_b = reached_from(int(b));
        bool between = after_b[a];
        for (Value r : gb.reads)
          if (int p = group_of_[r.node->id]; p >= 0 && p != int(a) && after_a[size_t(p)]) between = true;
        if (between) continue;
        move_into(int(a), int(b));
      }
    }
  }

  // Readers of a state go before the group that stores its successor, where that makes no cycle: it then needs no copy.
  void order_groups() {
    std::vector<Group> live;
    for (Group &g : out_.groups)
      if (!g.results.empty()) live.push_back(std::move(g));
    size_t n = live.size();
    std::unordered_map<const Node *, size_t> writer;
    for (size_t i = 0; i < n; ++i)
      for (Value v : live[i].results) writer[v.node] = i;
    std::vector<std::set<size_t>> before(n);
    for (size_t i = 0; i < n; ++i)
      for (Value r : live[i].reads)
        if (auto w = writer.find(r.node); w != writer.end() && w->second != i) before[i].insert(w->second);
    auto reaches = [&](size_t from, size_t to) { // from must run after to
      std::vector<bool> seen(n);
      std::vector<size_t> stack{from};
      while (!stack.empty()) {
        size_t x = stack.back();
        stack.pop_back();
        if (x == to) return true;
        if (seen[x]) continue;
        seen[x] = true;
        stack.insert(stack.end(), before[x].begin(), before[x].end());
      }
      return false;
    };
    for (const Update &u : graph_.updates) {
      auto w = writer.find(u.next.node);
      if (w == writer.end()) continue;
      for (size_t i = 0; i < n; ++i)
        if (i != w->second &&
            std::any_of(live[i].reads.begin(), live[i].reads.end(), [&](Value r) { return r.is(u.state); }) &&
            !reaches(i, w->second))
          before[w->second].insert(i);
    }
    std::vector<bool> done(n);
    std::vector<Group> sorted;
    while (sorted.size() < n) {
      size_t pick = n;
      for (size_t i = 0; i < n && pick == n; ++i)
        if (!done[i] && std::all_of(before[i].begin(), before[i].end(), [&](size_t p) { return done[p]; })) pick = i;
      TRELLIS_CHECK(pick < n, "groups depend on each other in a circle");
      done[pick] = true;
      sorted.push_back(live[pick]);
    }
    out_.groups = std::move(sorted);
  }
};

} // namespace

Fusion fuse(const Graph &g, const FuseOptions &options) { return Fuser(g, options).run(); }

std::string print(const Fusion &f, const Graph &g) {
  std::string out;
  auto text = [&](Value v) {
    std::string_view n = g.name_of(v);
    return n.empty() ? fmt::format("%{}", v.node->id) : fmt::format("%{}", n);
  };
  for (size_t i = 0; i < f.groups.size(); ++i) {
    const Group &group = f.groups[i];
    out += fmt::format("group {} {}:", i, group.anchor ? name(group.anchor->op) : "pointwise");
    for (Value v : group.results) out += fmt::format(" {} : {}", text(v), v.type().str());
    out += " <-";
    for (Value v : group.reads) out += " " + text(v);
    out += "\n";
  }
  return out;
}

} // namespace trellis

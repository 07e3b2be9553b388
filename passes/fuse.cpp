#include "passes/fuse.h"
#include "passes/fuse_stored.h"
#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <unordered_set>

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
    cut_ = choose_stored(graph_, nodes_, options_, out_);
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
  std::unordered_set<const Node *> cut_;         // stored to end a chain: groups are not joined across them
  std::vector<int> group_of_;                    // by id; -1: none
  Fusion out_;

  bool loaded(Value v) const { return is_external(v) || out_.stored(v); }

  void index_uses() {
    users_.resize(graph_.node_count()), group_of_.assign(graph_.node_count(), -1);
    for (const Node *n : nodes_)
      for (Value o : n->operands) users_[o.node->id].push_back(n);
  }

  void form_groups() {
    for (const Node *n : nodes_) {
      if (is_external(n->result()) || !out_.stored(n->result())) continue;
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
        bool related = false, feeds = false, across_cut = false, elementwise_only = true;
        for (Value r : gb.reads) {
          if (r.node->op != Op::constant)
            related |= std::any_of(ga.reads.begin(), ga.reads.end(), [&](Value x) { return x.is(r); });
          if (group_of_[r.node->id] == int(a)) feeds = true, across_cut |= cut_.contains(r.node);
        }
        if (feeds) { // what a stores must be read at the same position
          std::set<const Node *> good, bad;
          std::set<std::pair<uint32_t, bool>> seen;
          for (Value v : ga.results) ends(v.node, true, good, bad, seen);
          for (Value v : gb.results) elementwise_only &= !bad.count(v.node);
        }
        if (!(related || feeds) || !elementwise_only || across_cut) continue;
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

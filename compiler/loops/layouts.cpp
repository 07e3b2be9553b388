// Which storage order each stored value gets.
//
// - Weights of a dot (a rank-2 parameter or constant that is some dot's second operand) lie in panels
//   [N / w][K][w], w two registers: the contraction reads them in order.
// - In a graph with convolutions over a batch that fills registers, values that have a batch axis n lie as
//   [n / lanes][the other axes, row-major][n % lanes]: no lane is wasted whatever the channels are, and weights are
//   broadcast, unpacked. The batch axis is followed from the data inputs through the graph.
// - In a graph with convolutions over a smaller batch, what a convolution reads and makes has its channels last, and its
//   weights lie in panels [O / w][kernel...][C][w]: lanes are output channels, rows are pixels.
// - Everything else is row-major.
#include "compiler/loops/plan.h"
#include <numeric>
#include <unordered_set>

namespace trellis {

namespace {

uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }

Layout blocked(const std::vector<int64_t> &dims, size_t axis, int64_t lanes) {
  Layout l;
  l.terms.push_back({int(axis), 1, lanes, 1});
  l.size = lanes;
  for (size_t i = dims.size(); i-- > 0;) {
    if (i == axis) continue;
    l.terms.push_back({int(i), 1, 0, l.size});
    l.size *= dims[i];
  }
  l.terms.push_back({int(axis), lanes, 0, l.size});
  l.size *= dims[axis] / lanes;
  return l;
}

// The axis of each value that counts the batch, -1: none.
class BatchAxes {
public:
  BatchAxes(const Graph &g, int64_t batch) : batch_(batch) {
    for (const Node *n : g.reachable())
      if (n->types.size() == 1)
        if (int a = axis(*n); a >= 0) found_[n] = a;
  }
  int of(const Node *n) const {
    auto it = found_.find(n);
    return it == found_.end() ? -1 : it->second;
  }

private:
  int64_t batch_;
  std::unordered_map<const Node *, int> found_;

  int axis(const Node &n) const {
    const Shape &s = n.type().shape;
    auto operand = [&](size_t i) { return of(n.operands[i].node); };
    auto kept = [&](int a) { return a >= 0 && a < int(s.size()) && s[size_t(a)].value() == batch_ ? a : -1; };
    switch (n.info().kind) {
    case OpKind::source:
      return n.op == Op::input && n.attrs.get_or<std::string>(Attr::role, "data") == "data" && !s.empty() &&
                     s[0].value() == batch_
                 ? 0
                 : -1;
    case OpKind::elementwise:
      for (size_t i = 0; i < n.operands.size(); ++i)
        if (operand(i) >= 0) return kept(operand(i));
      return -1;
    case OpKind::reduction: {
      int a = n.operands.empty() ? -1 : operand(0);
      if (a < 0 || n.op != Op::reduce) return a < 0 ? -1 : kept(a);
      int shift = 0;
      for (int64_t r : n.attrs.ints(Attr::axes)) {
        if (r == a) return -1;
        shift += r < a && !n.attrs.flag(Attr::keep);
      }
      return a - shift;
    }
    case OpKind::contraction: {
      int a = operand(0), b = operand(1), r = int(s.size());
      if (n.op == Op::conv) return a == 0 ? 0 : -1;
      if (a >= 0 && a < r - 1) return a;
      return b == r - 1 || (b >= 0 && b < r - 2) ? b : -1;
    }
    case OpKind::movement: break;
    default: return -1;
    }
    int a = operand(0);
    if (a < 0) return -1;
    const Shape &x = n.operands[0].shape();
    if (n.op == Op::permute) {
      const auto &perm = n.attrs.ints(Attr::perm);
      for (size_t i = 0; i < perm.size(); ++i)
        if (perm[i] == a) return int(i);
      return -1;
    }
    if (n.op != Op::reshape) return kept(a);
    int64_t before = 1, seen = 1;
    for (int i = 0; i < a; ++i) before *= x[size_t(i)].value();
    for (size_t i = 0; i < s.size(); seen *= s[i].value(), ++i)
      if (seen == before && s[i].value() == batch_) return int(i);
    return -1;
  }
};

} // namespace

Layouts::Layouts(const Graph &g, const Fusion &f, const Machine &m) {
  std::vector<const Node *> nodes = g.reachable();
  auto outside = [](Value v) {
    return v.node->op == Op::input && v.node->attrs.get_or<std::string>(Attr::role, "data") == "data";
  };
  for (const Node *n : nodes) {
    if (n->op != Op::dot || n->type().rank() != 2) continue;
    Value w = n->operands[1];
    bool weight = (w.node->op == Op::input && !outside(w)) || (w.node->op == Op::constant && !is_immediate(*w.node));
    int64_t width = 2 * m.lanes(size_of(w.dtype()));
    std::vector<int64_t> dims = dims_of(w.shape());
    if (weight && dims[1] % width == 0 && dims[1] > width) chosen_[key(w)] = blocked(dims, 1, width);
  }
  int64_t batch = 0;
  int lanes = m.lanes(4);
  for (const Node *n : nodes)
    if (n->op == Op::conv && n->operands[1].node->op == Op::input)
      batch = std::max(batch, n->operands[0].shape()[0].value());
  if (batch >= lanes && batch % lanes == 0) {
    BatchAxes axes(g, batch);
    for (const Node *n : nodes)
      for (uint32_t i = 0; i < n->types.size(); ++i) {
        Value v = n->result(i);
        int a = i ? -1 : axes.of(n);
        if (a < 0 || n->info().kind == OpKind::source || !f.stored(v) || n->op == Op::scatter) continue;
        chosen_[key(v)] = blocked(dims_of(v.shape()), size_t(a), lanes);
      }
  } else
    channels_last(nodes, f, m);
  // What control ops share with their bodies and sorts read and make is row-major, and so are the states that succeed or precede it.
  std::unordered_set<uint64_t> shared;
  for (const Node *n : nodes)
    if (takes_storage(*n)) {
      for (Value o : n->operands) shared.insert(key(o));
      for (uint32_t i = 0; i < n->types.size(); ++i) shared.insert(key(n->result(i)));
    }
  for (size_t known = 0; known != shared.size();) {
    known = shared.size();
    for (const Update &u : g.updates)
      if (shared.count(key(u.state)) || shared.count(key(u.next))) shared.insert({key(u.state), key(u.next)});
  }
  for (uint64_t k : shared) chosen_.erase(k);
  // What a caller gets, and what anchors without a nest of their own read, is row-major; a successor lies as its state.
  for (const NamedValue &o : g.outputs)
    if (o.value.node->op != Op::input) chosen_.erase(key(o.value));
  for (const Update &u : g.updates) {
    auto it = chosen_.find(key(u.state));
    if (it == chosen_.end())
      chosen_.erase(key(u.next));
    else if (u.next.node->op != Op::input)
      chosen_[key(u.next)] = it->second;
  }
}

static bool is_outside(Value v) {
  return v.node->op == Op::input && v.node->attrs.get_or<std::string>(Attr::role, "data") == "data";
}

void Layouts::channels_last(const std::vector<const Node *> &nodes, const Fusion &f, const Machine &m) {
  auto last = [&](Value v) {
    if (!f.stored(v) || v.node->info().kind == OpKind::source || v.rank() < 3) return;
    std::vector<int> order{0};
    for (int i = 2; i < v.rank(); ++i) order.push_back(i);
    order.push_back(1);
    chosen_[key(v)] = Layout::permuted(dims_of(v.shape()), order);
  };
  for (const Node *n : nodes) {
    Value w = n->op == Op::conv ? n->operands[1] : Value{};
    if (!w || n->attrs.i_or(Attr::groups, 1) != 1 || (w.node->op != Op::input && w.node->op != Op::constant) ||
        is_outside(w))
      continue;
    std::vector<int64_t> dims = dims_of(w.shape());
    int64_t width = 2 * m.lanes(size_of(w.dtype()));
    if (dims[0] % width) continue;
    Layout panels;
    panels.terms = {{0, 1, width, 1}, {1, 1, 0, width}};
    panels.size = width * dims[1];
    for (size_t i = dims.size(); i-- > 2;) panels.terms.push_back({int(i), 1, 0, panels.size}), panels.size *= dims[i];
    panels.terms.push_back({0, width, 0, panels.size}), panels.size *= dims[0] / width;
    chosen_[key(w)] = panels;
    last(n->operands[0]);
    last(n->result());
    for (const Group &g : f.groups)
      if (g.anchor == n)
        for (Value r : g.results)
          if (same(r.shape(), n->type().shape)) last(r);
  }
}

Layout Layouts::of(Value v) const {
  auto it = chosen_.find(key(v));
  return it == chosen_.end() ? Layout::row_major(dims_of(v.shape())) : it->second;
}

} // namespace trellis

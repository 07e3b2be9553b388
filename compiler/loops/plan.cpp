#include "compiler/loops/lower.h"
#include "compiler/loops/planner.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

namespace trellis {

namespace {

uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }

// All loads of an expression, each once.
void loads_of(const Expr *e, std::set<const Expr *> &seen, std::vector<const Expr *> &out) {
  if (!e || !seen.insert(e).second) return;
  if (e->kind == Expr::Kind::load) out.push_back(e);
  for (const Expr *a : e->args) loads_of(a, seen, out);
  loads_of(e->dynamic, seen, out);
}

// Whether `next` may be written over `state`: each element of the state is read only by the store of that element's
// successor, or by a store before it in the same body.
bool may_overwrite(const std::vector<Stmt> &body, int state, int next) {
  bool written = false;
  for (const Stmt &s : body) {
    if (s.kind == Stmt::Kind::loop) {
      if (!may_overwrite(s.body, state, next)) return false;
      continue;
    }
    std::set<const Expr *> seen;
    std::vector<const Expr *> all;
    for (const Expr *e : {s.value, s.dynamic, s.when}) loads_of(e, seen, all);
    bool reads = false;
    for (const Expr *l : all) {
      if (l->buffer != state) continue;
      reads = true;
      bool pointwise = !l->dynamic && std::any_of(body.begin(), body.end(), [&](const Stmt &t) {
        return t.kind == Stmt::Kind::store && t.buffer == next && t.index == l->index && !t.dynamic;
      });
      if (!pointwise) return false;
    }
    if (reads && written) return false;
    if (s.buffer == next) written = true;
  }
  return true;
}

void rename_buffer(std::vector<Stmt> &body, int from, int to) {
  for (Stmt &s : body) {
    if (s.kind == Stmt::Kind::loop)
      rename_buffer(s.body, from, to);
    else if (s.buffer == from)
      s.buffer = to;
  }
}

// A constant's elements in the order of its storage.
Tensor reordered(const Tensor &t, const Layout &layout) {
  Tensor out(t.dtype(), {layout.size});
  size_t e = size_t(size_of(t.dtype()));
  std::vector<int64_t> at(t.dims().size());
  for (int64_t i = 0; i < t.size(); ++i) {
    int64_t offset = 0;
    for (const LayoutTerm &term : layout.terms) {
      int64_t x = at[size_t(term.dim)] / term.div;
      offset += (term.mod ? x % term.mod : x) * term.stride;
    }
    std::memcpy(out.data() + size_t(offset) * e, t.data() + size_t(i) * e, e);
    for (size_t d = at.size(); d-- > 0 && ++at[d] == t.dims()[d];) at[d] = 0;
  }
  return out;
}

void rename_loads(Kernel &k, int from, int to) {
  for (Expr &e : k.exprs)
    if ((e.kind == Expr::Kind::load) && e.buffer == from) e.buffer = to;
}

double flops(const Group &g) {
  if (!g.anchor || g.anchor->info().kind != OpKind::contraction) return 0;
  double n = double(g.anchor->type().size()), k = 1;
  const Shape &w = g.anchor->operands[1].shape();
  if (g.anchor->op == Op::dot)
    k = double(w[w.size() - 2].value());
  else
    for (size_t i = 1; i < w.size(); ++i) k *= double(w[i].value());
  return 2 * n * k;
}
int64_t work(const Group &g) {
  int64_t n = g.anchor && !g.anchor->operands.empty() ? g.anchor->operands[0].type().size() : 0;
  for (Value v : g.results) n = std::max(n, v.type().size());
  return n;
}

} // namespace

void Planner::run_program() {
  out_.name = graph_.name;
  declare();
  place_outputs();
  run_groups();
}

void Planner::run_body(const std::vector<int> &inputs, const std::vector<int> &outputs) {
  Values given = graph_.inputs();
  for (size_t i = 0; i < inputs.size(); ++i) slot_of_[key(given[i])] = inputs[i];
  output_slots_ = outputs;
  place_outputs();
  run_groups();
}

void Planner::run_groups() {
  for (size_t i = 0; i < fusion_.groups.size(); ++i)
    if (const Node *n = fusion_.groups[i].anchor; n && takes_storage(*n))
      n->op == Op::sort ? add_sort(int(i)) : add_control(int(i));
    else
      add_group(int(i));
  finish_outputs();
}

void Planner::declare() {
  for (Value v : graph_.inputs()) {
    const Attrs &a = v.node->attrs;
    std::string role = a.get_or<std::string>(Attr::role, "data");
    ProgramTensor t{a.word(Attr::name), v.type(), layouts_.of(v), role == "param",
                    a.get_or<std::string>(Attr::init, "")};
    bool data = role == "data";
    auto &list = data ? out_.inputs : out_.states;
    slot_of_[key(v)] =
        storage_.add_slot({data ? ProgramSlot::Kind::input : ProgramSlot::Kind::state, int(list.size()), 0, bytes(v)});
    list.push_back(std::move(t));
  }
  for (const NamedValue &o : graph_.outputs) {
    int slot = storage_.add_slot({ProgramSlot::Kind::output, int(out_.outputs.size()), 0, o.value.type().bytes()});
    out_.outputs.push_back({o.name, o.value.type(), Layout::row_major(dims_of(o.value.shape())), false, {}});
    output_slots_.push_back(slot);
  }
}

// A computed output with row-major storage is written where it is wanted; once.
void Planner::place_outputs() {
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    Value v = graph_.outputs[i].value;
    if (v.node->info().kind == OpKind::source || slot_of_.count(key(v)) ||
        !layouts_.of(v).is_row_major(dims_of(v.shape())))
      continue;
    slot_of_[key(v)] = output_slots_[i];
  }
}

int Planner::slot(Value v, int call) {
  auto it = slot_of_.find(key(v));
  if (it == slot_of_.end()) {
    int s;
    if (v.node->op == Op::constant) {
      Tensor t = v.node->attrs.get<Tensor>(Attr::value);
      Layout layout = layouts_.of(v);
      s = storage_.add_constant(v.type(), layout,
                                layout.is_row_major(t.dims()) ? t.reshaped({t.size()}) : reordered(t, layout));
    } else
      s = storage_.add_arena(bytes(v));
    it = slot_of_.emplace(key(v), s).first;
  }
  storage_.touch(it->second, call);
  return it->second;
}

void Planner::add_group(int g) {
  const Group &group = fusion_.groups[size_t(g)];
  std::string what = group.anchor ? std::string(name(group.anchor->op)) : "map";
  std::string label = fmt::format("{}k{}_{}", name_, g, what);
  LoweredGroup lowered = lower_group(fusion_, group, machine_, [this](Value v) { return layouts_.of(v); }, label);
  Kernel &k = lowered.kernel;
  if (k.trip() == 0) { // nothing to store
    for (Value r : group.results) slot(r, storage_.now());
    return;
  }
  // Successors of state take its storage where that is right.
  for (const Update &u : graph_.updates) {
    auto find = [&](Value v) {
      for (size_t i = 0; i < lowered.slots.size(); ++i)
        if (lowered.slots[i].is(v)) return int(i);
      return -1;
    };
    int next = find(u.next), state = find(u.state);
    bool mine = std::any_of(group.results.begin(), group.results.end(), [&](Value r) { return r.is(u.next); });
    if (!mine || slot_of_.count(key(u.next)) || !(layouts_.of(u.state) == layouts_.of(u.next)) ||
        read_later(u.state, g))
      continue;
    if (state >= 0) {
      if (!may_overwrite(k.body, state, next)) continue;
      rename_buffer(k.body, next, state);
      rename_loads(k, next, state);
    }
    slot_of_[key(u.next)] = slot_of_.at(key(u.state));
  }
  ProgramCall call;
  call.kernel = int(out_.kernels.size()), call.name = label;
  for (Value v : lowered.slots) call.args.push_back(slot(v, storage_.now()));
  call.flops = k.flops = flops(group);
  double cycles =
      group.anchor && group.anchor->info().kind == OpKind::contraction ? call.flops / 24 : double(work(group)) * 2;
  call.grain = std::max<int64_t>(1, int64_t(std::ceil(20000.0 * double(k.trip()) / std::max(cycles, 1.0))));
  call.flops *= storage_.repeats;
  storage_.add_call(std::move(call));
  out_.kernels.push_back(std::move(k));
}

bool Planner::read_later(Value state, int g) const {
  for (size_t i = size_t(g) + 1; i < fusion_.groups.size(); ++i)
    for (Value r : fusion_.groups[i].reads)
      if (r.is(state)) return true;
  for (const NamedValue &o : graph_.outputs)
    if (o.value.is(state)) return true;
  for (const Update &u : graph_.updates)
    if (u.next.is(state) && !u.state.is(state)) return true;
  return false;
}

void Planner::finish_outputs() {
  // A state may be both an output and overwritten, so outputs are copied first.
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    Value v = graph_.outputs[i].value;
    int from = source(v);
    if (from == output_slots_[i]) continue;
    copy(v, from, layouts_.of(v), output_slots_[i], Layout::row_major(dims_of(v.shape())));
  }
  // Successors that are not in place; through the arena where a state's successor is another state.
  struct Move {
    const Update *u;
    int from;
  };
  std::vector<Move> moves;
  for (const Update &u : graph_.updates) {
    int from = source(u.next), to = slot_of_.at(key(u.state));
    if (from == to) continue;
    bool is_state = std::any_of(graph_.updates.begin(), graph_.updates.end(),
                                [&](const Update &o) { return slot_of_.at(key(o.state)) == from; });
    if (is_state) {
      int temporary = storage_.add_arena(bytes(u.next));
      copy(u.next, from, layouts_.of(u.next), temporary, layouts_.of(u.next));
      from = temporary;
    }
    moves.push_back({&u, from});
  }
  for (const Move &m : moves)
    copy(m.u->next, m.from, layouts_.of(m.u->next), slot_of_.at(key(m.u->state)), layouts_.of(m.u->state));
}

int Planner::source(Value v) { return slot(v, storage_.now()); }

void Planner::copy(Value v, int from, const Layout &from_layout, int to, const Layout &to_layout) {
  storage_.copy(v.type(), from, from_layout, to, to_layout);
}

Program plan_program(const Graph &g, const Fusion &f, const Machine &m, const FuseOptions &bodies) {
  Storage storage(m, bodies);
  Planner(storage, g, f, "").run_program();
  storage.place_arena();
  return std::move(storage.program);
}

} // namespace trellis

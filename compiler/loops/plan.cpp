#include "compiler/loops/plan.h"
#include "compiler/loops/lower.h"
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
      bool pointwise = !l->dynamic && std::any_of(body.begin(), body.end(), [&](const Stmt &t) { return t.kind == Stmt::Kind::store && t.buffer == next && t.index == l->index && !t.dynamic; });
      if (!pointwise) return false;
    }
    if (reads && written) return false;
    if (s.buffer == next) written = true;
  }
  return true;
}

void rename_buffer(std::vector<Stmt> &body, int from, int to) {
  for (Stmt &s : body) {
    if (s.kind == Stmt::Kind::loop) rename_buffer(s.body, from, to);
    else if (s.buffer == from) s.buffer = to;
  }
}

class Planner {
public:
  Planner(const Graph &g, const Fusion &f, const Machine &m) : graph_(g), fusion_(f), machine_(m), layouts_(g, f, m) {}

  Program run() {
    out_.name = graph_.name;
    declare();
    for (size_t i = 0; i < fusion_.groups.size(); ++i) add_group(int(i));
    finish_outputs();
    place_arena();
    return std::move(out_);
  }

private:
  const Graph &graph_;
  const Fusion &fusion_;
  const Machine &machine_;
  Layouts layouts_;
  Program out_;
  std::unordered_map<uint64_t, int> slot_of_;    // storage of every stored value
  std::unordered_map<int, ArenaRequest> live_;   // by slot
  std::unordered_map<uint64_t, int> state_of_;   // slot of a state input, by value

  int add_slot(ProgramSlot s) {
    out_.slots.push_back(s);
    return int(out_.slots.size()) - 1;
  }
  int64_t bytes(Value v) const { return layouts_.of(v).size * size_of(v.dtype()); }

  void declare() {
    for (Value v : graph_.inputs()) {
      const Attrs &a = v.node->attrs;
      std::string role = a.get_or<std::string>(Attr::role, "data");
      ProgramTensor t{a.word(Attr::name), v.type(), layouts_.of(v), role == "param", a.get_or<std::string>(Attr::init, "")};
      bool data = role == "data";
      auto &list = data ? out_.inputs : out_.states;
      slot_of_[key(v)] = add_slot({data ? ProgramSlot::Kind::input : ProgramSlot::Kind::state, int(list.size()), 0, bytes(v)});
      list.push_back(std::move(t));
    }
    for (const NamedValue &o : graph_.outputs) {
      int slot = add_slot({ProgramSlot::Kind::output, int(out_.outputs.size()), 0, o.value.type().bytes()});
      out_.outputs.push_back({o.name, o.value.type(), Layout::row_major(dims_of(o.value.shape())), false, {}});
      output_slots_.push_back(slot);
    }
    // A computed output with row-major storage is written where the caller wants it; once.
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      Value v = graph_.outputs[i].value;
      if (v.node->info().kind == OpKind::source || slot_of_.count(key(v)) || !layouts_.of(v).is_row_major(dims_of(v.shape()))) continue;
      slot_of_[key(v)] = output_slots_[i];
    }
  }
  std::vector<int> output_slots_;

  int add_constant(Value v) {
    Tensor t = v.node->attrs.get<Tensor>(Attr::value);
    Layout layout = layouts_.of(v);
    int s = add_slot({ProgramSlot::Kind::constant, int(out_.constants.size()), 0, layout.size * size_of(t.dtype())});
    out_.constants.push_back({fmt::format("c{}", out_.constants.size()), v.type(), layout, false, {}});
    out_.constant_data.push_back(layout.is_row_major(t.dims()) ? t.reshaped({t.size()}) : reordered(t, layout));
    return s;
  }

  static Tensor reordered(const Tensor &t, const Layout &layout) {
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

  int slot(Value v, int call) {
    auto it = slot_of_.find(key(v));
    if (it == slot_of_.end()) {
      int s;
      if (v.node->op == Op::constant) {
        s = add_constant(v);
      } else {
        s = add_slot({ProgramSlot::Kind::arena, 0, 0, bytes(v)});
        live_[s] = {bytes(v), call, call, 0};
      }
      it = slot_of_.emplace(key(v), s).first;
    }
    if (auto l = live_.find(it->second); l != live_.end()) l->second.last = std::max(l->second.last, call);
    return it->second;
  }

  void add_group(int g) {
    const Group &group = fusion_.groups[size_t(g)];
    std::string what = group.anchor ? std::string(name(group.anchor->op)) : "map";
    std::string label = fmt::format("k{}_{}", g, what);
    LoweredGroup lowered = lower_group(fusion_, group, machine_, [this](Value v) { return layouts_.of(v); }, label);
    Kernel &k = lowered.kernel;
    if (k.trip() == 0) { // nothing to store
      for (Value r : group.results) slot(r, int(out_.calls.size()));
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
      if (!mine || slot_of_.count(key(u.next)) || !(layouts_.of(u.state) == layouts_.of(u.next)) || read_later(u.state, g)) continue;
      if (state >= 0) {
        if (!may_overwrite(k.body, state, next)) continue;
        rename_buffer(k.body, next, state);
        rename_loads(k, next, state);
      }
      slot_of_[key(u.next)] = slot_of_.at(key(u.state));
    }
    ProgramCall call;
    call.kernel = int(out_.kernels.size()), call.name = label;
    for (Value v : lowered.slots) call.args.push_back(slot(v, int(out_.calls.size())));
    call.flops = k.flops = flops(group);
    double cycles = group.anchor && group.anchor->info().kind == OpKind::contraction ? call.flops / 24 : double(work(group)) * 2;
    call.grain = std::max<int64_t>(1, int64_t(std::ceil(20000.0 * double(k.trip()) / std::max(cycles, 1.0))));
    out_.kernels.push_back(std::move(k));
    out_.calls.push_back(std::move(call));
  }

  static void rename_loads(Kernel &k, int from, int to) {
    for (Expr &e : k.exprs)
      if ((e.kind == Expr::Kind::load) && e.buffer == from) e.buffer = to;
  }

  bool read_later(Value state, int g) const {
    for (size_t i = size_t(g) + 1; i < fusion_.groups.size(); ++i)
      for (Value r : fusion_.groups[i].reads)
        if (r.is(state)) return true;
    for (const NamedValue &o : graph_.outputs)
      if (o.value.is(state)) return true;
    for (const Update &u : graph_.updates)
      if (u.next.is(state) && !u.state.is(state)) return true;
    return false;
  }

  static double flops(const Group &g) {
    if (!g.anchor || g.anchor->info().kind != OpKind::contraction) return 0;
    double n = double(g.anchor->type().size()), k = 1;
    const Shape &w = g.anchor->operands[1].shape();
    if (g.anchor->op == Op::dot) k = double(w[w.size() - 2].value());
    else for (size_t i = 1; i < w.size(); ++i) k *= double(w[i].value());
    return 2 * n * k;
  }
  static int64_t work(const Group &g) {
    int64_t n = g.anchor && !g.anchor->operands.empty() ? g.anchor->operands[0].type().size() : 0;
    for (Value v : g.results) n = std::max(n, v.type().size());
    return n;
  }

  // A kernel that copies a value from one slot to another layout or place.
  void copy(Value v, int from, const Layout &from_layout, int to, const Layout &to_layout) {
    Kernel k;
    k.name = fmt::format("copy{}", out_.calls.size());
    int src = k.add_buffer({"from", v.dtype(), Space::slot, from_layout.size, 1}), dst = k.add_buffer({"to", v.dtype(), Space::slot, to_layout.size, 1});
    std::vector<int64_t> dims = dims_of(v.shape());
    if (v.type().size() == 0) return;
    if (from_layout == to_layout) dims = {from_layout.size};
    std::vector<Index> at;
    std::vector<Axis> axes;
    for (int64_t d : dims) {
      IndexVar x = k.var(d);
      at.push_back(Index(x)), axes.push_back({x, false});
    }
    bool flat = from_layout == to_layout;
    Stmt store = make_store(dst, flat ? at[0] : to_layout.offset(at), k.load(src, flat ? at[0] : from_layout.offset(at)));
    std::vector<Stmt> body;
    if (axes.empty()) body.push_back(std::move(store));
    else {
      body.push_back(make_loop(Stmt::Loop::vector, axes.back().var, {std::move(store)}, machine_.lanes(size_of(v.dtype()))));
      axes.pop_back();
    }
    k.body = wrap_parallel(axes, std::move(body));
    int call = int(out_.calls.size());
    for (int s : {from, to})
      if (auto l = live_.find(s); l != live_.end()) l->second.last = std::max(l->second.last, call);
    out_.calls.push_back({int(out_.kernels.size()), k.name, {from, to}, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, v.type().size() / std::max<int64_t>(k.trip(), 1))), 0});
    out_.kernels.push_back(std::move(k));
  }

  void finish_outputs() {
    // A state may be both an output and overwritten, so outputs are copied first.
    for (size_t i = 0; i < graph_.outputs.size(); ++i) {
      Value v = graph_.outputs[i].value;
      int from = source(v);
      if (from == output_slots_[i]) continue;
      copy(v, from, layouts_.of(v), output_slots_[i], Layout::row_major(dims_of(v.shape())));
    }
    // Successors that are not in place; through the arena where a state's successor is another state.
    struct Move { const Update *u; int from; };
    std::vector<Move> moves;
    for (const Update &u : graph_.updates) {
      int from = source(u.next), to = slot_of_.at(key(u.state));
      if (from == to) continue;
      bool is_state = out_.slots[size_t(from)].kind == ProgramSlot::Kind::state;
      if (is_state) {
        int call = int(out_.calls.size());
        int temporary = add_slot({ProgramSlot::Kind::arena, 0, 0, bytes(u.next)});
        live_[temporary] = {bytes(u.next), call, call, 0};
        copy(u.next, from, layouts_.of(u.next), temporary, layouts_.of(u.next));
        from = temporary;
      }
      moves.push_back({&u, from});
    }
    for (const Move &m : moves) copy(m.u->next, m.from, layouts_.of(m.u->next), slot_of_.at(key(m.u->state)), layouts_.of(m.u->state));
  }

  int source(Value v) {
    if (is_immediate(*v.node) && !slot_of_.count(key(v))) { // a constant result
      slot_of_[key(v)] = add_constant(v);
    }
    return slot(v, int(out_.calls.size()));
  }

  void place_arena() {
    std::vector<int> slots;
    std::vector<ArenaRequest> requests;
    for (const auto &[s, r] : live_) slots.push_back(s);
    std::sort(slots.begin(), slots.end());
    for (int s : slots) requests.push_back(live_.at(s));
    out_.arena_bytes = assign_offsets(requests);
    for (size_t i = 0; i < slots.size(); ++i) out_.slots[size_t(slots[i])].offset = requests[i].offset;
  }
};

} // namespace

Program plan_program(const Graph &g, const Fusion &f, const Machine &m) { return Planner(g, f, m).run(); }

} // namespace trellis

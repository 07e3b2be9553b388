#include "compiler/loops/lower.h"
#include "compiler/loops/planner.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

int Storage::add_slot(ProgramSlot s) {
  program.slots.push_back(std::move(s));
  return int(program.slots.size()) - 1;
}

int Storage::add_arena(int64_t bytes) {
  int s = add_slot({ProgramSlot::Kind::arena, 0, 0, bytes});
  live_[s] = {bytes, now(), now(), 0};
  return s;
}

int Storage::add_constant(const Type &t, const Layout &layout, Tensor data) {
  int s = add_slot({ProgramSlot::Kind::constant, int(program.constants.size()), 0, layout.size * size_of(t.dtype)});
  program.constants.push_back({fmt::format("c{}", program.constants.size()), t, layout, false, {}});
  program.constant_data.push_back(std::move(data));
  return s;
}

int Storage::add_moving(int slot, int loop, int64_t stride, int64_t trips, bool reverse) {
  ProgramSlot s = program.slots[size_t(slot)];
  auto within = base_.find(slot);
  s.bytes = stride;
  if (reverse) s.offset += (trips - 1) * stride;
  if (stride && trips > 1) s.moves.push_back({loop, reverse ? -stride : stride});
  int made = add_slot(std::move(s));
  base_[made] = within == base_.end() ? slot : within->second;
  return made;
}

void Storage::touch(int slot, int call) {
  if (auto b = base_.find(slot); b != base_.end()) slot = b->second;
  if (auto l = live_.find(slot); l != live_.end()) l->second.last = std::max(l->second.last, call);
}

void Storage::keep_over_loop(int first, int begin) {
  for (auto &[slot, request] : live_)
    if (slot < first && request.last >= begin) request.last = std::max(request.last, now());
}

int Storage::add_call(ProgramCall c) {
  for (int s : c.args) touch(s, now());
  program.calls.push_back(std::move(c));
  return now() - 1;
}

void Storage::add_kernel(Kernel k, int64_t work, std::vector<int> args) {
  ProgramCall c;
  c.kernel = int(program.kernels.size()), c.name = k.name, c.args = std::move(args);
  c.grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, work / std::max<int64_t>(k.trip(), 1)));
  add_call(std::move(c));
  program.kernels.push_back(std::move(k));
}

// Loops over `axes`, the last in lanes.
static std::vector<Stmt> copy_loops(std::vector<Axis> axes, Stmt store, int lanes) {
  std::vector<Stmt> body;
  body.push_back(std::move(store));
  if (!axes.empty()) {
    std::vector<Stmt> loop;
    loop.push_back(make_loop(Stmt::Loop::vector, axes.back().var, std::move(body), lanes));
    body = std::move(loop);
    axes.pop_back();
  }
  return wrap_parallel(axes, std::move(body));
}

void Storage::copy(const Type &t, int from, const Layout &from_layout, int to, const Layout &to_layout) {
  if (t.size() == 0) return;
  Kernel k;
  k.name = fmt::format("copy{}", now());
  int src = k.add_buffer({"from", t.dtype, Space::slot, from_layout.size, 1}),
      dst = k.add_buffer({"to", t.dtype, Space::slot, to_layout.size, 1});
  std::vector<int64_t> dims = dims_of(t.shape);
  bool flat = from_layout == to_layout;
  if (flat) dims = {from_layout.size};
  std::vector<Index> at;
  std::vector<Axis> axes;
  for (int64_t d : dims) {
    IndexVar x = k.var(d);
    at.push_back(Index(x)), axes.push_back({x, false});
  }
  Stmt store = make_store(dst, flat ? at[0] : to_layout.offset(at), k.load(src, flat ? at[0] : from_layout.offset(at)));
  k.body = copy_loops(std::move(axes), std::move(store), machine.lanes(size_of(t.dtype)));
  add_kernel(std::move(k), t.size(), {from, to});
}

void Storage::fill(const Type &t, const Tensor &element, int to) {
  if (t.size() == 0) return;
  Kernel k;
  k.name = fmt::format("fill{}", now());
  int dst = k.add_buffer({"to", t.dtype, Space::slot, t.size(), 1});
  uint64_t bits = 0;
  std::copy_n(element.data(), size_of(t.dtype), reinterpret_cast<std::byte *>(&bits));
  IndexVar i = k.var(t.size());
  Stmt store = make_store(dst, Index(i), k.constant_bits(t.dtype, bits));
  k.body = copy_loops({{i, false}}, std::move(store), machine.lanes(size_of(t.dtype)));
  add_kernel(std::move(k), t.size(), {to});
}

void Storage::place_arena() {
  std::vector<int> slots;
  std::vector<ArenaRequest> requests;
  for (const auto &[s, r] : live_) slots.push_back(s);
  std::sort(slots.begin(), slots.end());
  for (int s : slots) requests.push_back(live_.at(s));
  program.arena_bytes = assign_offsets(requests);
  for (size_t i = 0; i < slots.size(); ++i) program.slots[size_t(slots[i])].offset = requests[i].offset;
  for (const auto &[s, base] : base_)
    if (live_.count(base)) program.slots[size_t(s)].offset += program.slots[size_t(base)].offset;
}

} // namespace trellis

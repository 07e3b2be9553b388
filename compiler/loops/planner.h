// The planner's inside: one Planner a graph or body, all of them on one Storage.
#pragma once
#include "compiler/loops/plan.h"

namespace trellis {

/// The program under construction and how long each part of its arena is needed. Calls are numbered in the order of the
/// list, so that a body's values live within the body's numbers; what a loop uses from outside lives until its end.
class Storage {
public:
  Storage(const Machine &m, const FuseOptions &f) : machine(m), fuse(f) {}
  Program program;
  const Machine &machine;
  const FuseOptions &fuse;
  double repeats = 1; ///< iterations of the scans around what is planned now

  /// Number of the call that comes next.
  int now() const { return int(program.calls.size()); }
  int add_slot(ProgramSlot s);
  int add_arena(int64_t bytes);
  int add_constant(const Type &t, const Layout &layout, Tensor data);
  /// A slot that is element `step` of `slot` in the loop's iteration `step` (the last one first, if reverse).
  int add_moving(int slot, int loop, int64_t stride, int64_t trips, bool reverse);
  /// The slot is needed until `call`.
  void touch(int slot, int call);
  /// Slots made before number `first` that calls from `begin` on use are needed until now.
  void keep_over_loop(int first, int begin);
  int add_call(ProgramCall c);
  /// Copies a value from one slot and layout to another; one number to all elements.
  void copy(const Type &t, int from, const Layout &from_layout, int to, const Layout &to_layout);
  void fill(const Type &t, const Tensor &element, int to);
  void place_arena();

  /// A call of a kernel of its own that does about `work` moves of an element.
  void add_kernel(Kernel k, int64_t work, std::vector<int> args);

private:
  std::unordered_map<int, ArenaRequest> live_; // by slot
  std::unordered_map<int, int> base_;          // of slots within another: that one
};

class Planner {
public:
  /// `name` precedes the names of kernels.
  Planner(Storage &s, const Graph &g, const Fusion &f, std::string name)
      : storage_(s), out_(s.program), graph_(g), fusion_(f), machine_(s.machine), layouts_(g, f, s.machine),
        name_(std::move(name)) {}

  /// A whole program: its inputs, states and outputs are the graph's.
  void run_program();
  /// The calls of a body whose inputs and outputs lie, row-major, in given slots. Its updates are carried values.
  void run_body(const std::vector<int> &inputs, const std::vector<int> &outputs);

private:
  Storage &storage_;
  Program &out_;
  const Graph &graph_;
  const Fusion &fusion_;
  const Machine &machine_;
  Layouts layouts_;
  std::string name_;
  std::unordered_map<uint64_t, int> slot_of_; // storage of every stored value
  std::vector<int> output_slots_;

  int64_t bytes(Value v) const { return layouts_.of(v).size * size_of(v.dtype()); }
  void declare();
  void place_outputs();
  void run_groups();
  int slot(Value v, int call);
  int source(Value v);
  void add_group(int g);
  bool read_later(Value state, int g) const;
  void finish_outputs();
  void copy(Value v, int from, const Layout &from_layout, int to, const Layout &to_layout);

  // plan_control.cpp
  void add_control(int g);
  void add_cond(const Node &n, const std::string &name);
  void add_loop(const Node &n, const std::string &name);
  void add_scan(const Node &n, const std::string &name);
  void begin_carries(const Node &n, size_t carries, const std::vector<int> &results);

  // plan_sort.cpp
  void add_sort(int g);
};

} // namespace trellis

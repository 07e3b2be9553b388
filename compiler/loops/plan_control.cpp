// Control ops in the list of calls. A body is planned like a graph, into the same list and arena: its inputs and outputs
// are slots of the graph around it. Carried values are its state: their successors take their place where that is right
// and are copied at the end of the body where not. Slices and stacked results are slots that move with the loop.
#include "compiler/loops/planner.h"
#include "passes/pass.h"
#include <fmt/format.h>
#include <limits>

namespace trellis {

namespace {

/// A body with its first results turned into the successors of its first inputs.
struct CarryingBody {
  GraphPtr graph;
  Fusion fusion;
  CarryingBody(const Graph &body, size_t carries, const FuseOptions &options)
      : graph(rebuild(body, [](const Node &) { return Values{}; })) {
    Values inputs = graph->inputs();
    for (size_t i = 0; i < carries; ++i) graph->updates.push_back({inputs[i], graph->outputs[i].value});
    graph->outputs.erase(graph->outputs.begin(), graph->outputs.begin() + std::ptrdiff_t(carries));
    fusion = fuse(*graph, options);
  }
};

} // namespace

void Planner::add_control(int g) {
  const Node &n = *fusion_.groups[size_t(g)].anchor;
  std::string name = fmt::format("{}k{}_{}", name_, g, trellis::name(n.op));
  if (n.op == Op::cond)
    add_cond(n, name);
  else if (n.op == Op::loop)
    add_loop(n, name);
  else
    add_scan(n, name);
}

// Carried results hold the carried values from the start.
void Planner::begin_carries(const Node &n, size_t carries, const std::vector<int> &results) {
  for (size_t i = 0; i < carries; ++i) {
    Value v = n.operands[i];
    if (is_immediate(*v.node)) {
      storage_.fill(v.type(), v.node->attrs.get<Tensor>(Attr::value), results[i]);
      continue;
    }
    Layout rows = Layout::row_major(dims_of(v.shape()));
    storage_.copy(v.type(), source(v), rows, results[i], rows);
  }
}

void Planner::add_cond(const Node &n, const std::string &name) {
  std::vector<int> given, results;
  for (Value o : n.operands) given.push_back(source(o));
  for (uint32_t i = 0; i < n.types.size(); ++i) results.push_back(slot(n.result(i), storage_.now()));
  using Kind = ProgramCall::Kind;
  ProgramCall branch;
  branch.kind = Kind::branch, branch.name = name, branch.args = {given[0]};
  given.erase(given.begin());
  int test = storage_.add_call(branch), jump = 0;
  for (size_t b = 0; b < 2; ++b) {
    CarryingBody body(*n.bodies[b], 0, storage_.fuse);
    Planner(storage_, *body.graph, body.fusion, fmt::format("{}.{}.", name, b ? "else" : "then"))
        .run_body(given, results);
    if (b) break;
    ProgramCall over;
    over.kind = Kind::jump, over.name = name;
    jump = storage_.add_call(over);
    out_.calls[size_t(test)].target = storage_.now();
  }
  out_.calls[size_t(jump)].target = storage_.now();
  // Which branch ran is not known here: what either needs is there until the end of both.
  for (int s : given) storage_.touch(s, storage_.now());
  for (int s : results) storage_.touch(s, storage_.now());
}

void Planner::add_loop(const Node &n, const std::string &name) {
  size_t carries = n.types.size();
  std::vector<int> given, results;
  for (uint32_t i = 0; i < carries; ++i) results.push_back(slot(n.result(i), storage_.now()));
  begin_carries(n, carries, results);
  given = results;
  for (size_t i = carries; i < n.operands.size(); ++i) given.push_back(source(n.operands[i]));
  int goes_on = storage_.add_arena(1), first = int(out_.slots.size());
  using Kind = ProgramCall::Kind;
  ProgramCall loop;
  loop.kind = Kind::loop, loop.name = name, loop.loop = out_.loops++;
  loop.trips = n.attrs.i_or(Attr::trips, std::numeric_limits<int64_t>::max());
  int begin = storage_.add_call(loop);
  CarryingBody test(*n.bodies[0], 0, storage_.fuse), step(*n.bodies[1], carries, storage_.fuse);
  Planner(storage_, *test.graph, test.fusion, name + ".test.").run_body(given, {goes_on});
  ProgramCall branch;
  branch.kind = Kind::branch, branch.name = name, branch.args = {goes_on};
  int leave = storage_.add_call(branch);
  Planner(storage_, *step.graph, step.fusion, name + ".step.").run_body(given, {});
  for (int s : given) storage_.touch(s, storage_.now());
  storage_.keep_over_loop(first, begin);
  loop.kind = Kind::next, loop.target = begin + 1;
  storage_.add_call(loop);
  out_.calls[size_t(begin)].target = out_.calls[size_t(leave)].target = storage_.now();
}

void Planner::add_scan(const Node &n, const std::string &name) {
  size_t carries = size_t(n.attrs.i_or(Attr::carries, 0));
  size_t slices = size_t(n.attrs.i_or(Attr::slices, int64_t(n.operands.size() - carries)));
  int64_t trips = slices ? n.operands[carries].shape()[0].value() : n.attrs.i(Attr::trips);
  bool reverse = n.attrs.flag(Attr::reverse);
  std::vector<int> results, inputs, outputs;
  for (uint32_t i = 0; i < n.types.size(); ++i) results.push_back(slot(n.result(i), storage_.now()));
  begin_carries(n, carries, results);
  if (trips == 0) return;
  std::vector<int> given;
  for (size_t i = carries; i < n.operands.size(); ++i) given.push_back(source(n.operands[i]));
  int first = int(out_.slots.size());
  using Kind = ProgramCall::Kind;
  ProgramCall loop;
  loop.kind = Kind::loop, loop.name = name, loop.loop = out_.loops++, loop.trips = trips;
  auto moving = [&](int slot, const Type &t) {
    return storage_.add_moving(slot, loop.loop, t.bytes() / trips, trips, reverse);
  };
  for (size_t i = 0; i < carries; ++i) inputs.push_back(results[i]);
  for (size_t i = carries; i < n.operands.size(); ++i) {
    int s = given[i - carries];
    inputs.push_back(i < carries + slices ? moving(s, n.operands[i].type()) : s);
  }
  for (size_t i = carries; i < n.types.size(); ++i) outputs.push_back(moving(results[i], n.type(i)));
  int begin = storage_.add_call(loop);
  CarryingBody body(*n.bodies[0], carries, storage_.fuse);
  storage_.repeats *= double(trips);
  Planner(storage_, *body.graph, body.fusion, name + ".").run_body(inputs, outputs);
  storage_.repeats /= double(trips);
  for (const auto *all : {&inputs, &outputs})
    for (int s : *all) storage_.touch(s, storage_.now());
  storage_.keep_over_loop(first, begin);
  loop.kind = Kind::next, loop.target = begin + 1;
  storage_.add_call(loop);
  out_.calls[size_t(begin)].target = storage_.now();
}

} // namespace trellis

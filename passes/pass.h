// Passes: named functions from graph to graph, run in lists.
//
// How a pass changes a graph. Nodes are immutable, so a pass builds a new graph with `rebuild` and the old
// one goes, with every Value in it; only `grad` appends to the graph that it is given. What survives every
// pass: the declared inputs (order, name, role, initialiser), outputs and updates (order, name), the source
// location of a node on what replaces it, and the name of a value on its successor (which keeps its own where
// it has one). Nodes follow the order of what they replace, so the order of the source stays the order of the
// schedule.
#pragma once
#include "ir/graph.h"
#include "ir/rewrite.h"
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace trellis {

using GraphPtr = std::unique_ptr<Graph>;

/// What a pass does to a node: it sees the node in the new graph, its operands and bodies already rebuilt,
/// and returns what stands for its results (made in n.graph), or nothing to keep it.
using NodeRewrite = std::function<Values(const Node &n)>;

/// The graph with every reachable node passed through `rewrite`, operands before users. Bodies of control ops
/// too; bodies that are shared stay shared.
GraphPtr rebuild(const Graph &g, const NodeRewrite &rewrite);

struct PassOptions {
  std::set<std::string, std::less<>> off;         ///< passes that are left out of lists
  std::set<std::string, std::less<>> print_after; ///< print the graph after these
  bool print_after_all = false;
  bool verify = true;                   ///< check the graph after each pass
  bool time = false;                    ///< print how long each pass took
  Exactness allowed = Exactness::exact; ///< which rewrite rules `simplify` uses
  /// Composite nodes that a list's `decompose` leaves; absent: those that `legalize` rewrites itself.
  std::function<bool(const Node &)> keep;
  /// Where dumps and times go; stderr where absent.
  std::function<void(std::string_view)> print;
};

/// Words in parentheses behind a pass's name: grad(loss, w).
using PassArgs = std::vector<std::string>;

struct PassInfo {
  std::string_view name, doc;
  void (*run)(GraphPtr &g, const PassArgs &args, const PassOptions &options);
};
/// The table (passes.def), in its order.
std::span<const PassInfo> passes();
const PassInfo *find_pass(std::string_view name);

/// One stage of a compilation while it lives: at its end it times, prints and verifies the graph as the
/// options say. A graph that does not verify is an internal error that names the stage.
class PassScope {
public:
  PassScope(std::string_view name, GraphPtr &g, const PassOptions &options);
  ~PassScope();
  PassScope(const PassScope &) = delete;

private:
  std::string name_;
  GraphPtr &graph_;
  const PassOptions &options_;
  std::chrono::steady_clock::time_point start_;
  int unwinding_;
};

/// Splits "simplify,grad(loss,w),dce" at the commas outside parentheses.
std::vector<std::string> split_passes(std::string_view list);

/// Runs the passes in order, but those that are off. Throws a CompileError on a name that is not in the
/// table, listing those that are (names in `off` and `print_after` are checked too), and on one to print after that
/// does not run.
void run_passes(GraphPtr &g, const std::vector<std::string> &list, const PassOptions &options = {});

/// How often each rewrite rule fired in this process, and which never did; a list that is timed prints it.
std::string rule_report();

} // namespace trellis

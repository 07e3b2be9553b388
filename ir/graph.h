// The graph: interned immutable nodes in SSA over tensors.
//
// Invariants: operands of a node have smaller ids; two nodes with equal op, operands, attributes and bodies are one
// node (its first location is kept), but for inputs, which are told apart by name; ids depend only on the order of
// calls, so that output is reproducible. Nodes are never changed or removed; what no output reaches is not printed,
// compiled or run. Bodies of control ops are closed graphs: what they capture is an operand.
#pragma once
#include "ir/diag.h"
#include "ir/op.h"
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

namespace trellis {

class Graph;

/// One result of a node. A null Value means "none" (an absent cotangent, an optional operand).
struct Value {
  const Node *node = nullptr;
  uint32_t index = 0;
  explicit operator bool() const { return node != nullptr; }
  const Type &type() const;
  DType dtype() const { return type().dtype; }
  const Shape &shape() const { return type().shape; }
  int rank() const { return type().rank(); }
  Graph &graph() const;
  /// Identity (not elementwise equality, which is `eq`).
  bool is(Value o) const { return node == o.node && index == o.index; }
};

struct Node {
  uint32_t id = 0;
  Op op{};
  Values operands;
  Attrs attrs;
  std::vector<std::shared_ptr<const Graph>> bodies;
  std::vector<Type> types; ///< of the results
  Location loc;
  Graph *graph = nullptr;
  const OpInfo &info() const { return trellis::info(op); }
  Value result(uint32_t i = 0) const { return {this, i}; }
  const Type &type(size_t i = 0) const { return types[i]; }
};
inline const Type &Value::type() const { return node->types[index]; }
inline Graph &Value::graph() const { return *node->graph; }

struct NamedValue {
  std::string name;
  Value value;
};
/// `next` is the successor of the input `state`: the memory plan reuses the storage, and the next call sees it.
struct Update {
  Value state, next;
};

class Graph {
public:
  explicit Graph(std::string name = "main") : name(std::move(name)) {}
  Graph(const Graph &) = delete;
  Graph &operator=(const Graph &) = delete;

  std::string name;
  Location location; ///< given to nodes made from now on; see LocationScope

  /// Infers types and interns. Throws CompileError at `location` when operands or attributes do not fit the op.
  const Node *node(Op op, Values operands, Attrs attrs = {}, std::vector<std::shared_ptr<const Graph>> bodies = {});
  Value make(Op op, Values operands, Attrs attrs = {}) {
    return node(op, std::move(operands), std::move(attrs))->result();
  }

  /// role: "data" (given at every call), "param" (trained) or "state" (kept between calls, not trained).
  Value input(std::string_view name, Type type, std::string_view role = "data", std::string_view init = {});
  Value constant(Tensor value);
  Value scalar(DType dtype, double value);
  /// A scalar constant expanded to `like`'s shape.
  Value splat(const Type &like, double value);

  /// Inputs in order of declaration (data, parameters and state together).
  const std::vector<Value> &inputs() const { return inputs_; }
  Value find_input(std::string_view name) const;
  std::vector<NamedValue> outputs;
  std::vector<Update> updates;

  /// The name that the source gave a value, if any; unique in the graph (a taken name is refused with false).
  bool set_name(Value v, std::string_view name);
  std::string_view name_of(Value v) const;
  Value find_name(std::string_view name) const;

  /// Nodes that outputs and updates (and declared inputs) reach, operands before users, in order of id.
  std::vector<const Node *> reachable() const;
  size_t node_count() const { return nodes_.size(); }
  const Node *node_at(uint32_t id) const { return &nodes_[id]; }

private:
  struct Key;
  std::deque<Node> nodes_;
  std::unordered_multimap<size_t, const Node *> interned_;
  std::vector<Value> inputs_;
  std::unordered_map<uint64_t, std::string> names_; // (id << 8 | index) -> name
  std::unordered_map<std::string, Value> by_name_;
};

/// Nodes made while it lives get this location.
class LocationScope {
public:
  LocationScope(Graph &g, Location loc) : graph_(g), saved_(std::move(g.location)) { g.location = std::move(loc); }
  ~LocationScope() { graph_.location = std::move(saved_); }
  LocationScope(const LocationScope &) = delete;

private:
  Graph &graph_;
  Location saved_;
};

/// Runs the checks and the shape rule of `op`: makes `attrs` canonical and gives the results' types. Throws CompileError
/// at `loc`.
std::vector<Type> infer(Op op, const Values &operands, Attrs &attrs,
                        const std::vector<std::shared_ptr<const Graph>> &bodies, const Location &loc);

/// What a shape rule sees and says. Rules normalise attributes to canonical form (defaults erased, axes not negative).
class Infer {
public:
  Op op;
  const Values &operands;
  Attrs &attrs;
  const std::vector<std::shared_ptr<const Graph>> &bodies;
  const Location &loc;
  std::vector<Type> types; ///< out

  const Type &x(size_t i = 0) const { return operands[i].type(); }
  /// Throws: "conv: <text>" at the node's location.
  [[noreturn]] void fail(const std::string &text) const;
  void require(bool ok, const std::string &text) const {
    if (!ok) fail(text);
  }
  void result(DType dtype, Shape shape) { types.push_back({dtype, std::move(shape)}); }
  /// `axis` made non-negative and checked against `rank`.
  int64_t axis(int64_t axis, int rank) const;
};

/// What a derivative sees: the node and the cotangents of its results.
struct Vjp {
  const Node &node;
  const Values &dys; ///< one a result; a null Value where none flows
  Value dy;          ///< dys[0]
  Value y;           ///< result 0
  Values x;          ///< operands
  Graph &graph() const { return *node.graph; }
};
/// What an expansion sees: the node, and its operands in the graph where the expansion is built.
struct Expand {
  const Node &node;
  Values x;
  Graph &graph() const { return x.empty() ? *node.graph : x[0].graph(); }
};
/// What a whole-node interpreter sees: operand tensors in, result tensors (allocated, zero) out.
struct EvalContext {
  const Node &node;
  const std::vector<Tensor> &x;
  std::vector<Tensor> &y;
};

/// `v` rewritten with every input found in `map` replaced, in the graph `into` (may be the same one).
/// Shapes are inferred anew. `map` grows by every node that is copied.
using ValueMap = std::unordered_map<const Node *, Values>;
Value copy_into(Graph &into, Value v, ValueMap &map);

/// By id, whether these values of `g` need the node.
std::vector<bool> needed_by(const Graph &g, const std::vector<NamedValue> &values);

/// A copy of `g`, its names, outputs and updates, in which each input is the value that `become` makes of it in the new graph;
/// null: nothing needs it, and it is left out.
std::unique_ptr<Graph> copy_graph(const Graph &g, const std::function<Value(Graph &into, Value input)> &become);
/// An input of the same name, type, role and beginning.
Value same_input(Graph &into, Value input);

} // namespace trellis

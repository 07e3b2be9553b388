// The walk over an ONNX graph: names to values, nodes to recipes, and what is known at import.
#pragma once
#include "compiler/onnx/import.h"
#include "compiler/onnx/recipe.h"
#include <unordered_map>
#include <unordered_set>

namespace trellis::onnx {

/// What a name stands for. Broken: its node was refused, so that what depends on it is left aside silently. Sequences
/// and optionals exist at import alone; an optional that has an element is that element.
struct Entry {
  Value value;
  bool broken = false;
  std::shared_ptr<const Values> sequence = {};
  bool absent = false; ///< an optional without an element
  Count count = {};
};
using Entries = std::vector<Entry>;

struct Scope {
  const Scope *outer = nullptr;
  std::unordered_map<std::string, Entry> names;
  const Entry *find(const std::string &name) const;
};

class Importer {
public:
  Importer(const File &file, const ImportOptions &options);
  Imported run();

  /// The elements of `v` where constants, weights and given inputs decide them, through the interpreter; nothing where
  /// they do not, or where that would be much work.
  std::optional<Tensor> known(Value v);
  /// Whether `known` needs an input that is given.
  bool is_given(Value v);
  /// The tensor under a name in the scope of the node at hand; null: there is none.
  Value named(const std::string &name) const {
    const Entry *e = scope_->find(name);
    return e ? e->value : Value{};
  }
  /// The results of a subgraph in the scope of the node at hand; `arguments` are of its inputs.
  Entries run_body(const GraphProto &body, const Entries &arguments);
  /// The same with tensors alone.
  Values run_body(const GraphProto &body, const Values &arguments);
  /// Runs `f`, which may read bodies; what it reports is taken back and returned. Empty: it went well.
  std::vector<Diagnostic> attempt(const std::function<void()> &f);
  /// A value that stands for an argument of a body until the body is closed over it (bodies.h).
  Value placeholder(const Type &t);
  Tensor tensor(const TensorProto &t, const Location &where) const { return tensor_of(file_, t, where); }
  Tensor tensor(const SparseTensorProto &t, const Location &where) const { return tensor_of(file_, t, where); }

  /// What an operand of the node at hand is, beyond a tensor; null: no such name.
  const Entry *entry(const std::string &name) const { return scope_->find(name); }
  /// A result of the node at hand that is no plain tensor.
  void give(int output, Entry e) { given_results_.emplace_back(output, std::move(e)); }
  void give_sequence(int output, Values values) {
    give(output, {{}, false, std::make_shared<const Values>(std::move(values))});
  }

  /// See ImportOptions::trainable.
  bool trainable() const { return options_.trainable; }
  Value drop_out(Value x, double ratio);

  /// While it lives, a body is read once for all its iterations, of which `number` (an i64 scalar) tells the one at hand.
  class Rolled {
  public:
    Rolled(Importer &importer, Value number) : importer_(importer) { importer_.turns_.push_back({number, false}); }
    ~Rolled() { importer_.turns_.pop_back(); }
    Rolled(const Rolled &) = delete;
    Rolled &operator=(const Rolled &) = delete;
    /// Whether a node of the body asked for its seed.
    bool drew() const { return importer_.turns_.back().drew; }

  private:
    Importer &importer_;
  };
  /// The seed of a node that draws random numbers: another one for each iteration of the bodies it is in.
  Value seed_here(Value seed);

private:
  struct Turn {
    Value number;
    bool drew;
  };
  using Opsets = std::unordered_map<std::string, int>;
  void declare_inputs();
  void declare_initialisers(const GraphProto &graph, Scope &scope, bool weights);
  Shape shape_of_input(const ValueInfoProto &v, const Tensor *given, const Location &where);
  void run_nodes(const google::protobuf::RepeatedPtrField<NodeProto> &nodes, Scope &scope);
  void run_node(const NodeProto &node, Scope &scope);
  Entries run_step(const NodeProto &node, const Entries &operands, bool counted, const Location &where);
  Entry built_in(const Entry &e, const NodeProto &node, int operand, const Location &where);
  Entries results_of(const NodeProto &node, Scope &scope, const Location &where);
  Entries inline_function(const FunctionProto &f, const NodeProto &node, const Scope &scope, const Location &where);
  std::unique_ptr<Graph> finish();
  Entry lookup(const std::string &name, const Scope &scope, const Location &where) const;
  void report(const CompileError &e);
  /// Whether values are known, and whether given inputs decide them: of this node and those before it.
  struct Judged {
    bool known = true, given = false;
    double work = 0; ///< elements that evaluating the node itself touches
  };
  void judge(const Node *node);

  const File &file_;
  const ImportOptions &options_;
  std::unique_ptr<Graph> graph_;
  Value seed_; // of dropout
  int dropouts_ = 0;
  std::vector<Turn> turns_; // of rolled bodies, the innermost last
  Opsets opsets_;
  std::unordered_map<std::string, const FunctionProto *> functions_;
  Scope top_;
  Scope *scope_ = nullptr; // of the node at hand
  Bindings dims_;
  std::vector<Diagnostic> errors_;
  std::vector<CountedOutput> counted_;
  std::unordered_map<const Node *, Tensor> weights_, given_;
  std::unordered_map<const Node *, std::vector<Tensor>> known_;
  std::unordered_map<const Node *, Judged> judged_;
  double evaluated_ = 0; // elements that `known` touched
  std::unordered_set<std::string> specialised_, state_slots_;
  std::vector<std::pair<int, Entry>> given_results_;
  std::unordered_set<const Node *> placeholders_;
  int depth_ = 0;
  int64_t steps_ = 0;
};

/// The graph's name as an identifier; the name of axis `k` where it has no number.
std::string name_of_graph(const GraphProto &g);
std::string name_of_dim(const ValueInfoProto &v, int k);
/// "node 'conv1' (Conv)" in `file`.
Location location_of(const File &file, const NodeProto &node);
/// Operator sets by domain ("" is the standard's).
template <class List> std::unordered_map<std::string, int> opsets_of(const List &list) {
  std::unordered_map<std::string, int> out;
  for (const OperatorSetIdProto &o : list)
    out[o.domain() == "ai.onnx" ? "" : o.domain()] = int(std::min<int64_t>(o.version(), 1 << 20));
  return out;
}
std::string function_key(std::string_view domain, std::string_view name, std::string_view overload);
/// Why this operator has no recipe at its version; empty: it has one.
std::string refusal(const NodeProto &node, const std::unordered_map<std::string, int> &opsets);

} // namespace trellis::onnx

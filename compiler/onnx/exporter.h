// The walk from a graph to ONNX nodes, and what an op's row of it sees.
#pragma once
#include "compiler/onnx/export.h"
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace trellis::onnx {

using Names = std::vector<std::string>;
using Ints = std::vector<int64_t>;

struct NodeAttr {
  const char *name;
  std::variant<int64_t, double, const char *, Ints, GraphProto> value;
};

/// One graph's nodes while they are written; bodies have writers of their own on the same names and constants.
class Writer {
public:
  struct Shared { ///< by all graphs of a model
    GraphProto *main = nullptr;
    std::unordered_set<std::string> taken;
    std::unordered_map<std::string, std::string> constants; ///< by contents, small ones
  };
  Writer(GraphProto &graph, Shared &shared) : graph_(graph), shared_(shared) {}

  /// A node with one result, or with several; `name` is what its results are called after.
  std::string call(const char *op, const Names &in, const std::vector<NodeAttr> &attrs = {});
  Names call_all(const char *op, const Names &in, size_t results, const std::vector<NodeAttr> &attrs = {});
  std::string cast(const std::string &x, DType from, DType to);
  std::string reshape(const std::string &x, const Ints &dims);
  std::string expand(const std::string &x, const Ints &dims);
  std::string permute(const std::string &x, const Ints &perm);
  /// Elements [start, limit) of one axis.
  std::string narrow(const std::string &x, int64_t axis, int64_t start, int64_t limit);
  /// Zeros or `fill` around; counts are not negative.
  std::string pad(const std::string &x, DType t, const Ints &lo, const Ints &hi, const std::string &fill = {});

  std::string constant(const Tensor &t);
  std::string ints(const Ints &values);
  std::string scalar(DType t, double value);
  /// A scalar of zero bits or of all ones.
  std::string integer(DType t, int64_t value);

  /// The nodes of `g`, whose inputs are these names; the names of its outputs, each a result of this graph.
  Names inline_graph(const Graph &g, const Names &inputs);
  /// `g` as a body: inputs from `first` to `last` are its own, the others names of the graphs around it.
  GraphProto body(const Graph &g, const Names &operands, size_t first, size_t last);
  /// The results of one node.
  Names node(const Node &n, const Names &operands);

  std::string fresh(std::string_view like);
  GraphProto &graph() { return graph_; }
  Shared &shared() { return shared_; }
  std::string hint; ///< names of the nodes at hand

private:
  GraphProto &graph_;
  Shared &shared_;
};

/// How an op is written: the names of its results from those of its operands.
using Export = Names (*)(Writer &w, const Node &n, const Names &x);
struct ExportRow {
  Export write = nullptr;
  bool (*fits)(const Node &) = nullptr; ///< of a composite: otherwise it is expanded; null: always
};
/// The rows of all ops that are written as they stand; a composite without one is expanded.
const std::map<Op, ExportRow> &export_rows();
using ExportRows = std::map<Op, ExportRow>;
void add_elementwise(ExportRows &), add_movement(ExportRows &), add_indexed(ExportRows &), add_networks(ExportRows &),
    add_control(ExportRows &);

/// x, whose dims `d` are and become, with `count` elements of `fill` (empty: zero) between neighbours of one axis.
std::string spread(Writer &w, const std::string &x, DType t, Ints &d, size_t axis, int64_t count,
                   const std::string &fill = {});
/// Padding that crops where it is negative.
std::string surround(Writer &w, std::string x, DType t, Ints &d, Ints lo, Ints hi, const std::string &fill = {});

/// Refuses `n` at its location.
[[noreturn]] void no_form(const Node &n, const std::string &why);
int onnx_type(DType t);
TensorProto tensor_proto(const std::string &name, const Tensor &t);
ValueInfoProto value_info(const std::string &name, const Type &t);
/// The constant that `v` shows, perhaps repeated; null: it shows none.
const Tensor *constant_behind(Value v);

} // namespace trellis::onnx

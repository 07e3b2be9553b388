// Recipes: how an ONNX operator becomes nodes of the graph. A recipe is a function of a Step, registered under the
// operator's name and the opset version from which it holds; operators with the table's `.onnx` name that are elementwise
// need none.
#pragma once
#include "compiler/onnx/model.h"
#include "ir/build.h"
#include <functional>
#include <map>
#include <optional>
#include <span>

namespace trellis::onnx {

using Ints = std::vector<int64_t>;
class Importer;

/// The true number of elements along one axis of a tensor whose shape only bounds it; what lies behind them means nothing.
struct Count {
  int axis = -1;
  Value number; ///< i64 scalar; null: the shape is the true one
  explicit operator bool() const { return bool(number); }
};

/// What a recipe sees: one ONNX node, its operands as values of the graph, its attributes.
class Step {
public:
  Step(Importer &importer, Graph &g, const NodeProto &node, int version, std::vector<Value> operands, Location where);

  Graph &g;
  const NodeProto &node;
  int version; ///< of the operator set
  Importer &importer;
  Location where;

  /// Operands: number of them (absent ones included), presence, and value. A missing one that is needed is an error.
  int inputs() const { return int(operands_.size()); }
  bool has(int i) const { return i < inputs() && operands_[size_t(i)]; }
  Value in(int i) const;
  /// Null where it is absent.
  Value opt(int i) const { return has(i) ? operands_[size_t(i)] : Value{}; }
  /// All operands, each present.
  Values all() const;
  /// Of an operand; only the operators in counted.cpp get operands that have one.
  Count count(int i) const { return size_t(i) < counts.size() ? counts[size_t(i)] : Count{}; }
  /// Of the results, for a recipe to tell.
  void give_count(int output, Count c) {
    if (result_counts.size() <= size_t(output)) result_counts.resize(size_t(output) + 1);
    result_counts[size_t(output)] = c;
  }
  std::vector<Count> counts, result_counts; ///< empty: none
  bool wants(int output) const { return output < node.output_size() && !node.output(output).empty(); }

  /// Attributes, with the operator's default.
  const AttributeProto *attr(std::string_view name) const;
  int64_t i(std::string_view name, int64_t otherwise) const;
  double f(std::string_view name, double otherwise) const;
  std::string s(std::string_view name, std::string_view otherwise) const;
  Ints ints(std::string_view name, Ints otherwise = {}) const;
  std::vector<double> floats(std::string_view name) const;
  /// An attribute that must be there.
  int64_t need_i(std::string_view name) const;

  /// The elements of an operand that has to be known when the model is imported; an error where it depends on inputs
  /// whose values are not given.
  Tensor known(int i) const;
  std::optional<Tensor> maybe_known(int i) const { return known_value(in(i)); }
  /// The same of a value that the recipe made.
  std::optional<Tensor> known_value(Value v) const;
  Ints known_ints(int i) const;
  double known_real(int i) const;
  /// A whole number; one of a float is cut, and must lie within 2^53.
  int64_t known_whole(int i) const;
  /// Integers from operand `i` or, where the opset has it so, from an attribute; nothing where both are absent.
  std::optional<Ints> ints_of(int i, std::string_view attribute) const;

  /// `axis` counted from the front; an error where it is out of range.
  int64_t axis(int64_t axis, int rank) const;
  Ints axes(Ints axes, int rank) const;
  /// The elements of a table of these extents that import itself fills; an error where they are too many to be meant.
  int64_t table(std::initializer_list<int64_t> extents, std::string_view what) const;
  [[noreturn]] void fail(const std::string &text) const;
  void require(bool ok, const std::string &text) const {
    if (!ok) fail(text);
  }
  DType dtype(int64_t type) const { return dtype_of(int(type), where); }
  Value constant(DType t, double value) const { return g.scalar(t, value); }
  Value constant(const Ints &values) const;

private:
  std::vector<Value> operands_;
};

using Recipe = Values (*)(Step &);

/// The recipes of an operator, by the version from which each holds.
class Recipes {
public:
  void on(std::string_view name, int since, Recipe recipe, std::string_view domain = "");
  void on(std::initializer_list<std::string_view> names, int since, Recipe recipe);
  /// What holds at `version`; null: none.
  Recipe find(std::string_view domain, std::string_view name, int version) const;
  /// Any version has one.
  bool knows(std::string_view domain, std::string_view name) const;
  static const Recipes &all();
  /// "domain:name" with its versions; the standard's domain is empty.
  const std::map<std::string, std::map<int, Recipe>, std::less<>> &by_name() const { return by_name_; }

private:
  std::map<std::string, std::map<int, Recipe>, std::less<>> by_name_; // "domain:name"
};

/// The families (a file each).
void add_classic(Recipes &), add_contraction(Recipes &), add_control(Recipes &), add_counted(Recipes &),
    add_determinant(Recipes &), add_elementwise(Recipes &), add_features(Recipes &), add_fused(Recipes &),
    add_fused_attention(Recipes &), add_indexed(Recipes &), add_loops(Recipes &), add_mixing(Recipes &),
    add_movement(Recipes &), add_normalisation(Recipes &), add_pooling(Recipes &), add_quantised(Recipes &),
    add_random(Recipes &), add_recurrent(Recipes &), add_reduction(Recipes &), add_retired(Recipes &),
    add_sampling(Recipes &), add_shape(Recipes &), add_signal(Recipes &), add_training(Recipes &), add_trees(Recipes &),
    add_vectors(Recipes &);

/// The op whose table row has this ONNX name and takes operands one for one: elementwise, and composites of such.
std::optional<Op> aliased(std::string_view name);

} // namespace trellis::onnx

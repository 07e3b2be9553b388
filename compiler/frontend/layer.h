// Layers: value-semantic handles that chain into models and emit themselves into a graph.
//
//   auto model = Conv2d(6, 5, {.pad = same}) >> ReLU() >> MaxPool(2) >> Flatten() >> Dense(10);
//   auto graph = build_graph(model, {DType::f32, {Dim::symbol("N"), 1, 28, 28}});
//
// Shapes are inferred when the layer is built: only extents of results are named. A handle is shared by
// copying: one that is used twice in a model has one set of parameters; `clone` makes fresh ones. Parameters
// are named by the path of the layer in the model: the position in its chain, or the name given by `named`:
// "0.weight", "conv1.bias", "2.1.weight". A chain of chains made by `>>` is one flat chain; `sequential`
// makes a nested one.
#pragma once
#include "ir/build.h"
#include <functional>
#include <map>
#include <set>
#include <source_location>

namespace trellis::nn {

class Build;

class Layer {
public:
  using Emit = std::function<Value(Build &, Value)>;
  /// A layer of one's own: `kind` ("Dense") stands in error messages, `emit` makes nodes and asks `Build` for
  /// parameters.
  Layer(std::string kind, Emit emit, std::source_location at = std::source_location::current());

  /// Emits the layer's nodes for the input `x`. Throws a located CompileError where `x` does not fit.
  Value operator()(Build &b, Value x) const;
  /// The same layer (with the same parameters) under a name of its own.
  Layer named(std::string name) const;
  const std::string &kind() const;

  /// b after a.
  friend Layer operator>>(const Layer &a, const Layer &b);
  /// The sum of what both make of one input.
  friend Layer operator+(const Layer &a, const Layer &b);
  friend Layer sequential(const std::vector<Layer> &layers);
  friend Layer concatenate(const std::vector<Layer> &layers, int64_t axis);
  friend Layer residual(const Layer &inner);
  friend Layer clone(const Layer &layer, int count);

private:
  friend class Build;
  using Join = std::function<Value(Build &, const std::vector<Layer> &, Value)>;
  struct Impl {
    std::string kind;
    Location at;
    Emit emit;                   ///< of a leaf
    std::vector<Layer> children; ///< of a combination
    Join join;
    enum class Naming : uint8_t {
      nested, ///< its name stands before its children's
      open,   ///< made by >>: merges into a longer chain
      absent, ///< its one child has its name
    } naming = Naming::nested;
  };
  explicit Layer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  static Layer combine(std::string kind, std::vector<Layer> children, Join join,
                       Impl::Naming naming = Impl::Naming::nested);
  using Copies = std::map<const Impl *, std::shared_ptr<const Impl>>;
  Layer fresh(Copies &copies) const;

  std::shared_ptr<const Impl> impl_;
  std::string name_;
};

/// A nested chain.
Layer sequential(const std::vector<Layer> &layers);
/// What all make of one input, side by side along `axis`.
Layer concatenate(const std::vector<Layer> &layers, int64_t axis = 1);
/// x + inner(x).
Layer residual(const Layer &inner);
/// `count` copies in a chain, each with parameters of its own (handles shared inside stay shared inside a
/// copy).
Layer clone(const Layer &layer, int count = 1);

/// What layers emit into: a graph, the path of the layer that is being built, and the parameters so far.
class Build {
public:
  /// `dtype` is that of parameters where the input is not floating-point (embeddings).
  explicit Build(Graph &g, DType dtype = DType::f32) : graph_(g), dtype_(dtype) {}
  Graph &graph() { return graph_; }
  DType dtype() const { return dtype_; }
  /// A parameter of the layer being built, "PATH.name"; the same one whenever the layer is built again.
  Value param(std::string_view name, Type type, std::string_view init) {
    return input(name, std::move(type), "param", init);
  }
  /// State that is kept between calls and not trained.
  Value state(std::string_view name, Type type, std::string_view init) {
    return input(name, std::move(type), "state", init);
  }
  /// One for the whole model, whatever layer asks: "name" itself.
  Value shared_state(std::string_view name, Type type, std::string_view init);
  /// A number that no other layer of the model gets.
  int64_t next_stream() { return streams_++; }
  /// Throws: "Dense: <text>" at the layer.
  [[noreturn]] void fail(const std::string &text) const;
  void require(bool ok, const std::string &text) const {
    if (!ok) fail(text);
  }

private:
  friend class Layer;
  Value input(std::string_view name, Type type, std::string_view role, std::string_view init);
  std::string enter(const Layer &layer);

  Graph &graph_;
  DType dtype_;
  std::string path_;
  const Layer *current_ = nullptr;
  static constexpr int kRoot = -1, kInherit = -2;
  int position_ = kRoot; ///< in the combination that is being built; kInherit: its one child has its name
  int64_t streams_ = 0;
  std::map<std::pair<const void *, std::string>, Value> inputs_; // (layer, name) -> input
  std::set<std::string> roots_;
};

/// A graph with the data input "x" and the output "y".
std::unique_ptr<Graph> build_graph(const Layer &model, Type input, std::string_view name = "model");

} // namespace trellis::nn

namespace trellis::nn {
using trellis::Dim, trellis::DType, trellis::Graph, trellis::Shape, trellis::Tensor, trellis::Type, trellis::Value;
}

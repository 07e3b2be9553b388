// The inputs of a model with their shapes for the binding at hand, and its initialisers.
#include "compiler/onnx/importer.h"
#include "compiler/onnx/roles.h"
#include <fmt/format.h>

namespace trellis::onnx {

Shape Importer::shape_of_input(const ValueInfoProto &v, const Tensor *given, const Location &where) {
  const TypeProto::Tensor &type = v.type().tensor_type();
  if (!type.has_shape()) {
    if (!given) throw CompileError(where, "its shape is not known: give the input's tensor");
    return shape_of(given->dims());
  }
  if (given && given->rank() != type.shape().dim_size())
    throw CompileError(where,
                       fmt::format("has rank {}, but {} is given", type.shape().dim_size(), given->type().str()));
  Shape shape;
  for (int k = 0; k < type.shape().dim_size(); ++k) {
    const TensorShapeProto::Dimension &d = type.shape().dim(k);
    int64_t there = given ? given->dims()[size_t(k)] : -1;
    if (d.has_dim_value() && d.dim_value() >= 0 && !(d.dim_value() == 0 && given)) {
      if (given && there != d.dim_value())
        throw CompileError(
            where, fmt::format("axis {} has {} elements, but {} is given", k, d.dim_value(), given->type().str()));
      shape.push_back(d.dim_value());
      continue;
    }
    std::string name = name_of_dim(v, k);
    auto it = dims_.find(name);
    if (given && it == dims_.end()) it = dims_.emplace(name, there).first;
    if (it == dims_.end())
      throw CompileError(where,
                         fmt::format("dim '{}' has no number: give --dim {}=NUMBER or the input's tensor", name, name));
    if (given && it->second != there)
      throw CompileError(where, fmt::format("dim '{}' is {}, but {} is given", name, it->second, given->type().str()));
    shape.push_back(it->second);
  }
  return shape;
}

void Importer::declare_inputs() {
  const GraphProto &g = file_.model->graph();
  std::unordered_set<std::string> initialised;
  for (const TensorProto &t : g.initializer()) initialised.insert(t.name());
  for (const SparseTensorProto &t : g.sparse_initializer()) initialised.insert(t.values().name());
  for (const ValueInfoProto &v : g.input()) {
    auto it = options_.given.find(v.name());
    const Tensor *given = it == options_.given.end() ? nullptr : &it->second;
    if (initialised.contains(v.name()) && !given) continue;
    Location where = file_.at(fmt::format("input {}", quote_name(v.name())));
    LocationScope at(*graph_, where);
    try {
      if (v.type().value_case() != TypeProto::kTensorType) throw CompileError(where, "only tensors can be inputs");
      DType dtype = dtype_of(v.type().tensor_type().elem_type(), where);
      if (given && given->dtype() != dtype)
        throw CompileError(where, fmt::format("is of {}, but {} is given", name(dtype), given->type().str()));
      Value x = graph_->input(v.name(), {dtype, shape_of_input(v, given, where)});
      if (given) given_.emplace(x.node, *given);
      top_.names[v.name()] = {x, false, nullptr};
    } catch (const CompileError &e) {
      report(e);
      top_.names[v.name()] = {{}, true};
    }
  }
}

void Importer::declare_initialisers(const GraphProto &graph, Scope &scope, bool weights) {
  auto declare = [&](const std::string &name, auto &&tensor) {
    if (scope.names.contains(name)) return; // an input that is given
    Location where = file_.at(fmt::format("initializer {}", quote_name(name)));
    LocationScope at(*graph_, where);
    try {
      Tensor t = tensor(where);
      bool weight = weights && is_weight(t);
      Value v =
          weight ? graph_->input(name, t.type(), state_slots_.contains(name) ? "state" : "param") : graph_->constant(t);
      if (weight) weights_.emplace(v.node, t);
      scope.names[name] = {v};
    } catch (const CompileError &e) {
      report(e);
      scope.names[name] = {{}, true};
    }
  };
  for (const TensorProto &t : graph.initializer()) declare(t.name(), [&](const Location &at) { return tensor(t, at); });
  for (const SparseTensorProto &t : graph.sparse_initializer())
    declare(t.values().name(), [&](const Location &at) { return tensor(t, at); });
}

} // namespace trellis::onnx

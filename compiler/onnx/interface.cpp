#include "compiler/onnx/import.h"
#include "compiler/onnx/importer.h"
#include "compiler/onnx/roles.h"
#include <fmt/format.h>

namespace trellis::onnx {

static Shape declared_shape(const ValueInfoProto &v) {
  Shape shape;
  const TensorShapeProto &dims = v.type().tensor_type().shape();
  for (int k = 0; k < dims.dim_size(); ++k) {
    const TensorShapeProto::Dimension &d = dims.dim(k);
    shape.push_back(d.has_dim_value() && d.dim_value() >= 0 ? Dim(d.dim_value()) : Dim::symbol(name_of_dim(v, k)));
  }
  return shape;
}

Interface interface_of(const File &file) {
  check_model(file);
  const GraphProto &g = file.model->graph();
  Interface out;
  out.inputs = std::make_unique<Graph>(name_of_graph(g));
  out.inputs->location = file.at();
  std::unordered_set<std::string> initialised;
  for (const TensorProto &t : g.initializer()) initialised.insert(t.name());
  for (const SparseTensorProto &t : g.sparse_initializer()) initialised.insert(t.values().name());
  for (const ValueInfoProto &v : g.input()) {
    if (initialised.contains(v.name())) continue;
    Location where = file.at(fmt::format("input {}", quote_name(v.name())));
    LocationScope at(*out.inputs, where);
    if (v.type().value_case() != TypeProto::kTensorType) throw CompileError(where, "only tensors can be inputs");
    if (!v.type().tensor_type().has_shape())
      throw CompileError(where, "its shape is not known: give the input's tensor");
    out.inputs->input(v.name(), {dtype_of(v.type().tensor_type().elem_type(), where), declared_shape(v)});
  }
  std::unordered_set<std::string> state = names_in_state_slots(g);
  auto declare = [&](const std::string &name, const auto &t) {
    Location where = file.at(fmt::format("initializer {}", quote_name(name)));
    LocationScope at(*out.inputs, where);
    Tensor w = tensor_of(file, t, where);
    if (!is_weight(w) || out.inputs->find_input(name)) return;
    out.inputs->input(name, w.type(), state.contains(name) ? "state" : "param");
    out.weights.push_back({name, w});
  };
  for (const TensorProto &t : g.initializer()) declare(t.name(), t);
  for (const SparseTensorProto &t : g.sparse_initializer()) declare(t.values().name(), t);
  for (const ValueInfoProto &v : g.output()) {
    std::optional<Type> type;
    if (v.type().value_case() == TypeProto::kTensorType && v.type().tensor_type().has_shape())
      type = Type{dtype_of(v.type().tensor_type().elem_type(), file.at(fmt::format("output {}", quote_name(v.name())))),
                  declared_shape(v)};
    out.outputs.push_back({v.name(), type});
  }
  return out;
}

} // namespace trellis::onnx

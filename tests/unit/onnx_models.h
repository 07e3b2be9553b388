// Small ONNX models, made message by message.
#pragma once
#include "compiler/onnx/import.h"
#include "ir/eval.h"
#include <gtest/gtest.h>

namespace trellis::onnx {

class ModelMaker {
public:
  explicit ModelMaker(int opset = 17) {
    model.set_ir_version(8);
    graph = model.mutable_graph();
    graph->set_name("test");
    opset_import("", opset);
  }
  void opset_import(const std::string &domain, int version) {
    OperatorSetIdProto *o = model.add_opset_import();
    o->set_domain(domain), o->set_version(version);
  }
  /// Dims of -1 are called N.
  void input(const std::string &name, const std::vector<int64_t> &dims, int type = TensorProto::FLOAT) {
    TypeProto::Tensor *t = graph->add_input()->mutable_type()->mutable_tensor_type();
    graph->mutable_input(graph->input_size() - 1)->set_name(name);
    t->set_elem_type(type);
    t->mutable_shape();
    for (int64_t d : dims)
      if (d < 0)
        t->mutable_shape()->add_dim()->set_dim_param("N");
      else
        t->mutable_shape()->add_dim()->set_dim_value(d);
  }
  void output(const std::string &name) { graph->add_output()->set_name(name); }
  TensorProto *floats(const std::string &name, const std::vector<int64_t> &dims, const std::vector<float> &values) {
    return fill(graph->add_initializer(), name, dims, values);
  }
  TensorProto *ints(const std::string &name, const std::vector<int64_t> &values) {
    TensorProto *t = graph->add_initializer();
    t->set_name(name), t->set_data_type(TensorProto::INT64), t->add_dims(int64_t(values.size()));
    for (int64_t v : values) t->add_int64_data(v);
    return t;
  }
  NodeProto *node(const std::string &op, const std::vector<std::string> &in, const std::vector<std::string> &out) {
    return fill(graph->add_node(), op, in, out);
  }
  static NodeProto *fill(NodeProto *n, const std::string &op, const std::vector<std::string> &in,
                         const std::vector<std::string> &out) {
    n->set_op_type(op), n->set_name(out.empty() ? op : "make_" + out[0]);
    for (const std::string &x : in) n->add_input(x);
    for (const std::string &y : out) n->add_output(y);
    return n;
  }
  static TensorProto *fill(TensorProto *t, const std::string &name, const std::vector<int64_t> &dims,
                           const std::vector<float> &values) {
    t->set_name(name), t->set_data_type(TensorProto::FLOAT);
    for (int64_t d : dims) t->add_dims(d);
    for (float v : values) t->add_float_data(v);
    return t;
  }
  File file() const { return {"net.onnx", ".", std::make_shared<ModelProto>(model)}; }

  ModelProto model;
  GraphProto *graph;
};

inline AttributeProto *attribute(NodeProto *n, const std::string &name) {
  AttributeProto *a = n->add_attribute();
  a->set_name(name);
  return a;
}
inline void set_int(NodeProto *n, const std::string &name, int64_t v) { attribute(n, name)->set_i(v); }
inline void set_ints(NodeProto *n, const std::string &name, const std::vector<int64_t> &v) {
  AttributeProto *a = attribute(n, name);
  for (int64_t e : v) a->add_ints(e);
}

inline Tensor floats(std::vector<int64_t> dims, std::vector<float> v) {
  return Tensor::of<float>(DType::f32, std::move(dims), std::span<const float>(v));
}
inline Tensor integers(std::vector<int64_t> v) {
  return Tensor::of<int64_t>(DType::i64, {int64_t(v.size())}, std::span<const int64_t>(v));
}

/// The outputs by the interpreter, weights included, cut to their counts.
inline std::vector<Tensor> run(const Imported &imported, std::map<std::string, Tensor> inputs) {
  for (const NamedTensor &w : imported.weights) inputs.emplace(w.name, w.tensor);
  std::vector<Tensor> all = evaluate(*imported.graph, inputs), out;
  std::vector<NamedTensor> named;
  for (size_t i = 0; i < all.size(); ++i) named.push_back({imported.graph->outputs[i].name, all[i]});
  cut_to_counts(named, imported.counted);
  for (NamedTensor &t : named) out.push_back(std::move(t.tensor));
  return out;
}
inline std::vector<Tensor> run(const ModelMaker &m, const std::map<std::string, Tensor> &inputs) {
  return run(import_model(m.file(), {inputs, {}}), inputs);
}
inline void expect(const Tensor &t, std::vector<int64_t> dims, std::vector<double> values, double tolerance = 1e-6) {
  EXPECT_EQ(t.dims(), dims);
  ASSERT_EQ(t.size(), int64_t(values.size()));
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(t.get(int64_t(i)), values[i], tolerance) << "element " << i;
}
/// The report of a refused import.
inline std::string refusal_of(const ModelMaker &m, const ImportOptions &o = {}) {
  try {
    import_model(m.file(), o);
  } catch (const CompileError &e) { return e.what(); }
  return "was accepted";
}

} // namespace trellis::onnx

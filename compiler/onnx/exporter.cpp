#include "compiler/onnx/exporter.h"
#include "compiler/data/atomic_file.h"
#include "compiler/onnx/roles.h"
#include "passes/decompose.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static constexpr int kOpset = 20, kIrVersion = 9;
static constexpr int64_t kLargest = int64_t(1) << 31; // bytes of a message

int onnx_type(DType t) {
  switch (t) {
  case DType::f32: return TensorProto::FLOAT;
  case DType::f64: return TensorProto::DOUBLE;
  case DType::f16: return TensorProto::FLOAT16;
  case DType::bf16: return TensorProto::BFLOAT16;
  case DType::i8: return TensorProto::INT8;
  case DType::i16: return TensorProto::INT16;
  case DType::i32: return TensorProto::INT32;
  case DType::i64: return TensorProto::INT64;
  case DType::u8: return TensorProto::UINT8;
  case DType::u16: return TensorProto::UINT16;
  case DType::u32: return TensorProto::UINT32;
  case DType::u64: return TensorProto::UINT64;
  case DType::boolean: return TensorProto::BOOL;
  }
  return 0;
}

TensorProto tensor_proto(const std::string &name, const Tensor &t) {
  TensorProto out;
  out.set_name(name), out.set_data_type(onnx_type(t.dtype()));
  for (int64_t d : t.dims()) out.add_dims(d);
  out.set_raw_data(t.data(), size_t(t.bytes()));
  return out;
}

ValueInfoProto value_info(const std::string &name, const Type &t) {
  ValueInfoProto v;
  v.set_name(name);
  TypeProto::Tensor *type = v.mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx_type(t.dtype));
  type->mutable_shape();
  for (Dim d : t.shape) type->mutable_shape()->add_dim()->set_dim_value(d);
  return v;
}

void no_form(const Node &n, const std::string &why) {
  throw CompileError(n.loc, fmt::format("op '{}' can not be written as ONNX: {}", n.info().name, why));
}

const Tensor *constant_behind(Value v) {
  while (v.node->op == Op::expand || v.node->op == Op::reshape) v = v.node->operands[0];
  return v.node->op == Op::constant ? &v.node->attrs.get<Tensor>(Attr::value) : nullptr;
}

const std::map<Op, ExportRow> &export_rows() {
  static const ExportRows rows = [] {
    ExportRows r;
    add_elementwise(r), add_movement(r), add_indexed(r), add_networks(r), add_control(r);
    return r;
  }();
  return rows;
}

// --- one graph's nodes ---

std::string Writer::fresh(std::string_view like) {
  std::string base = like.empty() ? "v" : std::string(like), name = base;
  for (int k = 1; !shared_.taken.insert(name).second; ++k) name = fmt::format("{}.{}", base, k);
  return name;
}

Names Writer::call_all(const char *op, const Names &in, size_t results, const std::vector<NodeAttr> &attrs) {
  NodeProto *n = graph_.add_node();
  n->set_op_type(op);
  for (const std::string &x : in) n->add_input(x);
  for (const NodeAttr &a : attrs) {
    AttributeProto *to = n->add_attribute();
    to->set_name(a.name);
    if (auto *i = std::get_if<int64_t>(&a.value))
      to->set_type(AttributeProto::INT), to->set_i(*i);
    else if (auto *f = std::get_if<double>(&a.value))
      to->set_type(AttributeProto::FLOAT), to->set_f(float(*f));
    else if (auto *s = std::get_if<const char *>(&a.value))
      to->set_type(AttributeProto::STRING), to->set_s(*s);
    else if (auto *g = std::get_if<GraphProto>(&a.value))
      to->set_type(AttributeProto::GRAPH), *to->mutable_g() = *g;
    else {
      to->set_type(AttributeProto::INTS);
      for (int64_t i : std::get<Ints>(a.value)) to->add_ints(i);
    }
  }
  Names out;
  for (size_t i = 0; i < results; ++i) out.push_back(fresh(hint)), n->add_output(out.back());
  n->set_name(out[0]);
  return out;
}
std::string Writer::call(const char *op, const Names &in, const std::vector<NodeAttr> &attrs) {
  return call_all(op, in, 1, attrs)[0];
}

std::string Writer::cast(const std::string &x, DType from, DType to) {
  return from == to ? x : call("Cast", {x}, {{"to", int64_t(onnx_type(to))}});
}
std::string Writer::reshape(const std::string &x, const Ints &dims) {
  return call("Reshape", {x, ints(dims)},
              {{"allowzero", int64_t(std::find(dims.begin(), dims.end(), 0) != dims.end())}});
}
std::string Writer::expand(const std::string &x, const Ints &dims) { return call("Expand", {x, ints(dims)}); }
std::string Writer::permute(const std::string &x, const Ints &perm) {
  return std::is_sorted(perm.begin(), perm.end()) ? x : call("Transpose", {x}, {{"perm", perm}});
}
std::string Writer::narrow(const std::string &x, int64_t axis, int64_t start, int64_t limit) {
  return call("Slice", {x, ints({start}), ints({limit}), ints({axis})});
}
std::string Writer::pad(const std::string &x, DType t, const Ints &lo, const Ints &hi, const std::string &fill) {
  Ints pads = lo;
  pads.insert(pads.end(), hi.begin(), hi.end());
  if (std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p == 0; })) return x;
  return call("Pad", {x, ints(pads), fill.empty() ? integer(t, 0) : fill});
}

std::string Writer::constant(const Tensor &t) {
  std::string key;
  if (t.bytes() <= 256) {
    key = t.type().str() + std::string(reinterpret_cast<const char *>(t.data()), size_t(t.bytes()));
    if (auto it = shared_.constants.find(key); it != shared_.constants.end()) return it->second;
  }
  std::string name = fresh("const");
  if (is_weight(t)) { // would be a parameter to whoever trains the model
    NodeProto *n = shared_.main->add_node();
    n->set_op_type("Constant"), n->set_name(name), n->add_output(name);
    AttributeProto *a = n->add_attribute();
    a->set_name("value"), a->set_type(AttributeProto::TENSOR);
    *a->mutable_t() = tensor_proto("", t);
  } else
    *shared_.main->add_initializer() = tensor_proto(name, t);
  if (!key.empty()) shared_.constants[key] = name;
  return name;
}
std::string Writer::ints(const Ints &values) {
  return constant(Tensor::of<int64_t>(DType::i64, {int64_t(values.size())}, std::span<const int64_t>(values)));
}
std::string Writer::scalar(DType t, double value) { return constant(Tensor::scalar(t, value)); }
std::string Writer::integer(DType t, int64_t value) {
  return constant(is_float(t) ? Tensor::scalar(t, double(value)) : Tensor::scalar_int(t, value));
}

Names Writer::node(const Node &n, const Names &operands) {
  auto it = export_rows().find(n.op);
  if (it == export_rows().end()) no_form(n, "it has none");
  return it->second.write(*this, n, operands);
}

Names Writer::inline_graph(const Graph &g, const Names &inputs) {
  std::unordered_map<const Node *, Names> names;
  for (size_t i = 0; i < inputs.size(); ++i) names[g.inputs()[i].node] = {inputs[i]};
  std::vector<Diagnostic> errors;
  for (const Node *n : g.reachable()) {
    if (names.count(n)) continue;
    Names operands;
    bool broken = false;
    for (Value v : n->operands) {
      const Names &of = names.at(v.node);
      broken |= of.empty();
      operands.push_back(of.empty() ? "" : of[v.index]);
    }
    // Operands that repeat a smaller value, where another one has the whole shape: ONNX broadcasts.
    if (n->info().broadcasts() &&
        std::any_of(n->operands.begin(), n->operands.end(), [](Value v) { return v.node->op != Op::expand; }))
      for (size_t i = 0; i < operands.size(); ++i)
        if (Value v = n->operands[i]; v.node->op == Op::expand && !broken) {
          Value small = v.node->operands[0];
          operands[i] = names.at(small.node)[small.index];
        }
    hint = g.name_of(n->result());
    if (hint.empty()) hint = std::string(n->info().name);
    try {
      names[n] = broken ? Names{} : node(*n, operands);
    } catch (const CompileError &e) {
      names[n] = {};
      errors.insert(errors.end(), e.diagnostics().begin(), e.diagnostics().end());
    }
  }
  if (!errors.empty()) throw CompileError(std::move(errors));
  Names out;
  for (const NamedValue &o : g.outputs) out.push_back(names.at(o.value.node)[o.value.index]);
  return out;
}

GraphProto Writer::body(const Graph &g, const Names &operands, size_t first, size_t last) {
  GraphProto out;
  out.set_name(fresh(g.name));
  Writer w(out, shared_);
  w.hint = hint;
  Names inputs = operands;
  for (size_t i = first; i < last; ++i) {
    inputs[i] = fresh(g.inputs()[i].node->attrs.word(Attr::name));
    *out.add_input() = value_info(inputs[i], g.inputs()[i].type());
  }
  Names results = w.inline_graph(g, inputs);
  for (size_t i = 0; i < results.size(); ++i) {
    // A body's results must be its own nodes', and each another one.
    results[i] = w.call("Identity", {results[i]});
    *out.add_output() = value_info(results[i], g.outputs[i].value.type());
  }
  return out;
}

// --- the model ---

namespace {

void use(const GraphProto &g, std::unordered_set<std::string> &used) {
  for (const NodeProto &n : g.node()) {
    used.insert(n.input().begin(), n.input().end());
    for (const AttributeProto &a : n.attribute())
      if (a.has_g()) use(a.g(), used);
  }
  for (const ValueInfoProto &o : g.output()) used.insert(o.name());
}

// Leaves out the main graph's nodes and constants that nothing needs, such as expansions that broadcasting replaced.
void sweep(GraphProto &g, const std::unordered_set<std::string> &kept) {
  std::unordered_set<std::string> used = kept;
  for (const ValueInfoProto &o : g.output()) used.insert(o.name());
  std::vector<bool> live(size_t(g.node_size()));
  for (int i = g.node_size(); i-- > 0;) {
    const NodeProto &n = g.node(i);
    live[size_t(i)] =
        std::any_of(n.output().begin(), n.output().end(), [&](const std::string &y) { return used.contains(y); });
    if (!live[size_t(i)]) continue;
    used.insert(n.input().begin(), n.input().end());
    for (const AttributeProto &a : n.attribute())
      if (a.has_g()) use(a.g(), used);
  }
  google::protobuf::RepeatedPtrField<NodeProto> nodes;
  for (int i = 0; i < g.node_size(); ++i)
    if (live[size_t(i)]) nodes.Add()->Swap(g.mutable_node(i));
  g.mutable_node()->Swap(&nodes);
  google::protobuf::RepeatedPtrField<TensorProto> constants;
  for (TensorProto &t : *g.mutable_initializer())
    if (used.contains(t.name())) constants.Add()->Swap(&t);
  g.mutable_initializer()->Swap(&constants);
}

} // namespace

ModelProto export_model(const Graph &original, std::span<const NamedTensor> values) {
  GraphPtr g = decompose(original, [](const Node &n) {
    auto it = export_rows().find(n.op);
    return it != export_rows().end() && (!it->second.fits || it->second.fits(n));
  });
  for (const Node *n : g->reachable())
    for (const Type &t : n->types)
      if (!is_static(t.shape))
        throw CompileError(
            n->loc, fmt::format("the type {} has open dims: bind them before the graph is written as ONNX", t.str()));
  ModelProto m;
  m.set_ir_version(kIrVersion), m.set_producer_name("trellis");
  m.add_opset_import()->set_version(kOpset);
  GraphProto *to = m.mutable_graph();
  to->set_name(g->name);
  Writer::Shared shared{to, {}, {}};
  Writer w(*to, shared);
  // Names of inputs and outputs stay.
  Names inputs;
  std::unordered_set<std::string> kept;
  for (Value v : g->inputs()) {
    std::string name = w.fresh(v.node->attrs.word(Attr::name));
    inputs.push_back(name);
    const Tensor *value = find(values, name);
    bool data = v.node->attrs.get_or<std::string>(Attr::role, "data") == "data";
    bool updated = std::any_of(g->updates.begin(), g->updates.end(), [&](const Update &u) { return u.state.is(v); });
    if (value && !data) *to->add_initializer() = tensor_proto(name, *value);
    if (data || !value || updated) *to->add_input() = value_info(name, v.type()), kept.insert(name);
  }
  Graph &whole = *g; // successors of state are outputs
  size_t outputs = whole.outputs.size();
  for (const Update &u : whole.updates)
    whole.outputs.push_back({u.state.node->attrs.word(Attr::name) + ".next", u.next});
  Names final;
  for (size_t i = 0; i < whole.outputs.size(); ++i) {
    NamedValue &o = whole.outputs[i];
    if (i < outputs && shared.taken.contains(o.name) && std::find(inputs.begin(), inputs.end(), o.name) == inputs.end())
      o.name += ".again";
    final.push_back(shared.taken.insert(o.name).second ? o.name : w.fresh(o.name + ".out"));
  }
  Names results = w.inline_graph(whole, inputs);
  for (size_t i = 0; i < results.size(); ++i) {
    NodeProto *n = to->add_node(); // inputs can not be outputs, and a value may be several
    n->set_op_type("Identity"), n->set_name("give " + final[i]), n->add_input(results[i]), n->add_output(final[i]);
    *to->add_output() = value_info(final[i], whole.outputs[i].value.type());
  }
  sweep(*to, kept);
  return m;
}

void write_model(const std::string &path, const Graph &g, std::span<const NamedTensor> values) {
  ModelProto m = export_model(g, values);
  if (int64_t(m.ByteSizeLong()) >= kLargest)
    throw CompileError(
        file_location(path),
        fmt::format("the model takes {} bytes, but an ONNX file holds less than 2 GiB", m.ByteSizeLong()));
  AtomicFile out(path);
  out.write(m.SerializeAsString());
  out.commit();
}

} // namespace trellis::onnx

// What can be said of a model without a binding of its dims: whether it holds together, and what is in it.
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

constexpr size_t kMostErrors = 200;

using Nodes = google::protobuf::RepeatedPtrField<NodeProto>;

struct Names {
  const Names *outer = nullptr;
  std::unordered_set<std::string> names;
  bool has(const std::string &name) const {
    for (const Names *n = this; n; n = n->outer)
      if (n->names.contains(name)) return true;
    return false;
  }
};

class Checker {
public:
  explicit Checker(const File &file) : file_(file) {
    for (const FunctionProto &f : file.model->functions())
      functions_.insert(function_key(f.domain(), f.name(), f.overload()));
  }
  void model() {
    opsets_ = opsets_of(file_.model->opset_import());
    graph(file_.model->graph(), nullptr);
    for (const FunctionProto &f : file_.model->functions()) {
      opsets_ = opsets_of(f.opset_import());
      Names names;
      names.names.insert(f.input().begin(), f.input().end());
      nodes(f.node(), names);
    }
    if (!errors_.empty()) throw CompileError(errors_);
  }

private:
  void error(const Location &where, const std::string &text) {
    if (errors_.size() < kMostErrors)
      errors_.push_back({.kind = Diagnostic::Kind::error, .where = where, .text = text, .source_line = {}});
  }
  void graph(const GraphProto &g, const Names *outer) {
    Names names{outer, {}};
    for (const ValueInfoProto &v : g.input()) names.names.insert(v.name());
    auto tensor = [&](const std::string &name, auto &t) {
      names.names.insert(name);
      try {
        tensor_of(file_, t, file_.at(fmt::format("initializer {}", quote_name(name))));
      } catch (const CompileError &e) { error(e.diagnostics()[0].where, e.diagnostics()[0].text); }
    };
    for (const TensorProto &t : g.initializer()) tensor(t.name(), t);
    for (const SparseTensorProto &t : g.sparse_initializer()) tensor(t.values().name(), t);
    nodes(g.node(), names);
    for (const ValueInfoProto &v : g.output())
      if (!names.has(v.name())) error(file_.at(fmt::format("output {}", quote_name(v.name()))), "no node gives it");
  }
  void nodes(const Nodes &all, Names &names) {
    for (const NodeProto &n : all) {
      Location where = location_of(file_, n);
      if (!functions_.contains(function_key(n.domain(), n.op_type(), n.overload())))
        if (std::string why = refusal(n, opsets_); !why.empty()) error(where, why);
      for (const std::string &x : n.input())
        if (!x.empty() && !names.has(x))
          error(where, fmt::format("uses {}, which is no input, no initializer and no result of an earlier node",
                                   quote_name(x)));
      for (const AttributeProto &a : n.attribute()) {
        if (a.has_g()) graph(a.g(), &names);
        for (const GraphProto &g : a.graphs()) graph(g, &names);
      }
      for (const std::string &y : n.output())
        if (!y.empty() && !names.names.insert(y).second) error(where, fmt::format("{} is given twice", quote_name(y)));
    }
  }

  const File &file_;
  std::unordered_set<std::string> functions_;
  std::unordered_map<std::string, int> opsets_;
  std::vector<Diagnostic> errors_;
};

std::string type_text(const TypeProto &t) {
  if (t.value_case() != TypeProto::kTensorType) return "no tensor";
  std::string dims;
  for (const TensorShapeProto::Dimension &d : t.tensor_type().shape().dim())
    dims += fmt::format("{}{}", dims.empty() ? "" : ", ",
                        d.has_dim_value()       ? std::to_string(d.dim_value())
                        : d.dim_param().empty() ? "?"
                                                : d.dim_param());
  std::string element = type_name(t.tensor_type().elem_type());
  try {
    element = name(dtype_of(t.tensor_type().elem_type(), {}));
  } catch (const CompileError &) {} // the standard's name of a type that no tensor here has
  return t.tensor_type().has_shape() ? dims.empty() ? element : fmt::format("{}[{}]", element, dims)
                                     : element + "[...]";
}

std::string keys_of(const NodeProto &map) {
  std::string out;
  for (const AttributeProto &a : map.attribute()) {
    for (int64_t k : a.ints()) out += fmt::format("{}{}", out.empty() ? "" : ", ", k);
    for (const std::string &k : a.strings()) out += fmt::format("{}{}", out.empty() ? "" : ", ", quote_name(k));
  }
  return out;
}

void count(const Nodes &nodes, std::map<std::string, int> &ops, int &total) {
  for (const NodeProto &n : nodes) {
    ++total, ++ops[n.domain().empty() || n.domain() == "ai.onnx" ? n.op_type() : n.domain() + "." + n.op_type()];
    for (const AttributeProto &a : n.attribute())
      if (a.has_g()) count(a.g().node(), ops, total);
  }
}

} // namespace

void check_model(const File &file) { Checker(file).model(); }

std::string describe(const File &file) {
  const GraphProto &g = file.model->graph();
  std::string out = fmt::format("graph    {}\n", quote_name(g.name()));
  if (!file.model->producer_name().empty())
    out += fmt::format("producer {} {}\n", file.model->producer_name(), file.model->producer_version());
  for (const OperatorSetIdProto &o : file.model->opset_import())
    out += fmt::format("opset    {} {}\n", o.domain().empty() ? "ai.onnx" : o.domain(), o.version());
  std::unordered_set<std::string> initialised;
  int64_t elements = 0, bytes = 0;
  for (const TensorProto &t : g.initializer()) {
    Tensor w = tensor_of(file, t, file.at());
    initialised.insert(t.name()), elements += w.size(), bytes += w.bytes();
  }
  for (const ValueInfoProto &v : g.input())
    if (!initialised.contains(v.name())) out += fmt::format("input    {} : {}\n", v.name(), type_text(v.type()));
  for (const ValueInfoProto &v : g.output()) out += fmt::format("output   {} : {}\n", v.name(), type_text(v.type()));
  for (const NodeProto &n : g.node()) // a map is given as the matrix of its values
    if (n.op_type() == "ZipMap" && n.domain() == "ai.onnx.ml" && n.output_size())
      out += fmt::format("columns  {} : {}\n", n.output(0), keys_of(n));
  if (elements)
    out += fmt::format("weights  {} elements in {} tensors, {} bytes\n", elements, g.initializer_size(), bytes);
  std::map<std::string, int> ops;
  int total = 0;
  count(g.node(), ops, total);
  for (const FunctionProto &f : file.model->functions()) count(f.node(), ops, total);
  out += fmt::format("nodes    {}", total);
  const char *comma = ": ";
  for (const auto &[op, k] : ops) out += fmt::format("{}{} {}", comma, k, op), comma = ", ";
  return out + "\n";
}

} // namespace trellis::onnx

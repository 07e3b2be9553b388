#include "compiler/onnx/importer.h"
#include "compiler/onnx/counted.h"
#include "compiler/onnx/roles.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static constexpr int kDeepest = 64;            // of functions and subgraphs in each other
static constexpr int64_t kMostSteps = 1 << 20; // nodes, those of functions and bodies counted at every use
static constexpr size_t kMostErrors = 200;

// A member with another value until the end of the block, also where an error leaves it.
template <class T> class Restored {
public:
  Restored(T &member, std::type_identity_t<T> now) : member_(member), before_(std::exchange(member, std::move(now))) {}
  ~Restored() { member_ = std::move(before_); }
  Restored(const Restored &) = delete;
  Restored &operator=(const Restored &) = delete;

private:
  T &member_;
  T before_;
};

const Entry *Scope::find(const std::string &name) const {
  for (const Scope *s = this; s; s = s->outer)
    if (auto it = s->names.find(name); it != s->names.end()) return &it->second;
  return nullptr;
}

Location location_of(const File &file, const NodeProto &node) {
  std::string name = node.name();
  if (name.empty() && node.output_size()) name = node.output(0);
  return file.at(fmt::format("node {} ({})", quote_name(name), node.op_type()));
}

std::string function_key(std::string_view domain, std::string_view name, std::string_view overload) {
  return fmt::format("{}:{}:{}", domain == "ai.onnx" ? "" : domain, name, overload);
}

std::string name_of_graph(const GraphProto &g) {
  std::string name;
  for (char c : g.name()) name += std::isalnum(uint8_t(c)) || c == '_' ? c : '_';
  return name.empty() || std::isdigit(uint8_t(name[0])) ? "model" + name : name;
}

std::string name_of_dim(const ValueInfoProto &v, int k) {
  const std::string &given = v.type().tensor_type().shape().dim(k).dim_param();
  return given.empty() ? fmt::format("{}.{}", v.name(), k) : given;
}

Importer::Importer(const File &file, const ImportOptions &options)
    : file_(file), options_(options), dims_(options.dims) {
  graph_ = std::make_unique<Graph>(name_of_graph(file.model->graph()));
  graph_->location = file.at();
  opsets_ = opsets_of(file.model->opset_import());
  for (const FunctionProto &f : file.model->functions())
    functions_[function_key(f.domain(), f.name(), f.overload())] = &f;
}

void Importer::report(const CompileError &e) {
  for (const Diagnostic &d : e.diagnostics())
    if (errors_.size() < kMostErrors) errors_.push_back(d);
}

Imported Importer::run() {
  const GraphProto &g = file_.model->graph();
  scope_ = &top_;
  if (trainable()) state_slots_ = names_in_state_slots(g);
  declare_inputs();
  declare_initialisers(g, top_, true);
  if (!errors_.empty()) throw CompileError(errors_);
  run_nodes(g.node(), top_);
  std::vector<std::pair<std::string, Count>> counts;
  for (const ValueInfoProto &o : g.output()) {
    Location where = file_.at(fmt::format("output {}", quote_name(o.name())));
    try {
      Entry e = lookup(o.name(), top_, where);
      if (e.sequence || e.absent)
        throw CompileError(where, e.absent ? "an optional without an element can not leave the model"
                                           : "a sequence can not leave the model");
      if (e.broken) continue;
      graph_->outputs.push_back({o.name(), e.value});
      if (e.count) counts.push_back({o.name(), e.count});
    } catch (const CompileError &error) { report(error); }
  }
  if (!errors_.empty()) throw CompileError(errors_);
  if (graph_->outputs.empty()) throw CompileError(file_.at(), "the graph has no output");
  for (const auto &[name, count] : counts) {
    std::string called = name + ".count";
    while (std::any_of(graph_->outputs.begin(), graph_->outputs.end(),
                       [&](const NamedValue &o) { return o.name == called; }))
      called += "'";
    graph_->outputs.push_back({called, count.number});
    counted_.push_back({name, count.axis, called});
  }
  Imported out;
  out.counted = counted_;
  out.graph = finish();
  std::unordered_map<std::string, Tensor> by_name;
  for (const auto &[node, t] : weights_) by_name[node->attrs.word(Attr::name)] = t;
  for (Value v : out.graph->inputs())
    if (auto it = by_name.find(v.node->attrs.word(Attr::name)); it != by_name.end())
      out.weights.push_back({it->first, it->second});
  out.specialised.assign(specialised_.begin(), specialised_.end());
  std::sort(out.specialised.begin(), out.specialised.end());
  return out;
}

// --- nodes ---

Entry Importer::lookup(const std::string &name, const Scope &scope, const Location &where) const {
  if (const Entry *e = scope.find(name)) return *e;
  throw CompileError(where, fmt::format("uses {}, which is no input, no initializer and no result of an earlier node",
                                        quote_name(name)));
}

void Importer::run_nodes(const google::protobuf::RepeatedPtrField<NodeProto> &nodes, Scope &scope) {
  Restored at(scope_, &scope);
  for (const NodeProto &n : nodes) run_node(n, scope);
}

void Importer::run_node(const NodeProto &node, Scope &scope) {
  Location where = location_of(file_, node);
  if (++steps_ > kMostSteps) throw CompileError(where, "the model unfolds into more than a million nodes");
  Entries results;
  try {
    LocationScope at(*graph_, where);
    results = results_of(node, scope, where);
  } catch (const CompileError &e) {
    // An error inside the graph's rules carries the node's location already.
    report(e);
    results.clear();
  } catch (const std::bad_alloc &) {
    report(CompileError(where, "not enough memory for what the import evaluates"));
    results.clear();
  }
  for (int i = 0; i < node.output_size(); ++i) {
    const std::string &name = node.output(i);
    if (name.empty()) continue;
    Entry e = size_t(i) < results.size() ? results[size_t(i)] : Entry{{}, true};
    if (!e.value && !e.sequence && !e.absent && !e.broken) {
      report(CompileError(where, fmt::format("result {} ({}) is not supported", i + 1, quote_name(name))));
      e.broken = true;
    }
    if (!scope.names.emplace(name, e).second)
      report(CompileError(where, fmt::format("{} is given twice", quote_name(name))));
    if (e.value && &scope == &top_) graph_->set_name(e.value, name);
  }
}

Entries Importer::results_of(const NodeProto &node, Scope &scope, const Location &where) {
  bool broken = false;
  for (const std::string &name : node.input())
    if (!name.empty()) broken |= lookup(name, scope, where).broken;
  if (auto it = functions_.find(function_key(node.domain(), node.op_type(), node.overload())); it != functions_.end())
    return broken ? Entries(size_t(node.output_size()), Entry{{}, true})
                  : inline_function(*it->second, node, scope, where);
  if (std::string why = refusal(node, opsets_); !why.empty()) throw CompileError(where, why);
  Entries out(size_t(node.output_size()));
  if (broken) {
    for (Entry &e : out) e.broken = true;
    return out;
  }
  Entries operands;
  bool counted = false;
  for (const std::string &name : node.input()) {
    operands.push_back(name.empty() ? Entry{} : lookup(name, scope, where));
    counted |= bool(operands.back().count);
  }
  if (!counted) return run_step(node, operands, false, where);
  std::vector<Diagnostic> why;
  if (takes_counts(node.op_type())) why = attempt([&] { out = run_step(node, operands, true, where); });
  if (takes_counts(node.op_type()) && why.empty()) return out;
  try {
    for (size_t i = 0; i < operands.size(); ++i) operands[i] = built_in(operands[i], node, int(i), where);
  } catch (const CompileError &) {
    if (!why.empty()) throw CompileError(why);
    throw;
  }
  return run_step(node, operands, false, where);
}

// An operand whose count is known, cut to it.
Entry Importer::built_in(const Entry &e, const NodeProto &node, int operand, const Location &where) {
  if (!e.count) return e;
  std::optional<Tensor> all = known(e.value), count = all ? known(e.count.number) : std::nullopt;
  if (!count)
    throw CompileError(
        where,
        fmt::format("the number of elements of operand {} ({}) depends on data, which this operator does not take",
                    operand + 1, quote_name(node.input(operand))));
  return {graph_->constant(first_along(*all, e.count.axis, count->get_int(0)))};
}

Entries Importer::run_step(const NodeProto &node, const Entries &operands, bool counted, const Location &where) {
  std::vector<Value> x;
  for (const Entry &e : operands) x.push_back(e.value);
  int version = opsets_.at(node.domain() == "ai.onnx" ? "" : node.domain());
  Step step(*this, *graph_, node, version, std::move(x), where);
  if (counted)
    for (const Entry &e : operands) step.counts.push_back(e.count);
  Restored given(given_results_, {}); // those of a node whose body this one is in
  Values values;
  if (Recipe recipe = Recipes::all().find(node.domain(), node.op_type(), version)) {
    values = recipe(step);
  } else {
    std::vector<Operand> all;
    for (Value v : step.all()) all.push_back(v);
    Op op = *aliased(node.op_type());
    if (int(all.size()) != info(op).arity)
      step.fail(fmt::format("{} operands, but it takes {}", all.size(), info(op).arity));
    values = {elementwise(*graph_, op, all)};
  }
  if (counted) follow_counts(step, values);
  Entries out(size_t(node.output_size()));
  for (size_t i = 0; i < out.size() && i < values.size(); ++i) {
    out[i].value = values[i];
    if (i < step.result_counts.size()) out[i].count = step.result_counts[i];
  }
  for (auto &[i, e] : given_results_)
    if (size_t(i) < out.size()) out[size_t(i)] = std::move(e);
  return out;
}

std::string refusal(const NodeProto &node, const std::unordered_map<std::string, int> &opsets) {
  std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
  auto it = opsets.find(domain);
  std::string called = domain.empty() ? node.op_type() : domain + "." + node.op_type();
  if (it == opsets.end())
    return fmt::format("operator {} is not supported: the model imports no operator set of domain {}", called,
                       quote_name(domain));
  const Recipes &all = Recipes::all();
  if (all.find(domain, node.op_type(), it->second) || (domain.empty() && aliased(node.op_type()))) return "";
  if (all.knows(domain, node.op_type()))
    return fmt::format("operator {} is not supported in version {} of its operator set", called, it->second);
  return fmt::format("operator {} (version {}{}) is not supported", called, it->second,
                     domain.empty() ? "" : " of domain " + quote_name(domain));
}

Entries Importer::run_body(const GraphProto &body, const Entries &arguments) {
  if (depth_ >= kDeepest) throw CompileError(graph_->location, "subgraphs are nested too deeply");
  if (int(arguments.size()) != body.input_size())
    throw CompileError(graph_->location,
                       fmt::format("a body takes {} values, but {} are given", body.input_size(), arguments.size()));
  Scope scope;
  scope.outer = scope_;
  size_t before = errors_.size();
  for (int i = 0; i < body.input_size(); ++i) scope.names[body.input(i).name()] = arguments[size_t(i)];
  declare_initialisers(body, scope, false);
  Restored deeper(depth_, depth_ + 1);
  run_nodes(body.node(), scope);
  Entries out;
  for (const ValueInfoProto &o : body.output()) {
    Entry e = lookup(o.name(), scope, graph_->location);
    if (e.broken && errors_.size() == before) throw CompileError(graph_->location, "a body could not be read");
    out.push_back(std::move(e));
  }
  if (errors_.size() != before) throw CompileError(std::vector<Diagnostic>{});
  return out;
}

Values Importer::run_body(const GraphProto &body, const Values &arguments) {
  Entries given;
  for (Value v : arguments) given.push_back({v});
  Values out;
  for (const Entry &e : run_body(body, given)) {
    if (!e.value) throw CompileError(graph_->location, "a body that gives no tensor is not supported here");
    if (e.count)
      throw CompileError(graph_->location,
                         "a body that gives a tensor whose number of elements depends on data is not supported here");
    out.push_back(e.value);
  }
  return out;
}

std::vector<Diagnostic> Importer::attempt(const std::function<void()> &f) {
  size_t before = errors_.size();
  std::vector<Diagnostic> why;
  try {
    f();
  } catch (const CompileError &e) {
    why.assign(errors_.begin() + std::ptrdiff_t(before), errors_.end());
    why.insert(why.end(), e.diagnostics().begin(), e.diagnostics().end());
    errors_.resize(before);
    if (why.empty()) throw; // the report is full
  }
  return why;
}

Value Importer::placeholder(const Type &t) {
  std::string name = fmt::format("argument {}", placeholders_.size());
  while (graph_->find_input(name)) name += "'";
  Value v = graph_->input(name, t);
  placeholders_.insert(v.node);
  return v;
}

// --- functions ---

// A function's node with references to the function's attributes resolved.
static void resolve(NodeProto &node, const std::unordered_map<std::string, const AttributeProto *> &attributes) {
  for (int i = 0; i < node.attribute_size();) {
    AttributeProto *a = node.mutable_attribute(i);
    if (!a->ref_attr_name().empty()) {
      auto it = attributes.find(a->ref_attr_name());
      if (it == attributes.end()) { // not given and without a default: absent
        node.mutable_attribute()->DeleteSubrange(i, 1);
        continue;
      }
      std::string name = a->name();
      *a = *it->second;
      a->set_name(name);
    }
    if (a->has_g())
      for (NodeProto &n : *a->mutable_g()->mutable_node()) resolve(n, attributes);
    ++i;
  }
}

Entries Importer::inline_function(const FunctionProto &f, const NodeProto &node, const Scope &outer,
                                  const Location &where) {
  if (depth_ >= kDeepest) throw CompileError(where, "functions are nested too deeply, or call themselves");
  std::unordered_map<std::string, const AttributeProto *> attributes;
  for (const AttributeProto &a : f.attribute_proto()) attributes[a.name()] = &a;
  for (const AttributeProto &a : node.attribute()) attributes[a.name()] = &a;
  Scope scope;
  for (int i = 0; i < f.input_size(); ++i)
    scope.names[f.input(i)] =
        i < node.input_size() && !node.input(i).empty() ? lookup(node.input(i), outer, where) : Entry{};
  FunctionProto body = f;
  for (NodeProto &n : *body.mutable_node()) resolve(n, attributes);
  Restored sets(opsets_, opsets_of(f.opset_import()));
  Restored deeper(depth_, depth_ + 1);
  size_t before = errors_.size();
  run_nodes(body.node(), scope);
  Entries out;
  for (const std::string &name : f.output()) {
    out.push_back(lookup(name, scope, where));
    out.back().broken |= errors_.size() != before;
  }
  return out;
}

// --- the result ---

// A copy without what no output needs: shape arithmetic, weights that became attributes.
std::unique_ptr<Graph> Importer::finish() {
  std::vector<bool> needed = needed_by(*graph_, graph_->outputs);
  return copy_graph(*graph_, [&](Graph &into, Value v) {
    bool left_out = placeholders_.contains(v.node) || (weights_.contains(v.node) && !needed[v.node->id]);
    return left_out ? Value{} : same_input(into, v);
  });
}

Imported import_model(const File &file, const ImportOptions &options) {
  check_model(file);
  return Importer(file, options).run();
}

} // namespace trellis::onnx

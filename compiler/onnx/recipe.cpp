#include "compiler/onnx/recipe.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

Step::Step(Importer &importer, Graph &g, const NodeProto &node, int version, std::vector<Value> operands,
           Location where)
    : g(g), node(node), version(version), importer(importer), where(std::move(where)), operands_(std::move(operands)) {}

void Step::fail(const std::string &text) const { throw CompileError(where, text); }

Value Step::in(int i) const {
  require(has(i), fmt::format("operand {} is missing", i + 1));
  return operands_[size_t(i)];
}

Values Step::all() const {
  Values out;
  for (int i = 0; i < inputs(); ++i) out.push_back(in(i));
  require(!out.empty(), "it has no operand");
  return out;
}

const AttributeProto *Step::attr(std::string_view name) const {
  for (const AttributeProto &a : node.attribute())
    if (a.name() == name) return &a;
  return nullptr;
}
int64_t Step::i(std::string_view name, int64_t otherwise) const {
  const AttributeProto *a = attr(name);
  return a ? a->i() : otherwise;
}
int64_t Step::need_i(std::string_view name) const {
  require(attr(name), fmt::format("attribute '{}' is missing", name));
  return attr(name)->i();
}
double Step::f(std::string_view name, double otherwise) const {
  const AttributeProto *a = attr(name);
  return a ? double(a->f()) : otherwise;
}
std::string Step::s(std::string_view name, std::string_view otherwise) const {
  const AttributeProto *a = attr(name);
  return a ? a->s() : std::string(otherwise);
}
Ints Step::ints(std::string_view name, Ints otherwise) const {
  const AttributeProto *a = attr(name);
  return a ? Ints(a->ints().begin(), a->ints().end()) : otherwise;
}
std::vector<double> Step::floats(std::string_view name) const {
  const AttributeProto *a = attr(name);
  return a ? std::vector<double>(a->floats().begin(), a->floats().end()) : std::vector<double>();
}

std::optional<Tensor> Step::known_value(Value v) const { return importer.known(v); }
Tensor Step::known(int i) const {
  std::optional<Tensor> t = maybe_known(i);
  if (!t)
    fail(fmt::format(
        "operand {}{} decides the shape of the result, so its elements must be known when the model is imported", i + 1,
        i < node.input_size() ? fmt::format(" ({})", quote_name(node.input(i))) : ""));
  return *t;
}
Ints Step::known_ints(int i) const {
  Tensor t = known(i);
  require(!is_float(t.dtype()), fmt::format("operand {} is {}, but must hold integers", i + 1, t.type().str()));
  Ints out;
  for (int64_t k = 0; k < t.size(); ++k) out.push_back(t.get_int(k));
  return out;
}
double Step::known_real(int i) const {
  Tensor t = known(i);
  require(t.size() == 1, fmt::format("operand {} is {}, but must hold one number", i + 1, t.type().str()));
  return t.get(0);
}
int64_t Step::known_whole(int i) const {
  Tensor t = known(i);
  require(t.size() == 1, fmt::format("operand {} is {}, but must hold one number", i + 1, t.type().str()));
  if (!is_float(t.dtype())) return t.get_int(0);
  double v = t.get(0);
  require(std::fabs(v) < 0x1p53, fmt::format("operand {} is {}, which is out of range", i + 1, v));
  return int64_t(v);
}
std::optional<Ints> Step::ints_of(int i, std::string_view attribute) const {
  if (attr(attribute)) return ints(attribute);
  if (has(i)) return known_ints(i);
  return std::nullopt;
}

int64_t Step::axis(int64_t axis, int rank) const {
  require(axis >= -rank && axis < rank, fmt::format("axis {} is out of range for rank {}", axis, rank));
  return axis < 0 ? axis + rank : axis;
}
Ints Step::axes(Ints axes, int rank) const {
  for (int64_t &a : axes) a = axis(a, rank);
  Ints sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "an axis is named twice");
  return axes;
}

int64_t Step::table(std::initializer_list<int64_t> extents, std::string_view what) const {
  constexpr int64_t kMost = int64_t(1) << 27;
  int64_t n = 1;
  for (int64_t e : extents) {
    require(e >= 0 && e <= kMost / std::max<int64_t>(n, 1),
            fmt::format("{} would have more than {} elements", what, kMost));
    n *= e;
  }
  return n;
}

Value Step::constant(const Ints &values) const {
  return g.constant(Tensor::of<int64_t>(DType::i64, {int64_t(values.size())}, std::span<const int64_t>(values)));
}

static std::string key(std::string_view domain, std::string_view name) {
  return fmt::format("{}:{}", domain == "ai.onnx" ? "" : domain, name);
}
void Recipes::on(std::string_view name, int since, Recipe recipe, std::string_view domain) {
  by_name_[key(domain, name)][since] = recipe;
}
void Recipes::on(std::initializer_list<std::string_view> names, int since, Recipe recipe) {
  for (std::string_view name : names) on(name, since, recipe);
}
Recipe Recipes::find(std::string_view domain, std::string_view name, int version) const {
  auto it = by_name_.find(key(domain, name));
  if (it == by_name_.end()) return nullptr;
  auto next = it->second.upper_bound(version);
  return next == it->second.begin() ? nullptr : std::prev(next)->second;
}
bool Recipes::knows(std::string_view domain, std::string_view name) const {
  return by_name_.contains(key(domain, name));
}

std::vector<ReadableOperator> readable_operators() {
  std::map<std::pair<std::string, std::string>, ReadableOperator> found;
  for (const auto &[called, versions] : Recipes::all().by_name()) {
    size_t colon = called.find(':');
    std::string domain = colon ? called.substr(0, colon) : "ai.onnx", name = called.substr(colon + 1);
    ReadableOperator &o = found[{domain, name}];
    o = {domain, name, {}, ""};
    for (const auto &[since, recipe] : versions) o.since.push_back(since);
  }
  for (int k = 0; k < kOpCount; ++k) {
    const OpInfo &row = info(Op(k));
    if (row.onnx.empty() || aliased(row.onnx) != Op(k)) continue;
    auto [it, fresh] = found.try_emplace({"ai.onnx", std::string(row.onnx)});
    if (fresh) it->second = {"ai.onnx", std::string(row.onnx), {1}, std::string(row.name)};
  }
  std::vector<ReadableOperator> out;
  for (auto &[key, o] : found) out.push_back(std::move(o));
  return out;
}

const Recipes &Recipes::all() {
  static const Recipes recipes = [] {
    Recipes r;
    for (auto add :
         {add_classic,   add_contraction,   add_control,         add_counted,   add_determinant, add_elementwise,
          add_features,  add_fused,         add_fused_attention, add_indexed,   add_loops,       add_mixing,
          add_movement,  add_normalisation, add_pooling,         add_quantised, add_random,      add_recurrent,
          add_reduction, add_retired,       add_sampling,        add_shape,     add_signal,      add_training,
          add_trees,     add_vectors})
      add(r);
    return r;
  }();
  return recipes;
}

} // namespace trellis::onnx

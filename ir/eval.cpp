#include "ir/eval.h"
#include "ir/eval_movement.h"
#include "ir/nearest.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis {

namespace {

constexpr int64_t kBlock = 512;

/// Elements [begin, begin + n) of `t` as T (double, or 64-bit integers).
template <class T> void load(const Tensor &t, int64_t begin, int64_t n, T *out) {
  auto from = [&]<class S>(const S *) {
    const S *p = t.as<S>().data() + begin;
    for (int64_t i = 0; i < n; ++i) out[i] = T(p[i]);
  };
  switch (t.dtype()) {
  case DType::f32: return from(static_cast<const float *>(nullptr));
  case DType::f64: return from(static_cast<const double *>(nullptr));
  case DType::i8: return from(static_cast<const int8_t *>(nullptr));
  case DType::i16: return from(static_cast<const int16_t *>(nullptr));
  case DType::i32: return from(static_cast<const int32_t *>(nullptr));
  case DType::i64: return from(static_cast<const int64_t *>(nullptr));
  case DType::u16: return from(static_cast<const uint16_t *>(nullptr));
  case DType::u32: return from(static_cast<const uint32_t *>(nullptr));
  case DType::u64: return from(static_cast<const uint64_t *>(nullptr));
  case DType::u8:
  case DType::boolean: return from(static_cast<const uint8_t *>(nullptr));
  case DType::f16:
  case DType::bf16:
    for (int64_t i = 0; i < n; ++i) out[i] = T(t.get(begin + i));
  }
}

template <class T> void store(Tensor &t, int64_t begin, int64_t n, const T *in) {
  bool boolean = t.dtype() == DType::boolean;
  for (int64_t i = 0; i < n; ++i)
    if (boolean)
      t.set_int(begin + i, in[i] != 0); // NaN is true
    else if constexpr (std::is_same_v<T, double>)
      t.set(begin + i, in[i]);
    else
      t.set_int(begin + i, int64_t(in[i]));
}

template <class T> void elementwise(T (*f)(const T *), const std::vector<Tensor> &x, Tensor &y) {
  size_t k = x.size();
  std::vector<T> columns(k * size_t(kBlock)), operands(k);
  T results[kBlock];
  for (int64_t begin = 0; begin < y.size(); begin += kBlock) {
    int64_t n = std::min(kBlock, y.size() - begin);
    for (size_t j = 0; j < k; ++j) load(x[j], begin, n, columns.data() + j * size_t(kBlock));
    for (int64_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < k; ++j) operands[j] = columns[j * size_t(kBlock) + size_t(i)];
      results[i] = f(operands.data());
    }
    store(y, begin, n, results);
  }
}

[[noreturn]] void fail(const Location &at, const std::string &text) { throw CompileError(at, text); }
} // namespace

std::unique_ptr<Graph> expansion_of(const Node &n) {
  auto g = std::make_unique<Graph>();
  g->location = n.loc;
  Values operands;
  for (Value x : n.operands) operands.push_back(g->input(fmt::format("x{}", operands.size()), x.type()));
  const Node *copy = g->node(n.op, operands, n.attrs, n.bodies);
  for (Value v : n.info().expand(Expand{*copy, copy->operands})) g->outputs.push_back({"", v});
  return g;
}

std::vector<Tensor> evaluate_node(const Node &n, const std::vector<Tensor> &x) {
  const OpInfo &row = n.info();
  std::vector<Tensor> y;
  for (const Type &t : n.types) {
    if (!is_static(t.shape))
      fail(n.loc, fmt::format("{}: a result of {} can not be evaluated: bind its dims first", row.name, t.str()));
    if (n.op != Op::constant)
      y.emplace_back(t.dtype, dims_of(t.shape));
    else
      y.emplace_back();
  }
  DType t = x.empty() ? DType::f32 : x[0].dtype();
  if (row.kind == OpKind::elementwise && !row.interpret) {
    if (is_float(t) && row.eval.f)
      elementwise(row.eval.f, x, y[0]);
    else if (is_unsigned_int(t) && row.eval.u)
      elementwise(row.eval.u, x, y[0]);
    else if (!is_float(t) && row.eval.i)
      elementwise(row.eval.i, x, y[0]);
    else if (row.expand)
      return evaluate(*expansion_of(n), x);
    else
      fail(n.loc, fmt::format("{}: is not defined for {}", row.name, name(t)));
  } else if (row.interpret) {
    EvalContext c{n, x, y};
    row.interpret(c);
  } else if (row.map)
    evaluate_movement(n, x, y[0]);
  else
    return evaluate(*expansion_of(n), x);
  return y;
}

std::vector<Tensor> evaluate(const Graph &g, const std::vector<Tensor> &inputs, std::vector<Tensor> *updates) {
  TRELLIS_CHECK(inputs.size() == g.inputs().size(), "as many tensors as inputs");
  std::vector<const Node *> nodes = g.reachable();
  // A value lives until its last use.
  std::unordered_map<const Node *, size_t> uses;
  std::unordered_map<const Node *, std::vector<Tensor>> values;
  for (const Node *n : nodes)
    for (Value v : n->operands) ++uses[v.node];
  for (const NamedValue &o : g.outputs) ++uses[o.value.node];
  for (const Update &u : g.updates) ++uses[u.next.node];
  for (size_t i = 0; i < inputs.size(); ++i) values[g.inputs()[i].node] = {inputs[i]};
  for (const Node *n : nodes) {
    if (values.count(n)) continue;
    std::vector<Tensor> operands;
    for (Value v : n->operands) operands.push_back(values.at(v.node)[v.index]);
    values[n] = evaluate_node(*n, operands);
    for (Value v : n->operands)
      if (--uses[v.node] == 0) values.erase(v.node);
  }
  std::vector<Tensor> out;
  for (const NamedValue &o : g.outputs) out.push_back(values.at(o.value.node)[o.value.index]);
  if (updates) updates->clear();
  for (const Update &u : g.updates)
    if (updates) updates->push_back(values.at(u.next.node)[u.next.index]);
  return out;
}

std::vector<Tensor> evaluate(const Graph &g, const std::map<std::string, Tensor> &inputs,
                             std::vector<Tensor> *updates) {
  std::vector<Tensor> all;
  std::vector<std::string_view> names;
  for (Value v : g.inputs()) {
    const std::string &name = v.node->attrs.word(Attr::name);
    names.push_back(name);
    auto it = inputs.find(name);
    if (it == inputs.end()) fail(v.node->loc, fmt::format("input '{}' ({}) is not given", name, v.type().str()));
    if (!(it->second.type() == v.type()))
      fail(v.node->loc,
           fmt::format("input '{}' is {}, but {} is given", name, v.type().str(), it->second.type().str()));
    all.push_back(it->second);
  }
  for (const auto &[name, t] : inputs)
    if (std::find(names.begin(), names.end(), name) == names.end())
      fail(g.location, fmt::format("graph @{} has no input '{}'{}", g.name, name, did_you_mean(name, names)));
  return evaluate(g, all, updates);
}

} // namespace trellis

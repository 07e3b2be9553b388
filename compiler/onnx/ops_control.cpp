// Branches, and sequences, which exist at import alone.
#include "compiler/onnx/bodies.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static const GraphProto &branch(Step &s, std::string_view name) {
  const AttributeProto *a = s.attr(name);
  s.require(a && a->has_g(), fmt::format("attribute '{}' is missing", name));
  return a->g();
}

// Dear enough that the branch not taken must not run.
static bool is_dear(const Graph &body) {
  int64_t work = 0;
  for (const Node *n : body.reachable()) {
    OpKind k = n->info().kind;
    if (k == OpKind::contraction || k == OpKind::control || k == OpKind::composite || n->op == Op::sort) return true;
    for (const Type &t : n->types) work += t.size();
  }
  return work > 4096;
}

// A body over the union of what both branches capture.
static std::shared_ptr<Graph> over(const Closed &c, const Values &all) {
  auto body = std::make_shared<Graph>(c.body->name);
  body->location = c.body->location;
  ValueMap map;
  for (size_t i = 0; i < all.size(); ++i) {
    Value x = body->input(fmt::format("x{}", i), all[i].type());
    for (size_t k = 0; k < c.captured.size(); ++k)
      if (c.captured[k].is(all[i])) map[c.body->inputs()[k].node] = {x};
  }
  for (const NamedValue &o : c.body->outputs) body->outputs.push_back({o.name, copy_into(*body, o.value, map)});
  return body;
}

// A known condition picks its branch. Otherwise both are computed where that is cheap (bodies have no effects) and each
// result is picked, or one of them is at run time.
static Values branches(Step &s) {
  s.require(s.in(0).type().size() == 1 && s.in(0).dtype() == DType::boolean, "the condition must be one bool");
  if (std::optional<Tensor> c = s.maybe_known(0)) {
    Entries picked = s.importer.run_body(branch(s, c->get_int(0) ? "then_branch" : "else_branch"), Entries{});
    for (size_t i = 0; i < picked.size(); ++i) s.importer.give(int(i), std::move(picked[i]));
    return {};
  }
  uint32_t from = uint32_t(s.g.node_count());
  Values yes = s.importer.run_body(branch(s, "then_branch"), Values{}),
         no = s.importer.run_body(branch(s, "else_branch"), Values{}), out;
  s.require(yes.size() == no.size() && !yes.empty(), "the branches differ in their number of results");
  for (size_t i = 0; i < yes.size(); ++i)
    s.require(yes[i].type() == no[i].type(),
              fmt::format("the branches give {} and {}, and the condition is not known at import", yes[i].type().str(),
                          no[i].type().str()));
  Value condition = reshape(s.in(0), {});
  Closed a = close_over({}, yes, from), b = close_over({}, no, from);
  if (!is_dear(*a.body) && !is_dear(*b.body)) {
    for (size_t i = 0; i < yes.size(); ++i) out.push_back(select(condition, yes[i], no[i]));
    return out;
  }
  Values captured = a.captured, operands{condition};
  for (Value v : b.captured)
    if (std::none_of(captured.begin(), captured.end(), [&](Value c) { return c.is(v); })) captured.push_back(v);
  operands.insert(operands.end(), captured.begin(), captured.end());
  const Node *n = s.g.node(Op::cond, operands, {}, {over(a, captured), over(b, captured)});
  for (uint32_t i = 0; i < n->types.size(); ++i) out.push_back(n->result(i));
  return out;
}

static const Values &sequence(Step &s, int i) {
  const Entry *e = i < s.node.input_size() ? s.importer.entry(s.node.input(i)) : nullptr;
  s.require(e && e->sequence, fmt::format("operand {} is no sequence", i + 1));
  return *e->sequence;
}
static int64_t position(Step &s, int i, size_t size, bool end) {
  int64_t n = int64_t(size), at = s.has(i) ? s.known_whole(i) : end ? n : n - 1;
  s.require(at >= -n && at < n + (end ? 1 : 0), fmt::format("position {} in a sequence of {}", at, n));
  return at < 0 ? at + n : at;
}

static Values sequence_empty(Step &s) { return s.importer.give_sequence(0, {}), Values{}; }
static Values sequence_construct(Step &s) { return s.importer.give_sequence(0, s.all()), Values{}; }
static Values sequence_at(Step &s) { return {sequence(s, 0)[size_t(position(s, 1, sequence(s, 0).size(), false))]}; }
static Values sequence_length(Step &s) {
  return {s.g.constant(Tensor::scalar_int(DType::i64, int64_t(sequence(s, 0).size())))};
}
static Values sequence_insert(Step &s) {
  Values q = sequence(s, 0);
  q.insert(q.begin() + position(s, 2, q.size(), true), s.in(1));
  return s.importer.give_sequence(0, std::move(q)), Values{};
}
static Values sequence_erase(Step &s) {
  Values q = sequence(s, 0);
  s.require(!q.empty(), "the sequence is empty");
  q.erase(q.begin() + position(s, 1, q.size(), false));
  return s.importer.give_sequence(0, std::move(q)), Values{};
}
static Values split_to_sequence(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", 0), x.rank()), n = x.shape()[size_t(axis)];
  Ints extents;
  bool keep = true;
  constexpr int64_t kMost = 1 << 16;
  auto bounded = [&](int64_t parts) {
    s.require(parts <= kMost, fmt::format("a sequence of {} parts is not supported", parts));
  };
  bounded(s.has(1) ? 0 : n);
  if (!s.has(1))
    extents.assign(size_t(n), 1), keep = s.i("keepdims", 1) != 0;
  else if (Ints given = s.known_ints(1); s.in(1).rank() == 0) {
    s.require(given[0] > 0, "a part has no elements");
    bounded(n / given[0]);
    for (int64_t at = 0; at < n; at += given[0]) extents.push_back(std::min(given[0], n - at));
  } else
    extents = given;
  int64_t sum = 0;
  for (int64_t e : extents) {
    s.require(e >= 0 && e <= n, "a part has no such length");
    sum += e;
  }
  s.require(sum == n, "the parts do not make up the axis");
  Values parts = split(x, extents, axis);
  for (Value &p : parts)
    if (!keep) {
      Shape to = p.shape();
      to.erase(to.begin() + axis);
      p = reshape(p, to);
    }
  return s.importer.give_sequence(0, std::move(parts)), Values{};
}
static Values concat_from_sequence(Step &s) {
  Values q = sequence(s, 0);
  s.require(!q.empty(), "the sequence is empty");
  bool fresh = s.i("new_axis", 0) != 0;
  int64_t axis = s.axis(s.need_i("axis"), q[0].rank() + (fresh ? 1 : 0));
  return {fresh ? stack(q, axis) : concat(q, axis)};
}

// --- optionals ---

static Values optional(Step &s) {
  if (s.node.input_size() && !s.node.input(0).empty())
    s.importer.give(0, *s.importer.entry(s.node.input(0)));
  else
    s.importer.give(0, {{}, false, nullptr, true});
  return {};
}
static Values optional_has_element(Step &s) {
  bool has = s.node.input_size() && !s.node.input(0).empty() && !s.importer.entry(s.node.input(0))->absent;
  return {s.g.constant(Tensor::scalar_int(DType::boolean, has))};
}
static Values optional_get_element(Step &s) {
  const Entry *e = s.node.input_size() ? s.importer.entry(s.node.input(0)) : nullptr;
  s.require(e && !e->absent, "the optional has no element");
  return s.importer.give(0, *e), Values{};
}

// The body once an element of the first sequence; the others' elements or whole tensors go along.
static Values sequence_map(Step &s) {
  size_t n = sequence(s, 0).size(), results = size_t(branch(s, "body").output_size());
  std::vector<Values> out(results);
  for (size_t k = 0; k < n; ++k) {
    Values given;
    for (int i = 0; i < s.node.input_size(); ++i) {
      const Entry *e = s.importer.entry(s.node.input(i));
      s.require(e && !e->absent && (!e->sequence || e->sequence->size() == n), "the sequences differ in their length");
      given.push_back(e->sequence ? (*e->sequence)[k] : s.in(i));
    }
    Values y = s.importer.run_body(branch(s, "body"), given);
    for (size_t r = 0; r < results; ++r) out[r].push_back(y[r]);
  }
  for (size_t r = 0; r < results; ++r) s.importer.give_sequence(int(r), std::move(out[r]));
  return {};
}

void add_control(Recipes &r) {
  r.on("If", 1, branches);
  r.on("SequenceEmpty", 11, sequence_empty), r.on("SequenceConstruct", 11, sequence_construct),
      r.on("SequenceAt", 11, sequence_at);
  r.on("SequenceLength", 11, sequence_length), r.on("SequenceInsert", 11, sequence_insert),
      r.on("SequenceErase", 11, sequence_erase);
  r.on("SequenceMap", 17, sequence_map), r.on("Optional", 15, optional),
      r.on("OptionalHasElement", 15, optional_has_element);
  r.on("OptionalGetElement", 15, optional_get_element);
  r.on("SplitToSequence", 11, split_to_sequence), r.on("ConcatFromSequence", 11, concat_from_sequence);
}

} // namespace trellis::onnx

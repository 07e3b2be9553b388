// Branches, and sequences, which exist at import alone.
#include "compiler/onnx/importer.h"
#include <fmt/format.h>

namespace trellis::onnx {

static const GraphProto &branch(Step &s, std::string_view name) {
  const AttributeProto *a = s.attr(name);
  s.require(a && a->has_g(), fmt::format("attribute '{}' is missing", name));
  return a->g();
}

// A known condition picks its branch. Otherwise both are computed (bodies have no effects) and each result is picked.
static Values branches(Step &s) {
  s.require(s.in(0).type().size() == 1, "the condition must be one bool");
  if (std::optional<Tensor> c = s.maybe_known(0)) return s.importer.run_body(branch(s, c->get_int(0) ? "then_branch" : "else_branch"), {});
  Values yes = s.importer.run_body(branch(s, "then_branch"), {}), no = s.importer.run_body(branch(s, "else_branch"), {}), out;
  s.require(yes.size() == no.size(), "the branches differ in their number of results");
  Value c = reshape(s.in(0), {});
  for (size_t i = 0; i < yes.size(); ++i) {
    s.require(yes[i].type() == no[i].type(),
              fmt::format("the branches give {} and {}, and the condition is not known at import", yes[i].type().str(), no[i].type().str()));
    out.push_back(select(c, yes[i], no[i]));
  }
  return out;
}

static const Values &sequence(Step &s, int i) {
  std::shared_ptr<const Values> q = i < s.node.input_size() ? s.importer.sequence(s.node.input(i)) : nullptr;
  s.require(q != nullptr, fmt::format("operand {} is no sequence", i + 1));
  return *q;
}
static int64_t position(Step &s, int i, size_t size, bool end) {
  int64_t n = int64_t(size), at = s.has(i) ? int64_t(s.known_real(i)) : end ? n : n - 1;
  s.require(at >= -n && at < n + (end ? 1 : 0), fmt::format("position {} in a sequence of {}", at, n));
  return at < 0 ? at + n : at;
}

static Values sequence_empty(Step &s) { return s.importer.give_sequence(0, {}), Values{}; }
static Values sequence_construct(Step &s) { return s.importer.give_sequence(0, s.all()), Values{}; }
static Values sequence_at(Step &s) { return {sequence(s, 0)[size_t(position(s, 1, sequence(s, 0).size(), false))]}; }
static Values sequence_length(Step &s) { return {s.g.constant(Tensor::scalar_int(DType::i64, int64_t(sequence(s, 0).size())))}; }
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
  if (!s.has(1)) extents.assign(size_t(n), 1), keep = s.i("keepdims", 1) != 0;
  else if (Ints given = s.known_ints(1); s.in(1).rank() == 0) {
    s.require(given[0] > 0, "a part has no elements");
    for (int64_t at = 0; at < n; at += given[0]) extents.push_back(std::min(given[0], n - at));
  } else extents = given;
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

void add_control(Recipes &r) {
  r.on("If", 1, branches);
  r.on("SequenceEmpty", 11, sequence_empty), r.on("SequenceConstruct", 11, sequence_construct), r.on("SequenceAt", 11, sequence_at);
  r.on("SequenceLength", 11, sequence_length), r.on("SequenceInsert", 11, sequence_insert), r.on("SequenceErase", 11, sequence_erase);
  r.on("SplitToSequence", 11, split_to_sequence), r.on("ConcatFromSequence", 11, concat_from_sequence);
}

} // namespace trellis::onnx

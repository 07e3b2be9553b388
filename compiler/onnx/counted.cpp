#include "compiler/onnx/counted.h"
#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>

namespace trellis::onnx {

namespace {

[[noreturn]] void refuse(const Step &s) {
  s.fail("the number of elements of an operand depends on data, which this operator does not take along this axis");
}

// Each operand's axis from the back is one of the results', of one count; others repeat along it.
void elementwise_count(Step &s, const Values &results) {
  Count all;
  int back = 0;
  for (int i = 0; i < s.inputs(); ++i)
    if (Count c = s.count(i)) {
      int from_back = s.in(i).rank() - c.axis;
      if (all && (back != from_back || !all.number.is(c.number))) refuse(s);
      all = c, back = from_back;
    }
  for (int i = 0; i < s.inputs(); ++i)
    if (s.has(i) && !s.count(i) && s.in(i).rank() >= back &&
        s.in(i).shape()[size_t(s.in(i).rank() - back)].value() != 1)
      refuse(s);
  for (size_t k = 0; k < results.size(); ++k) s.give_count(int(k), {results[k].rank() - back, all.number});
}

void transpose_count(Step &s, const Values &results) {
  Ints perm = s.ints("perm");
  int rank = results[0].rank();
  for (int k = 0; k < rank; ++k)
    if ((perm.empty() ? rank - 1 - k : perm[size_t(k)]) == s.count(0).axis) s.give_count(0, {k, s.count(0).number});
}

// Axes that go or come; a shape's own ones keep their order.
void squeeze_count(Step &s, const Values &) {
  std::optional<Ints> given = s.ints_of(1, "axes");
  if (!given) refuse(s); // which extents are 1 is not known
  Ints axes = s.axes(*given, s.in(0).rank());
  int axis = s.count(0).axis, before = 0;
  for (int64_t a : axes) {
    if (a == axis) refuse(s);
    before += a < axis;
  }
  s.give_count(0, {axis - before, s.count(0).number});
}
void unsqueeze_count(Step &s, const Values &results) {
  Ints axes = s.axes(s.ints_of(1, "axes").value(), results[0].rank());
  int own = 0;
  for (int k = 0; k < results[0].rank(); ++k)
    if (std::find(axes.begin(), axes.end(), k) == axes.end() && own++ == s.count(0).axis)
      s.give_count(0, {k, s.count(0).number});
}

int64_t product(const Shape &s, int from, int to) {
  int64_t n = 1;
  for (int k = from; k < to; ++k) n *= s[size_t(k)].value();
  return n;
}

// The axis must stay whole, and be one that the new shape leaves open.
void reshape_count(Step &s, const Values &results) {
  const Shape &from = s.in(0).shape(), &to = results[0].shape();
  int axis = s.count(0).axis;
  Ints want = s.version < 5 ? s.ints("shape") : s.known_ints(1);
  for (int k = 0; k < results[0].rank(); ++k) {
    bool open = want[size_t(k)] == -1 || (want[size_t(k)] == 0 && k == axis && !s.i("allowzero", 0));
    if (open && same(to[size_t(k)], from[size_t(axis)]) && product(from, 0, axis) == product(to, 0, k) &&
        product(from, axis + 1, int(from.size())) == product(to, k + 1, int(to.size())))
      return s.give_count(0, {k, s.count(0).number});
  }
  refuse(s);
}
void flatten_count(Step &s, const Values &) {
  int axis = s.count(0).axis, rank = s.in(0).rank();
  int64_t at = s.axis(s.i("axis", 1), rank);
  if (axis == 0 && at == 1) return s.give_count(0, {0, s.count(0).number});
  if (axis == rank - 1 && at == axis) return s.give_count(0, {1, s.count(0).number});
  refuse(s);
}

void gather_count(Step &s, const Values &) {
  int axis = int(s.axis(s.i("axis", 0), s.in(0).rank()));
  Count data = s.count(0), at = s.count(1);
  if (data && data.axis != axis) {
    if (at) refuse(s);
    s.give_count(0, {data.axis < axis ? data.axis : data.axis - 1 + s.in(1).rank(), data.number});
  } else if (at)
    s.give_count(0, {axis + at.axis, at.number});
}
void gather_nd_count(Step &s, const Values &) {
  Count at = s.count(1);
  if (s.count(0) || s.i("batch_dims", 0) != 0 || at.axis == s.in(1).rank() - 1) refuse(s);
  s.give_count(0, at);
}

// Over other axes.
void reduce_count(Step &s, const Values &) {
  int axis = s.count(0).axis, rank = s.in(0).rank(), before = 0;
  bool extreme = s.node.op_type().starts_with("Arg");
  std::optional<Ints> given = extreme ? Ints{s.i("axis", 0)} : s.ints_of(1, "axes");
  if (!given || given->empty()) refuse(s);
  for (int64_t a : s.axes(*given, rank)) {
    if (a == axis) refuse(s);
    before += a < axis;
  }
  s.give_count(0, {s.i("keepdims", 1) ? axis : axis - before, s.count(0).number});
}
void along_axis_count(Step &s, const Values &results) {
  if ((s.version < 13 && s.node.op_type() == "Softmax") || s.axis(s.i("axis", -1), s.in(0).rank()) == s.count(0).axis)
    refuse(s);
  for (size_t k = 0; k < results.size(); ++k) s.give_count(int(k), s.count(0));
}

void by_recipe(Step &, const Values &) {}

using Follow = void (*)(Step &, const Values &);
const std::unordered_map<std::string_view, Follow> &rules() {
  static const std::unordered_map<std::string_view, Follow> all = [] {
    std::unordered_map<std::string_view, Follow> r{{"Transpose", transpose_count},
                                                   {"Squeeze", squeeze_count},
                                                   {"Unsqueeze", unsqueeze_count},
                                                   {"Reshape", reshape_count},
                                                   {"Flatten", flatten_count},
                                                   {"Gather", gather_count},
                                                   {"GatherND", gather_nd_count},
                                                   {"ArgMax", reduce_count},
                                                   {"ArgMin", reduce_count},
                                                   {"Softmax", along_axis_count},
                                                   {"TopK", along_axis_count},
                                                   {"Shape", by_recipe},
                                                   {"Size", by_recipe},
                                                   {"Slice", by_recipe},
                                                   {"Concat", by_recipe},
                                                   {"ScatterND", by_recipe}};
    for (const char *n : {"ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1", "ReduceL2",
                          "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"})
      r.emplace(n, reduce_count);
    for (const char *n : {"Add",   "Sub",      "Mul",         "Div",    "Equal",   "Less",     "Greater",
                          "And",   "Or",       "Xor",         "Max",    "Min",     "Sum",      "Mean",
                          "Pow",   "Mod",      "Clip",        "Cast",   "Not",     "Identity", "LeakyRelu",
                          "Elu",   "Gelu",     "Selu",        "Celu",   "Mish",    "Softsign", "Swish",
                          "IsInf", "BitShift", "HardSigmoid", "Shrink", "Dropout", "PRelu",    "ThresholdedRelu"})
      r.emplace(n, elementwise_count);
    return r;
  }();
  return all;
}

} // namespace

bool takes_counts(std::string_view op) { return rules().contains(op) || aliased(op).has_value(); }

void follow_counts(Step &s, const Values &results) {
  auto it = rules().find(s.node.op_type());
  (it == rules().end() ? elementwise_count : it->second)(s, results);
}

} // namespace trellis::onnx

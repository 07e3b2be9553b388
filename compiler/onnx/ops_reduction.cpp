// Reductions, arg reductions, cumulative operators, and the losses.
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static Ints every_axis(int rank) {
  Ints out;
  for (int k = 0; k < rank; ++k) out.push_back(k);
  return out;
}

static Value mean_of(Value x, const Ints &axes, bool keep) {
  int64_t n = 1;
  for (int64_t a : axes) n *= x.shape()[size_t(a)].value();
  return reduce_over(x, "sum", axes, keep) / double(n);
}

static Values reduced(Step &s) {
  Value x = s.in(0);
  const std::string &op = s.node.op_type();
  std::optional<Ints> given = s.ints_of(1, "axes");
  bool keep = s.i("keepdims", 1) != 0, none = !given || given->empty();
  Ints axes;
  if (!none)
    axes = s.axes(*given, x.rank());
  else if (!s.i("noop_with_empty_axes", 0))
    axes = every_axis(x.rank());
  std::sort(axes.begin(), axes.end());
  auto over = [&](Value v, std::string_view kind) { return axes.empty() ? v : reduce_over(v, kind, axes, keep); };
  if (op == "ReduceSum") return {over(x, "sum")};
  if (op == "ReduceProd") return {over(x, "prod")};
  if (op == "ReduceMax") return {over(x, "max")};
  if (op == "ReduceMin") return {over(x, "min")};
  if (op == "ReduceMean") {
    if (axes.empty()) return {x};
    return {is_float(x.dtype()) ? mean(x, axes, keep) : mean_of(x, axes, keep)};
  }
  if (op == "ReduceL1") return {over(abs(x), "sum")};
  if (op == "ReduceSumSquare") return {over(square(x), "sum")};
  bool real = is_float(x.dtype());
  Value v = real ? x : cast(x, DType::f64), y;
  if (op == "ReduceL2")
    y = sqrt(over(square(v), "sum"));
  else if (op == "ReduceLogSum")
    y = log(over(v, "sum"));
  else
    y = axes.empty() ? v : logsumexp(v, axes, keep);
  return {cast(y, x.dtype())};
}

static Values arg_extreme(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.i("axis", 0), x.rank());
  bool keep = s.i("keepdims", 1) != 0, last = s.i("select_last_index", 0) != 0;
  auto arg = s.node.op_type() == "ArgMax" ? argmax : argmin;
  if (!last) return {arg(x, axis, keep)};
  Value i = arg(flip(x, {axis}), axis, keep);
  return {-i + double(x.shape()[size_t(axis)].value() - 1)};
}

static Values running(Step &s) {
  Value x = s.in(0);
  int64_t axis = s.axis(s.known_whole(1), x.rank());
  return {cumulative(x, s.node.op_type() == "CumSum" ? "sum" : "prod", axis, s.i("exclusive", 0) != 0,
                     s.i("reverse", 0) != 0)};
}

// --- losses: scores [N, C, d...], labels [N, d...] ---

static Value reduce_loss(Step &s, Value loss, Value weight) {
  std::string how = s.s("reduction", "mean");
  if (how == "none") return loss;
  Value total = reduce_over(loss, "sum", every_axis(loss.rank()));
  if (how == "sum") return total;
  return weight ? total / reduce_over(weight, "sum", every_axis(weight.rank())) : total / double(loss.type().size());
}

static Value likelihood(Step &s, Value logp, Value labels, Value class_weight) {
  s.require(logp.rank() >= 2 && labels.rank() == logp.rank() - 1, "the labels do not fit the scores");
  int64_t classes = logp.shape()[1];
  Value l = cast(labels, DType::i64);
  Value hot = one_hot(l, classes, DType::boolean); // [N, d..., C]
  Ints perm{0, logp.rank() - 1};
  for (int k = 1; k < logp.rank() - 1; ++k) perm.push_back(k);
  hot = permute(hot, perm);
  Value zero = s.g.splat(logp.type(), 0);
  Value loss = -reduce_over(select(hot, logp, zero), "sum", {1});
  Value weight;
  if (class_weight) {
    Shape c(size_t(logp.rank()), Dim(1));
    c[1] = classes;
    weight = reduce_over(select(hot, expand(reshape(class_weight, c), logp.shape()), zero), "sum", {1});
  }
  if (s.attr("ignore_index")) {
    Value seen = ne(l, double(s.i("ignore_index", 0)));
    weight = weight ? select(seen, weight, s.g.splat(weight.type(), 0)) : cast(seen, logp.dtype());
  }
  if (weight) loss = select(eq(weight, 0), s.g.splat(loss.type(), 0), loss * weight);
  return reduce_loss(s, loss, weight);
}

static Values nll(Step &s) { return {likelihood(s, s.in(0), s.in(1), s.opt(2))}; }
static Values softmax_loss(Step &s) {
  s.require(s.in(0).rank() >= 2, "the scores need rank 2 or more");
  Value logp = log_softmax(s.in(0), 1);
  return {likelihood(s, logp, s.in(1), s.opt(2)), logp};
}

void add_reduction(Recipes &r) {
  r.on({"ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSum", "ReduceLogSumExp"},
       1, reduced);
  r.on({"ArgMax", "ArgMin"}, 1, arg_extreme), r.on("CumSum", 11, running), r.on("CumProd", 26, running);
  r.on("NegativeLogLikelihoodLoss", 12, nll), r.on("SoftmaxCrossEntropyLoss", 12, softmax_loss);
}

} // namespace trellis::onnx

// Random numbers. Each node has a stream of its own of the counter-based generator (ir/ops/random.cpp), numbered by its place
// in the graph, and the seed is the bits of its attribute 'seed' (without one 0): every run gives the same numbers.
#include "compiler/onnx/recipe.h"
#include <bit>
#include <fmt/format.h>

namespace trellis::onnx {

static Value drawn(Step &s, Op op, DType t, const Shape &shape) {
  s.require(is_float(t), fmt::format("random numbers of {} are not supported", name(t)));
  auto seed = s.attr("seed") ? int64_t(std::bit_cast<uint32_t>(float(s.f("seed", 0)))) : 0;
  return random(op, s.g.constant(Tensor::scalar_int(DType::i64, seed)), {t, shape}, int64_t(s.g.node_count()));
}

// RandomUniform, RandomNormal, and the same Like an operand.
static Values random_tensor(Step &s) {
  const std::string &op = s.node.op_type();
  bool normal = op.starts_with("RandomNormal"), like = op.ends_with("Like");
  Shape shape = like ? s.in(0).shape() : shape_of(s.ints("shape"));
  for (const Dim &d : shape) s.require(d.value() >= 0, "a dim is negative");
  s.require(like || s.attr("shape"), "attribute 'shape' is missing");
  DType t = s.attr("dtype") ? s.dtype(s.i("dtype", 1)) : like ? s.in(0).dtype() : DType::f32;
  if (normal) return {drawn(s, Op::random_normal, t, shape) * s.f("scale", 1) + s.f("mean", 0)};
  double low = s.f("low", 0), high = s.f("high", 1);
  return {drawn(s, Op::random_uniform, t, shape) * (high - low) + low};
}

static Values bernoulli(Step &s) {
  Value p = s.in(0);
  DType t = s.attr("dtype") ? s.dtype(s.i("dtype", 1)) : p.dtype();
  return {cast(lt(drawn(s, Op::random_uniform, DType::f32, p.shape()), cast(p, DType::f32)), t)};
}

// The number of running sums of probabilities that the draw reaches.
static Values multinomial(Step &s) {
  Value x = s.in(0);
  int64_t count = s.i("sample_size", 1);
  s.require(x.rank() == 2 && count > 0 && count < int64_t(1) << 31, "needs a matrix, and a positive 'sample_size'");
  s.require(x.shape()[1].value() > 0, "there are no classes");
  DType t = s.dtype(s.i("dtype", 6));
  Dim n = x.shape()[0], classes = x.shape()[1];
  Shape all{n, count, classes};
  Value reach = cumulative(softmax(cast(x, DType::f32), 1), "sum", 1), draw = drawn(s, Op::random_uniform, DType::f32, {n, count});
  Value passed = le(expand(reshape(reach, {n, 1, classes}), all), expand(reshape(draw, {n, count, 1}), all));
  return {min(reduce_over(cast(passed, t), "sum", {2}), double(classes.value() - 1))};
}

void add_random(Recipes &r) {
  r.on({"RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike"}, 1, random_tensor);
  r.on("Bernoulli", 15, bernoulli), r.on("Multinomial", 7, multinomial);
}

} // namespace trellis::onnx

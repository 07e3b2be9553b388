// Random numbers. Each node has a stream of its own of the counter-based generator (ir/ops/random.cpp), numbered by its place
// in the graph, and the seed is the bits of its attribute 'seed' (without one 0), moved on by the number of the iteration in
// bodies: every run gives the same numbers.
#include "compiler/onnx/importer.h"
#include <bit>
#include <fmt/format.h>

namespace trellis::onnx {

// One seed for all, in a state that training moves on.
Value Importer::drop_out(Value x, double ratio) {
  if (!seed_) {
    std::string name(kDropoutSeed);
    while (graph_->find_input(name)) name += "_";
    seed_ = graph_->input(name, {DType::u64, {}}, "state", "zero");
  }
  return dropout(x, seed_here(seed_), ratio, dropouts_++);
}

// The numbers of nested iterations are digits of one number, in a base whose multiples spread over all 64 bits.
Value Importer::seed_here(Value seed) {
  auto factor = [&](uint64_t odd) { return graph_->constant(Tensor::scalar_int(DType::i64, int64_t(odd))); };
  Value number;
  for (Turn &t : turns_) number = number ? number * factor(0x5851f42d4c957f2d) + t.number : t.number, t.drew = true;
  return number ? seed + cast(number * factor(0x9e3779b97f4a7c15), seed.dtype()) : seed;
}

static Value drawn(Step &s, Op op, DType t, const Shape &shape) {
  s.require(is_float(t), fmt::format("random numbers of {} are not supported", name(t)));
  const AttributeProto *a = s.attr("seed"); // an integer for Dropout
  int64_t seed = !a ? 0 : a->i() ? a->i() : int64_t(std::bit_cast<uint32_t>(a->f()));
  Value here = s.importer.seed_here(s.g.constant(Tensor::scalar_int(DType::i64, seed)));
  return random(op, here, {t, shape}, int64_t(s.g.node_count()));
}

// RandomUniform, RandomNormal, and the same Like an operand.
static Values random_tensor(Step &s) {
  const std::string &op = s.node.op_type();
  bool normal = op.starts_with("RandomNormal"), like = op.ends_with("Like");
  s.require(like || s.attr("shape"), "attribute 'shape' is missing");
  int64_t count = 1;
  for (int64_t d : s.ints("shape")) {
    s.require(d >= 0 && d < int64_t(1) << 31, "a dim is negative, or too large");
    count *= d;
    s.require(count < int64_t(1) << 40, "the shape is too large");
  }
  Shape shape = like ? s.in(0).shape() : shape_of(s.ints("shape"));
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
  Value reach = cumulative(softmax(cast(x, DType::f32), 1), "sum", 1),
        draw = drawn(s, Op::random_uniform, DType::f32, {n, count});
  Value passed = le(expand(reshape(reach, {n, 1, classes}), all), expand(reshape(draw, {n, count, 1}), all));
  return {min(reduce_over(cast(passed, t), "sum", {2}), double(classes.value() - 1))};
}

// Models that are read to be trained draw at every step; else inference drops nothing, and training mode draws once for all.
static Values dropout_of(Step &s) {
  Value x = s.in(0);
  bool modern = s.version >= 12, trainable = s.importer.trainable();
  // Training mode of older opsets is that of exporters who meant inference, too.
  bool training = modern && s.has(2) && s.known_real(2) != 0;
  double ratio = !modern ? s.f("ratio", 0.5) : s.has(1) && (training || trainable) ? s.known_real(1) : 0.5;
  s.require(!(training || trainable) || (ratio >= 0 && ratio < 1), fmt::format("a ratio of {} is out of range", ratio));
  Value all = s.g.splat({s.version >= 10 ? DType::boolean : x.dtype(), x.shape()}, 1);
  if (trainable) return {ratio > 0 ? s.importer.drop_out(x, ratio) : x, all};
  if (!training || ratio == 0) return {x, all};
  Value keep = le(ratio, drawn(s, Op::random_uniform, DType::f32, x.shape()));
  return {select(keep, x * (1 / (1 - ratio)), 0), keep};
}

void add_random(Recipes &r) {
  r.on({"RandomUniform", "RandomNormal", "RandomUniformLike", "RandomNormalLike"}, 1, random_tensor);
  r.on("Dropout", 1, dropout_of), r.on("Bernoulli", 15, bernoulli), r.on("Multinomial", 7, multinomial);
}

} // namespace trellis::onnx

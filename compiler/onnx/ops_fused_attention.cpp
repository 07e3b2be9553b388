// Attention of com.microsoft: projections, masks in several forms and caches around the one attention op, and rotary
// embeddings and products with packed weights, which stand beside it in the same models.
#include "compiler/onnx/products.h"
#include "compiler/onnx/rotary.h"
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

Value split_heads(Step &s, Value x, int64_t heads) { // [B, S, N D] -> [B, N, S, D]
  s.require(x.rank() == 3 && x.shape()[2].value() % heads == 0,
            fmt::format("{} does not divide into {} heads", x.type().str(), heads));
  return permute(reshape(x, {x.shape()[0], x.shape()[1], heads, x.shape()[2].value() / heads}), {0, 2, 1, 3});
}

struct Heads {
  Value q, k, v; ///< [B, N, S, D], [B, N, T, D], [B, N, T, E]
  int64_t past = 0;
};

// What hides keys, as numbers to be added to the scores: where `seen` does not hold the filter value.
Value hiding(Step &s, Value seen, DType t) {
  return select(seen, s.g.splat({t, seen.shape()}, 0), s.f("mask_filter_value", -10000));
}
// A mask [B, T] or [B, S, T] (0 hides), lengths [B], or ends and starts [2 B].
Value mask_bias(Step &s, Value mask, const Heads &h) {
  Dim b = h.q.shape()[0], keys = h.k.shape()[2];
  DType t = h.q.dtype();
  if (mask.rank() == 2 || mask.rank() == 3) {
    Shape c = mask.shape();
    c.insert(c.begin() + 1, mask.rank() == 2 ? 2 : 1, Dim(1));
    return hiding(s, reshape(lt(0, cast(mask, DType::i32)), c), t);
  }
  int64_t n = mask.type().size();
  s.require(mask.rank() == 1 && (n == b.value() || n == 2 * b.value()),
            fmt::format("a mask {} is not supported", mask.type().str()));
  Shape all{b, 1, 1, keys};
  Value at = iota(s.g, {DType::i32, all}, 3);
  auto bound = [&](int64_t k) {
    return expand(reshape(cast(narrow(mask, 0, k * b.value(), (k + 1) * b.value()), DType::i32), {b, 1, 1, 1}), all);
  };
  Value seen = lt(at, bound(0));
  if (n != b.value()) seen = bit_and(seen, le(bound(1), at));
  return hiding(s, seen, t);
}

Value attend(Step &s, const Heads &h, Value mask, Value added) {
  Shape scores{h.q.shape()[0], h.q.shape()[1], h.q.shape()[2], h.k.shape()[2]};
  Value bias;
  auto add = [&](Value v) { bias = bias ? bias + v : v; };
  if (mask) add(mask_bias(s, mask, h));
  if (added) add(cast(added, h.q.dtype()));
  bool causal = s.i("unidirectional", 0) != 0;
  if (causal && h.past) { // query i is key past + i
    Type plane{DType::i64, {1, 1, scores[2], scores[3]}};
    Value seen = le(iota(s.g, plane, 3), iota(s.g, plane, 2) + double(h.past));
    add(select(seen, s.g.splat({h.q.dtype(), plane.shape}, 0), -INFINITY));
    causal = false;
  }
  AttentionOptions o{bias ? broadcast_to(bias, scores) : bias, causal, {}};
  if (s.f("scale", 0) != 0) o.scale = s.f("scale", 0);
  Value y = attention(h.q, h.k, h.v, o);
  return reshape(permute(y, {0, 2, 1, 3}), {scores[0], scores[2], scores[1].value() * y.shape()[3].value()});
}

// Behind the projection [B, S, q + k + v]: heads, the cache [2, B, N, past, D], and the attention.
Values self_attention(Step &s, Value projected, Value mask, Value past, Value added) {
  int64_t n = s.need_i("num_heads");
  s.require(n > 0 && projected.rank() == 3, "needs heads, and an input of rank 3");
  int64_t width = projected.shape()[2];
  s.require(!s.i("do_rotary", 0) && !s.i("past_present_share_buffer", 0),
            "do_rotary and past_present_share_buffer are not supported");
  Ints sizes = s.ints("qkv_hidden_sizes", Ints(3, width / 3));
  bool fit = sizes.size() == 3;
  for (int64_t k : sizes) fit &= k > 0 && k <= width;
  s.require(fit && sizes[0] + sizes[1] + sizes[2] == width, "the weights do not divide into queries, keys and values");
  Values parts = split(projected, sizes, 2);
  Heads h{split_heads(s, parts[0], n), split_heads(s, parts[1], n), split_heads(s, parts[2], n), 0};
  if (past) {
    s.require(past.rank() == 5, fmt::format("the cache is {}", past.type().str()));
    Shape one(past.shape().begin() + 1, past.shape().end());
    auto part = [&](int64_t k) { return reshape(narrow(past, 0, k, k + 1), one); };
    h.past = past.shape()[3], h.k = concat({part(0), h.k}, 2), h.v = concat({part(1), h.v}, 2);
  }
  Values y{attend(s, h, mask, added)};
  if (s.wants(1)) y.push_back(stack({h.k, h.v}, 0));
  return y;
}

} // namespace

static Values projected_attention(Step &s) {
  Value x = product(s, s.in(0), s.in(1));
  return self_attention(s, s.has(2) ? x + s.in(2) : x, s.opt(3), s.opt(4), s.opt(5));
}
static Values quantised_attention(Step &s) {
  Value x = product(s, centred(s, s.in(0), s.opt(6), -1), centred(s, s.in(1), s.opt(7), 1));
  DType t = s.in(3).dtype();
  x = cast(cast(x, DType::f32) *
               (cast(along(s, s.in(3), x, -1), DType::f32) * cast(along(s, s.in(4), x, -1), DType::f32)),
           t) +
      s.in(2);
  return self_attention(s, x, s.opt(5), s.opt(8), {});
}

// Queries, keys and values [B, S, N D], keys and values as heads, or all of them packed [B, S, N, 3, D].
static Values multi_head_attention(Step &s) {
  int64_t n = s.need_i("num_heads");
  s.require(n > 0, "needs heads");
  s.require(!s.has(8) && !s.has(9) && !s.wants(3),
            "shared caches, beams and the product of queries and keys are not supported");
  Value q = s.in(0), k = s.opt(1), v = s.opt(2);
  auto unpacked = [&](Value packed, int64_t i) { // as [B, S, N D]
    Shape c = packed.shape();
    return reshape(narrow(packed, 3, i, i + 1), {c[0], c[1], c[2].value() * c[4].value()});
  };
  if (q.rank() == 5)
    s.require(q.shape()[3].value() == 3 && !k, "packed operands do not fit"), k = unpacked(q, 1), v = unpacked(q, 2),
                                                                              q = unpacked(q, 0);
  else if (k && k.rank() == 5)
    s.require(k.shape()[3].value() == 2, "packed operands do not fit"), v = unpacked(k, 1), k = unpacked(k, 0);
  s.require(k && v, "keys and values are missing");
  if (s.has(3)) {
    s.require(s.in(3).rank() == 1, fmt::format("the bias is {}", s.in(3).type().str()));
    int64_t at = 0;
    for (Value *x : {&q, &k, &v}) {
      if (x->rank() != 3) continue;
      int64_t width = x->shape()[2];
      s.require(at + width <= s.in(3).type().size(), "the bias is too short");
      *x = *x + narrow(s.in(3), 0, at, at + width), at += width;
    }
  }
  s.require(k.rank() == 3 || k.rank() == 4, fmt::format("the keys are {}", k.type().str()));
  auto heads = [&](Value x) { return x.rank() == 4 ? x : split_heads(s, x, n); };
  Heads h{heads(q), heads(k), heads(v), 0};
  s.require(!s.has(6) || (s.in(6).rank() == 4 && s.in(7).rank() == 4), "the cache needs rank 4");
  if (s.has(6)) h.past = s.in(6).shape()[2], h.k = concat({s.in(6), h.k}, 2), h.v = concat({s.in(7), h.v}, 2);
  return {attend(s, h, s.opt(4), s.opt(5)), h.k, h.v};
}

static Values rotary(Step &s) {
  Value x = s.in(0), ids = s.in(1), cosine = s.in(2), sine = s.in(3);
  s.require(!s.i("is_packed_batching", 0) && s.f("scale", 1) == 1, "packed batches and scales are not supported");
  s.require(cosine.rank() == 2 && (x.rank() == 3 || x.rank() == 4),
            "needs caches of rank 2, and an input of rank 3 or 4");
  int64_t heads = s.i("num_heads", 0);
  if (heads == 0 && x.rank() == 3) heads = x.shape()[2].value() / std::max<int64_t>(2 * cosine.shape()[1].value(), 1);
  Dim b = x.shape()[0], n = x.shape()[x.rank() == 3 ? 1 : 2];
  if (ids.rank() == 1) { // the first position
    Shape all{b, n};
    ids = iota(s.g, {DType::i64, all}, 1) + expand(reshape(cast(ids, DType::i64), {1, 1}), all);
  }
  return {turned(s, x, cosine, sine, ids, heads)};
}

// Weights [N, blocks, bytes] of 2, 4 or 8 bits, the low bits first; a block has one scale and zero point.
static Values packed_matmul(Step &s) {
  Value b = s.in(1), scales = s.in(2);
  int64_t bits = s.i("bits", 4), block = s.need_i("block_size"), n = s.need_i("N"), k = s.need_i("K");
  s.require((bits == 2 || bits == 4 || bits == 8) && block > 0 && n > 0 && k > 0 && block < 1 << 24 &&
                n < int64_t(1) << 28 && k < int64_t(1) << 28,
            "bits, block_size, N or K do not fit");
  s.require(!s.has(4) && !s.i("weight_prepacked", 0), "g_idx and weights in another layout are not supported");
  int64_t blocks = (k + block - 1) / block, each = 8 / bits;
  s.require(b.dtype() == DType::u8 && b.type().size() == n * blocks * (block / each) &&
                scales.type().size() == n * blocks,
            "the weights do not fit N, K and block_size");
  DType t = scales.dtype();
  auto unpacked = [&](Value bytes, int64_t count) { // [n, bytes] -> [n, count]
    Values parts;
    for (int64_t i = 0; i < each; ++i) parts.push_back(bit_and(shr(bytes, double(i * bits)), double((1 << bits) - 1)));
    Value all = reshape(stack(parts, 2), {n, bytes.shape()[1].value() * each});
    return cast(narrow(all, 1, 0, count), t);
  };
  Shape apart{n, blocks, block}, one{n, blocks, 1};
  Value w = reshape(unpacked(reshape(b, {n, b.type().size() / n}), blocks * block), apart);
  Value zero = s.g.splat({t, one}, double(1 << (bits - 1)));
  if (s.has(3)) {
    Value z = s.in(3);
    s.require(z.type().size() % n == 0 && z.type().size() / n * (z.dtype() == DType::u8 ? each : 1) >= blocks,
              "the zero points do not fit");
    zero = reshape(z.dtype() == DType::u8 ? unpacked(reshape(z, {n, z.type().size() / n}), blocks) : cast(z, t), one);
  }
  w = (w - expand(zero, apart)) * expand(reshape(scales, one), apart);
  Value y = product(s, s.in(0), transpose(narrow(reshape(w, {n, blocks * block}), 1, 0, k)));
  return {s.has(5) ? y + s.in(5) : y};
}

void add_fused_attention(Recipes &r) {
  auto on = [&](std::string_view name, Recipe recipe) { r.on(name, 1, recipe, "com.microsoft"); };
  on("Attention", projected_attention), on("QAttention", quantised_attention),
      on("MultiHeadAttention", multi_head_attention);
  on("RotaryEmbedding", rotary), on("MatMulNBits", packed_matmul);
}

} // namespace trellis::onnx

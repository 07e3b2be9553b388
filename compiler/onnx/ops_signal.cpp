// Fourier transforms as products with constant matrices, and rotary embeddings.
#include "compiler/onnx/rotary.h"
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

// cos and sin of 2 pi k n / length, [rows, columns], each entry times weight(row).
struct Waves {
  Value cosine, sine;
};
Waves waves(Step &s, DType t, int64_t rows, int64_t columns, int64_t length,
            const std::function<double(int64_t)> &weight) {
  s.require(rows < 1 << 14 && columns < 1 << 14, "a transform of more than 16384 elements is not supported");
  Tensor c(t, {rows, columns}), w(t, {rows, columns});
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t k = 0; k < columns; ++k) {
      double at = 2 * M_PI * double(r * k % length) / double(length);
      c.set(r * columns + k, weight(r) * std::cos(at)), w.set(r * columns + k, weight(r) * std::sin(at));
    }
  return {s.g.constant(c), s.g.constant(w)};
}

Value times(Value x, Value m) { // the last axis of x
  int64_t n = x.shape().back();
  Shape out = x.shape();
  out.back() = m.shape()[1];
  return reshape(dot(reshape(x, {n ? x.type().size() / n : 0, n}), m), out);
}

// x [..., n, 1 or 2] -> [..., outputs, 2]; the inverse of half a spectrum is real: [..., length, 1].
Value transform(Step &s, Value x, int64_t length, bool inverse, bool one_sided) {
  int r = x.rank();
  int64_t n = x.shape()[size_t(r - 2)];
  Shape flat(x.shape().begin(), x.shape().end() - 1);
  s.require(length > 0, "the length must be positive");
  bool complex = x.shape().back().value() == 2;
  auto part = [&](int64_t k) { return reshape(narrow(x, r - 1, k, k + 1), flat); };
  Value re = part(0), im = complex ? part(1) : Value{};
  if (inverse && one_sided) {
    s.require(complex && n == length / 2 + 1, "half a spectrum does not fit the length");
    Waves w = waves(s, x.dtype(), n, length, length,
                    [&](int64_t k) { return (k == 0 || 2 * k == length ? 1.0 : 2.0) / double(length); });
    Value y = times(re, w.cosine) - times(im, w.sine);
    Shape out = y.shape();
    out.push_back(1);
    return reshape(y, out);
  }
  double scale = inverse ? 1 / double(length) : 1;
  Waves w = waves(s, x.dtype(), n, one_sided ? length / 2 + 1 : length, length, [&](int64_t) { return scale; });
  // (re + i im)(cos -+ i sin)
  Value a = times(re, w.cosine), b = times(re, w.sine);
  if (!inverse) b = -b;
  if (im) {
    Value c = times(im, w.sine);
    a = inverse ? a - c : a + c, b = b + times(im, w.cosine);
  }
  return stack({a, b}, -1);
}

} // namespace

static Values fourier(Step &s) {
  Value x = s.in(0);
  s.require(x.rank() >= 3 && (x.shape().back().value() == 1 || x.shape().back().value() == 2),
            "needs an axis of real and imaginary parts");
  int64_t axis = s.version < 20 ? s.i("axis", 1) : s.has(2) ? s.known_whole(2) : -2;
  axis = s.axis(axis, x.rank());
  s.require(axis != x.rank() - 1, "the axis is that of real and imaginary parts");
  bool inverse = s.i("inverse", 0) != 0, one_sided = s.i("onesided", 0) != 0;
  Ints perm;
  for (int64_t k = 0; k < x.rank(); ++k)
    if (k != axis && k != x.rank() - 1) perm.push_back(k);
  perm.push_back(axis), perm.push_back(x.rank() - 1);
  Ints back(perm.size());
  for (size_t k = 0; k < perm.size(); ++k) back[size_t(perm[k])] = int64_t(k);
  x = permute(x, perm);
  int64_t n = x.shape()[size_t(x.rank() - 2)], length = s.has(1)               ? s.known_whole(1)
                                                        : inverse && one_sided ? 2 * (n - 1)
                                                                               : n;
  int64_t fit = inverse && one_sided ? length / 2 + 1 : length;
  s.require(length > 0 && length < 1 << 14, "the length is not positive, or more than 16384");
  if (fit < n) x = narrow(x, x.rank() - 2, 0, fit);
  if (fit > n) {
    Ints lo(size_t(x.rank()), 0), hi = lo;
    hi[hi.size() - 2] = fit - n;
    x = pad(x, lo, hi);
  }
  return {permute(transform(s, x, length, inverse, one_sided), back)};
}

// signal [B, L, 1 or 2] -> [B, frames, outputs, 2].
static Values short_time(Step &s) {
  Value x = s.in(0), shape = s.opt(2);
  s.require(x.rank() == 3, "the signal needs rank 3");
  int64_t by = s.known_whole(1),
          n = s.has(3) ? s.known_whole(3)
              : shape  ? shape.type().size()
                       : 0,
          length = x.shape()[1];
  s.require(by > 0 && n > 0 && n <= length, "the frames do not fit the signal");
  Value w = window(permute(x, {0, 2, 1}), {n}, {by}); // [B, parts, frames, n]
  w = permute(w, {0, 2, 3, 1});
  if (shape) {
    s.require(shape.type().size() == n, "the window and the frames differ in length");
    w = w * reshape(shape, {n, 1});
  }
  return {transform(s, w, n, false, s.i("onesided", 1) != 0)};
}

Value turned(Step &s, Value x, Value cosine, Value sine, Value ids, int64_t heads) {
  bool flat = x.rank() == 3;
  Shape whole = x.shape();
  if (flat) {
    s.require(heads > 0 && whole[2].value() % heads == 0, "the width does not divide into the heads");
    x = permute(reshape(x, {whole[0], whole[1], heads, whole[2].value() / heads}), {0, 2, 1, 3});
  }
  s.require(x.rank() == 4, "needs rank 3 or 4");
  int64_t d = x.shape()[3], width = s.i("rotary_embedding_dim", 0);
  if (width == 0) width = d;
  s.require(width > 0 && width <= d && width % 2 == 0, "'rotary_embedding_dim' does not fit the heads");
  if (ids) cosine = gather(cosine, ids, 0), sine = gather(sine, ids, 0);
  s.require(cosine.rank() == 3 && cosine.shape()[2].value() == width / 2, "the caches do not fit the heads");
  Shape one{cosine.shape()[0], 1, cosine.shape()[1], width / 2};
  cosine = reshape(cosine, one), sine = reshape(sine, one);
  Value head = narrow(x, 3, 0, width), a, b;
  bool interleaved = s.i("interleaved", 0) != 0;
  Shape half = head.shape();
  half[3] = width / 2;
  Shape pairs = half;
  pairs.push_back(2);
  auto of = [&](int64_t k) {
    return interleaved ? reshape(narrow(reshape(head, pairs), 4, k, k + 1), half)
                       : narrow(head, 3, k * width / 2, (k + 1) * width / 2);
  };
  a = of(0), b = of(1);
  Value re = a * cosine - b * sine, im = a * sine + b * cosine;
  Value y = interleaved ? reshape(stack({re, im}, 4), head.shape()) : concat({re, im}, 3);
  if (width < d) y = concat({y, narrow(x, 3, width, d)}, 3);
  return flat ? reshape(permute(y, {0, 2, 1, 3}), whole) : y;
}
static Values rotary(Step &s) {
  return {turned(s, s.in(0), s.in(1), s.in(2), s.opt(3), s.in(0).rank() == 3 ? s.need_i("num_heads") : 0)};
}

void add_signal(Recipes &r) {
  r.on("DFT", 17, fourier), r.on("STFT", 17, short_time), r.on("RotaryEmbedding", 23, rotary);
}

} // namespace trellis::onnx

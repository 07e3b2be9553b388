// Products: convolutions, matrix products, einsum, and their quantised forms.
#include "compiler/onnx/products.h"
#include "compiler/onnx/windows.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

// Rank 3 and 5 as they are; bias [C] along axis 1.
static Value with_bias(Value y, Value bias) {
  if (!bias) return y;
  Shape c(size_t(y.rank()), Dim(1));
  c[1] = bias.type().size();
  return y + reshape(bias, c);
}

Value convolve(Step &s, Value x, Value w, Value bias) {
  s.require(w.rank() == x.rank(), fmt::format("weights {} for {}", w.type().str(), x.type().str()));
  s.require(w.rank() >= 3, "needs axes behind the channels");
  Ints size = dims_of(Shape(w.shape().begin() + 2, w.shape().end()));
  Ints named = s.ints("kernel_shape", size);
  s.require(named == size, "'kernel_shape' is not that of the weights");
  Windows g = windows_of(s, x, size);
  ConvOptions o{g.stride, g.lo, g.hi, g.dilation, {}, s.i("group", 1)};
  s.require(o.groups > 0, "'group' must be positive");
  bool crops = false;
  for (size_t k = 0; k < g.lo.size(); ++k) crops |= g.lo[k] < 0 || g.hi[k] < 0;
  if (crops) {
    Ints lo(2, 0), hi(2, 0);
    lo.insert(lo.end(), g.lo.begin(), g.lo.end()), hi.insert(hi.end(), g.hi.begin(), g.hi.end());
    x = pad(x, lo, hi), o.lo = o.hi = {};
  }
  return with_bias(conv(x, w, o), bias);
}
static Values convolution(Step &s) { return {convolve(s, s.in(0), s.in(1), s.opt(2))}; }

// The transpose: a convolution of the spread input with the flipped kernel.
static Values conv_transpose(Step &s) {
  Value x = s.in(0), w = s.in(1);
  size_t r = size_t(x.rank()), n = r - 2;
  int64_t groups = s.i("group", 1);
  s.require(r >= 3 && w.rank() == int(r) && groups > 0 && same(w.shape()[0], x.shape()[1]) &&
                x.shape()[1].value() % groups == 0,
            fmt::format("weights {} for {} in {} groups", w.type().str(), x.type().str(), groups));
  Ints size = dims_of(Shape(w.shape().begin() + 2, w.shape().end())), flipped;
  Ints stride = s.ints("strides", Ints(n, 1)), dilation = s.ints("dilations", Ints(n, 1)),
       pads = s.ints("pads", Ints(2 * n, 0)), more = s.ints("output_padding", Ints(n, 0)),
       shape = s.ints("output_shape");
  s.require(stride.size() == n && dilation.size() == n && pads.size() == 2 * n && more.size() == n,
            "strides, dilations or pads do not fit the kernel");
  if (shape.size() == r) shape.erase(shape.begin(), shape.begin() + 2);
  s.require(shape.empty() || shape.size() == n, "'output_shape' does not fit the kernel");
  for (const Ints *all : {&pads, &more, &shape})
    for (int64_t d : *all)
      s.require(d >= 0 && d < int64_t(1) << 31, "a padding or dim of the output is negative, or too large");
  std::string automatic = s.s("auto_pad", "NOTSET");
  Ints lo(n), hi(n), crop_lo(2, 0), crop_hi(2, 0);
  bool crops = false;
  for (size_t k = 0; k < n; ++k) {
    s.require(stride[k] > 0 && dilation[k] > 0 && stride[k] < 1 << 24 && dilation[k] < 1 << 24,
              "strides and dilations must be positive");
    int64_t in = x.shape()[k + 2], reach = (size[k] - 1) * dilation[k];
    bool same_size = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    if (!shape.empty() || same_size) {
      int64_t out = shape.empty() ? in * stride[k] : shape[k], total = stride[k] * (in - 1) + more[k] + reach + 1 - out;
      if (total < 0) more[k] -= total, total = 0;
      pads[k] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2, pads[k + n] = total - pads[k];
    } else if (automatic == "VALID")
      pads[k] = pads[k + n] = 0;
    lo[k] = reach - pads[k], hi[k] = reach - pads[k + n] + more[k];
    crop_lo.push_back(std::min<int64_t>(lo[k], 0)), crop_hi.push_back(std::min<int64_t>(hi[k], 0));
    crops |= lo[k] < 0 || hi[k] < 0;
    lo[k] = std::max<int64_t>(lo[k], 0), hi[k] = std::max<int64_t>(hi[k], 0);
    s.require(lo[k] < 1 << 24 && hi[k] < 1 << 24, "the padding is too large");
    flipped.push_back(int64_t(k) + 2);
  }
  int64_t in_group = x.shape()[1].value() / groups, out_group = w.shape()[1];
  Shape apart{groups, in_group, out_group}, joined{groups * out_group, in_group};
  Ints perm{0, 2, 1};
  for (size_t k = 0; k < n; ++k) apart.push_back(size[k]), joined.push_back(size[k]), perm.push_back(int64_t(k) + 3);
  w = flip(reshape(permute(reshape(w, apart), perm), joined), flipped);
  Value y = conv(x, w, {Ints(n, 1), lo, hi, dilation, stride, groups});
  if (crops) y = pad(y, crop_lo, crop_hi);
  return {with_bias(y, s.opt(2))};
}

static Values gemm(Step &s) {
  Value a = s.in(0), b = s.in(1);
  s.require(a.rank() == 2 && b.rank() == 2,
            fmt::format("needs matrices, but has {} and {}", a.type().str(), b.type().str()));
  if (s.i("transA", 0)) a = transpose(a);
  if (s.i("transB", 0)) b = transpose(b);
  Value y = dot(a, b);
  double alpha = s.f("alpha", 1), beta = s.f("beta", 1);
  if (alpha != 1) y = is_float(y.dtype()) ? y * alpha : cast(cast(y, DType::f64) * alpha, y.dtype());
  if (!s.has(2) || beta == 0) return {y};
  Value c = s.in(2);
  return {y + (beta == 1 ? c : c * beta)};
}

Value product(Step &s, Value a, Value b) {
  s.require(a.rank() > 0 && b.rank() > 0, "a scalar has no matrix product");
  bool row = a.rank() == 1, column = b.rank() == 1;
  if (row) a = reshape(a, {1, a.shape()[0]});
  if (column) b = reshape(b, {b.shape()[0], 1});
  // A stack times one matrix is one product of all rows.
  if (b.rank() == 2 && a.rank() > 2) {
    int64_t rows = 1, k = a.shape().back();
    for (int i = 0; i + 1 < a.rank(); ++i) rows *= a.shape()[size_t(i)].value();
    Shape out(a.shape().begin(), a.shape().end() - 1);
    if (!column) out.push_back(b.shape()[1]);
    return reshape(dot(reshape(a, {rows, k}), b), out);
  }
  Shape left(a.shape().begin(), a.shape().end() - 2), right(b.shape().begin(), b.shape().end() - 2);
  Shape batch = broadcast(left, right, "MatMul", s.where), sa = batch, sb = batch;
  sa.insert(sa.end(), a.shape().end() - 2, a.shape().end()), sb.insert(sb.end(), b.shape().end() - 2, b.shape().end());
  Value y = dot(broadcast_to(a, sa), broadcast_to(b, sb));
  Shape out = batch;
  if (!row) out.push_back(y.shape()[batch.size()]);
  if (!column) out.push_back(y.shape()[batch.size() + 1]);
  return reshape(y, out);
}
static Values matmul(Step &s) { return {product(s, s.in(0), s.in(1))}; }

// --- quantised: integers less their zero points, exactly, in i32 ---

Value along(Step &s, Value v, Value x, int64_t axis) {
  if (v.type().size() == 1) return reshape(v, {});
  s.require(v.rank() == 1, fmt::format("{} must have one axis", v.type().str()));
  Shape c(size_t(x.rank()), Dim(1));
  c[size_t(s.axis(axis, x.rank()))] = v.shape()[0];
  return reshape(v, c);
}
Value centred(Step &s, Value x, Value zero, int64_t axis) {
  Value wide = cast(x, DType::i32);
  return zero ? wide - cast(along(s, zero, x, axis), DType::i32) : wide;
}
static Values matmul_integer(Step &s) {
  return {product(s, centred(s, s.in(0), s.opt(2), -2), centred(s, s.in(1), s.opt(3), -1))};
}
static Values conv_integer(Step &s) {
  return {convolve(s, centred(s, s.in(0), s.opt(2), 1), centred(s, s.in(1), s.opt(3), 0), {})};
}

Value quantised(Step &s, Value y, Value scale, Value zero, int64_t axis, DType to) {
  Value z = zero ? along(s, zero, y, axis) : Value{};
  y = round(y / cast(along(s, scale, y, axis), y.dtype()));
  if (z) y = y + cast(z, y.dtype());
  return cast(y, to); // saturates
}
static Values qlinear_matmul(Step &s) {
  Value a = centred(s, s.in(0), s.in(2), -2), b = centred(s, s.in(3), s.in(5), -1);
  Value y = cast(product(s, a, b), DType::f32);
  y = y * cast(along(s, s.in(1), y, -2), DType::f32) * cast(along(s, s.in(4), y, -1), DType::f32);
  return {quantised(s, y, s.in(6), s.in(7), -1, s.in(7).dtype())};
}
static Values qlinear_conv(Step &s) {
  Value x = s.in(0);
  bool last = s.i("channels_last", 0) != 0 && x.rank() >= 3; // of com.microsoft
  Ints first{0, x.rank() - 1}, back{0};
  for (int k = 1; k + 1 < x.rank(); ++k) first.push_back(k), back.push_back(k + 1);
  back.push_back(1);
  x = centred(s, last ? permute(x, first) : x, s.in(2), 1);
  Value y = cast(convolve(s, x, centred(s, s.in(3), s.in(5), 0), s.opt(8)), DType::f32);
  y = y * cast(along(s, s.in(1), y, 1), DType::f32) * cast(along(s, s.in(4), y, 1), DType::f32);
  y = quantised(s, y, s.in(6), s.in(7), 1, s.in(7).dtype());
  return {last ? permute(y, back) : y};
}

// Blocks of `block_size` along the axis share a scale.
static Value spread_blocks(Step &s, Value v, Value x, int64_t axis) {
  int64_t block = s.i("block_size", 0);
  if (block <= 0 || v.rank() != x.rank()) return along(s, v, x, axis);
  size_t at = size_t(s.axis(axis, x.rank()));
  Shape apart = v.shape(), wide, flat = v.shape();
  apart.insert(apart.begin() + int64_t(at) + 1, Dim(1)), wide = apart, wide[at + 1] = block;
  s.require(block < int64_t(1) << 31, "the block is too large");
  flat[at] = flat[at].value() * block;
  Value y = reshape(expand(reshape(v, apart), wide), flat);
  s.require(flat[at].value() >= x.shape()[at].value(), "too few blocks");
  return narrow(y, int64_t(at), 0, x.shape()[at]);
}
static Values quantise(Step &s) {
  Value x = s.in(0), scale = spread_blocks(s, s.in(1), x, s.i("axis", 1));
  DType to = s.has(2) ? s.in(2).dtype() : s.i("output_dtype", 0) ? s.dtype(s.i("output_dtype", 0)) : DType::u8;
  if (!is_float(x.dtype())) x = cast(x, DType::f32);
  Value y = round(x / cast(scale, x.dtype()));
  if (s.has(2)) y = y + cast(spread_blocks(s, s.in(2), x, s.i("axis", 1)), x.dtype());
  return {cast(y, to)};
}
static Values dequantise(Step &s) {
  Value x = s.in(0), scale = spread_blocks(s, s.in(1), x, s.i("axis", 1));
  Value wide = cast(x, DType::i32);
  if (s.has(2)) wide = wide - cast(spread_blocks(s, s.in(2), x, s.i("axis", 1)), DType::i32);
  return {cast(wide, scale.dtype()) * scale};
}
DynamicallyQuantised quantise_dynamically(Value x) {
  Ints axes;
  for (int k = 0; k < x.rank(); ++k) axes.push_back(k);
  Value lo = min(reduce_over(x, "min", axes), 0), hi = max(reduce_over(x, "max", axes), 0);
  Value scale = (hi - lo) / 255;
  Value zero = cast(clamp(round(-lo / scale), 0, 255), DType::u8);
  return {cast(round(x / scale) + cast(zero, x.dtype()), DType::u8), scale, zero};
}
static Values dynamic_quantise(Step &s) {
  DynamicallyQuantised q = quantise_dynamically(s.in(0));
  return {q.x, q.scale, q.zero};
}

// --- einsum ---

static Values einsum(Step &s);

void add_contraction(Recipes &r) {
  r.on("Conv", 1, convolution), r.on("ConvTranspose", 1, conv_transpose), r.on("Gemm", 1, gemm),
      r.on("MatMul", 1, matmul);
  r.on("MatMulInteger", 10, matmul_integer), r.on("ConvInteger", 10, conv_integer),
      r.on("QLinearConv", 10, qlinear_conv);
  r.on("QLinearMatMul", 10, qlinear_matmul), r.on("QuantizeLinear", 10, quantise),
      r.on("DequantizeLinear", 10, dequantise);
  r.on("DynamicQuantizeLinear", 11, dynamic_quantise), r.on("Einsum", 12, einsum);
  r.on("QuantizeLinear", 1, quantise, "com.microsoft"), r.on("DequantizeLinear", 1, dequantise, "com.microsoft");
  r.on("QLinearConv", 1, qlinear_conv, "com.microsoft");
}

// Each operand with its letters brought into one order, all multiplied with broadcasting, summed over what the result
// lacks; two operands with letters to sum over are a batched product.
static Values einsum(Step &s) {
  std::string text;
  for (char c : s.s("equation", ""))
    if (c != ' ') text += c;
  size_t arrow = text.find("->");
  std::vector<std::string> terms{""};
  for (char c : text.substr(0, arrow))
    if (c == ',')
      terms.push_back("");
    else
      terms.back() += c;
  s.require(int(terms.size()) == s.inputs(), "the equation has another number of terms than there are operands");
  // '...' becomes letters of its own, counted from the back.
  int dots = 0;
  auto letters_of = [&](const std::string &term, int rank) {
    std::string out;
    size_t at = term.find("...");
    int named = int(term.size()) - (at == std::string::npos ? 0 : 3), rest = rank < 0 ? dots : rank - named;
    s.require(rest >= 0 && rest < 10 && (at != std::string::npos || rest == 0),
              fmt::format("term {} does not fit its operand", quote_name(term)));
    dots = std::max(dots, rest);
    for (size_t k = 0; k < term.size(); ++k)
      if (k == at) {
        for (int d = rest; d-- > 0;) out += char('0' + d);
        k += 2;
      } else
        out += term[k];
    for (char c : out) s.require(std::isalnum(uint8_t(c)), "the equation is malformed");
    return out;
  };
  Values x = s.all();
  std::vector<std::string> in;
  for (size_t k = 0; k < x.size(); ++k) in.push_back(letters_of(terms[k], x[k].rank()));
  std::string out;
  if (arrow != std::string::npos) {
    std::string right = text.substr(arrow + 2);
    size_t named = right.size() - (right.find("...") == std::string::npos ? 0 : 3);
    out = letters_of(right, right.find("...") == std::string::npos ? int(named) : -1);
  } else {
    std::map<char, int> count;
    for (const std::string &t : in)
      for (char c : t) ++count[c];
    for (int d = dots; d-- > 0;) out += char('0' + d);
    for (auto &[c, n] : count)
      if (n == 1 && !std::isdigit(uint8_t(c))) out += c;
  }
  // The diagonal of a letter that a term repeats.
  for (size_t k = 0; k < x.size(); ++k)
    for (size_t a = 0; a < in[k].size(); ++a)
      for (size_t b = a + 1; b < in[k].size(); ++b) {
        if (in[k][a] != in[k][b]) continue;
        s.require(same(x[k].shape()[a], x[k].shape()[b]), "axes of one letter differ in extent");
        Type index{DType::i64, x[k].shape()};
        Value on = eq(iota(s.g, index, int64_t(a)), iota(s.g, index, int64_t(b)));
        x[k] = reduce_over(select(on, x[k], s.g.splat(x[k].type(), 0)), "sum", {int64_t(b)});
        in[k].erase(b--, 1);
      }
  // Left to right; after each product the letters that nothing needs any more are summed.
  Value y = x[0];
  std::string have = in[0];
  auto needed_later = [&](char c, size_t next) {
    bool need = out.find(c) != std::string::npos;
    for (size_t j = next; j < in.size(); ++j) need |= in[j].find(c) != std::string::npos;
    return need;
  };
  auto arranged = [&](Value v, const std::string &from, const std::string &to) { // missing letters become extents of 1
    Ints perm;
    Shape shape;
    for (char c : to)
      if (size_t p = from.find(c); p != std::string::npos)
        perm.push_back(int64_t(p)), shape.push_back(v.shape()[p]);
      else
        shape.push_back(1);
    return reshape(permute(v, perm), shape);
  };
  auto drop = [&](Value v, std::string &letters, size_t next) {
    Ints axes;
    std::string kept;
    for (size_t k = 0; k < letters.size(); ++k)
      if (needed_later(letters[k], next))
        kept += letters[k];
      else
        axes.push_back(int64_t(k));
    letters = kept;
    return axes.empty() ? v : reduce_over(v, "sum", axes);
  };
  y = drop(y, have, 1);
  for (size_t k = 1; k < x.size(); ++k) {
    Ints alone; // letters of this operand only
    std::string kept;
    for (size_t a = 0; a < in[k].size(); ++a)
      if (needed_later(in[k][a], k + 1) || have.find(in[k][a]) != std::string::npos)
        kept += in[k][a];
      else
        alone.push_back(int64_t(a));
    Value b = alone.empty() ? x[k] : reduce_over(x[k], "sum", alone);
    in[k] = kept;
    std::string batch, rows, columns, summed;
    for (char c : have) {
      bool both = in[k].find(c) != std::string::npos;
      (both ? needed_later(c, k + 1) ? batch : summed : rows) += c;
    }
    for (char c : in[k])
      if (have.find(c) == std::string::npos) columns += c;
    auto extent = [&](Value v, const std::string &from, const std::string &of) {
      int64_t n = 1;
      for (char c : of) n *= v.shape()[from.find(c)].value();
      return n;
    };
    bool plain = true; // no letter broadcasts
    for (char c : batch + summed) plain &= same(y.shape()[have.find(c)], b.shape()[in[k].find(c)]);
    if (!summed.empty() && plain) {
      Shape batch_shape, result;
      for (char c : batch) batch_shape.push_back(y.shape()[have.find(c)]);
      int64_t m = extent(y, have, rows), n = extent(b, in[k], columns), inner = extent(y, have, summed);
      Shape sa = batch_shape, sb = batch_shape;
      sa.insert(sa.end(), {m, inner}), sb.insert(sb.end(), {inner, n});
      Value p = dot(reshape(arranged(y, have, batch + rows + summed), sa),
                    reshape(arranged(b, in[k], batch + summed + columns), sb));
      result = batch_shape;
      for (char c : rows) result.push_back(y.shape()[have.find(c)]);
      for (char c : columns) result.push_back(b.shape()[in[k].find(c)]);
      y = reshape(p, result), have = batch + rows + columns;
    } else {
      std::string all = have + columns;
      y = arranged(y, have, all) * arranged(b, in[k], all);
      have = all;
      y = drop(y, have, k + 1);
    }
  }
  for (char c : out) s.require(have.find(c) != std::string::npos, "the result names a letter that no operand has");
  return {arranged(y, have, out)};
}

} // namespace trellis::onnx

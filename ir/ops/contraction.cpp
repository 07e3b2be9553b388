// dot and conv: geometry, reference evaluation, derivatives.
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <fmt/format.h>

namespace trellis::ops {

void infer_dot(Infer &c) {
  const Shape &a = c.x(0).shape, &b = c.x(1).shape;
  size_t r = a.size();
  c.require(r >= 2 && b.size() == r,
            fmt::format("operands must have one rank, 2 or more: {} and {}", c.x(0).str(), c.x(1).str()));
  bool ok = compatible(a[r - 1], b[r - 2]);
  Shape out;
  for (size_t i = 0; i + 2 < r; ++i) ok &= compatible(a[i], b[i]), out.push_back(a[i].is_unknown() ? b[i] : a[i]);
  c.require(ok, fmt::format("shapes do not fit: {} times {}", c.x(0).str(), c.x(1).str()));
  out.push_back(a[r - 2]), out.push_back(b[r - 1]);
  c.result(c.x(0).dtype, out);
}

void interpret_dot(EvalContext &c) {
  const Tensor &a = c.x[0], &b = c.x[1];
  Tensor &y = c.y[0];
  size_t r = y.dims().size();
  int64_t m = y.dims()[r - 2], n = y.dims()[r - 1], k = a.dims()[r - 1], rows = y.size() / std::max<int64_t>(n, 1);
  for (int64_t i = 0; i < rows * n; ++i) {
    int64_t col = i % n, row = i / n, base = row / m;
    if (is_float(y.dtype())) {
      double s = 0;
      for (int64_t p = 0; p < k; ++p) s = std::fma(a.get(row * k + p), b.get((base * k + p) * n + col), s);
      y.set(i, s);
    } else {
      int64_t s = 0;
      for (int64_t p = 0; p < k; ++p) s = add(s, mul(a.get_int(row * k + p), b.get_int((base * k + p) * n + col)));
      y.set_int(i, s);
    }
  }
}

// The sum over k of a[..., m, 1, k] b[..., 1, n, k].
Values expand_dot(Expand e) {
  Value a = e.x[0], b = transpose(e.x[1]);
  Shape rows = a.shape(), columns = b.shape(), all = a.shape();
  std::ptrdiff_t r = a.rank();
  rows.insert(rows.begin() + r - 1, 1), columns.insert(columns.begin() + r - 2, 1);
  all.insert(all.begin() + r - 1, columns[size_t(r - 1)]);
  return {reduce_over(expand(reshape(a, rows), all) * expand(reshape(b, columns), all), "sum", {r})};
}

Values vjp_dot(Vjp v) { return {dot(v.dy, transpose(v.x[1])), dot(transpose(v.x[0]), v.dy)}; }

static int64_t dilated(int64_t n, int64_t d) { return n ? (n - 1) * d + 1 : 0; }

ConvDims conv_dims(const Node &n) {
  const Shape &x = n.operands[0].shape(), &w = n.operands[1].shape();
  ConvDims d;
  size_t s = x.size() - 2;
  d.spatial = int(s);
  d.batch = x[0], d.groups = n.attrs.i_or(Attr::groups, 1);
  d.in_channels = w[1], d.out_channels = w[0].value() / d.groups;
  d.stride = n.attrs.get_or<Ints>(Attr::stride, Ints(s, 1)), d.lo = n.attrs.get_or<Ints>(Attr::lo, Ints(s, 0)),
  d.hi = n.attrs.get_or<Ints>(Attr::hi, Ints(s, 0));
  d.dilation = n.attrs.get_or<Ints>(Attr::dilation, Ints(s, 1)),
  d.input_dilation = n.attrs.get_or<Ints>(Attr::input_dilation, Ints(s, 1));
  for (size_t i = 0; i < s; ++i)
    d.in.push_back(x[i + 2]), d.kernel.push_back(w[i + 2]), d.out.push_back(n.type().shape[i + 2]);
  return d;
}

void infer_conv(Infer &c) {
  const Shape &x = c.x(0).shape, &w = c.x(1).shape;
  c.require(x.size() >= 3 && w.size() == x.size(),
            fmt::format("operands must have one rank, 3 or more: {} and {}", c.x(0).str(), c.x(1).str()));
  size_t s = x.size() - 2;
  auto list = [&](Attr a, int64_t def, int64_t least) {
    Ints v = c.attrs.get_or<Ints>(a, Ints(s, def));
    c.require(v.size() == s, fmt::format("'{}' has {} entries, but needs {}", name(a), v.size(), s));
    for (int64_t e : v) c.require(e >= least, fmt::format("'{}' must be at least {}", name(a), least));
    if (v == Ints(s, def)) c.attrs.erase(a);
    return v;
  };
  constexpr int64_t any = std::numeric_limits<int64_t>::min();
  Ints stride = list(Attr::stride, 1, 1), lo = list(Attr::lo, 0, any), hi = list(Attr::hi, 0, any),
       dil = list(Attr::dilation, 1, 1), idil = list(Attr::input_dilation, 1, 1);
  int64_t groups = c.attrs.i_or(Attr::groups, 1);
  if (groups == 1) c.attrs.erase(Attr::groups);
  c.require(groups > 0, "'groups' must be positive");
  if (x[1].is_static() && w[1].is_static())
    c.require(x[1].value() == groups * w[1].value(),
              fmt::format("{} has {} channels, but {} with {} group(s) takes {}", c.x(0).str(), x[1].str(),
                          c.x(1).str(), groups, groups * w[1].value()));
  if (w[0].is_static())
    c.require(w[0].value() % groups == 0,
              fmt::format("{} output channels do not split into {} groups", w[0].str(), groups));
  Shape out{x[0], w[0]};
  for (size_t i = 0; i < s; ++i) {
    if (!x[i + 2].is_static() || !w[i + 2].is_static()) {
      out.push_back(Dim::unknown());
      continue;
    }
    int64_t in = dilated(x[i + 2], idil[i]) + lo[i] + hi[i], k = dilated(w[i + 2], dil[i]);
    c.require(k > 0 && in >= k, fmt::format("a kernel of {} does not fit in a padded axis of {}", k, in));
    out.push_back((in - k) / stride[i] + 1);
  }
  c.result(c.x(0).dtype, out);
}

void interpret_conv(EvalContext &c) {
  ConvDims d = conv_dims(c.node);
  const Tensor &x = c.x[0], &w = c.x[1];
  Tensor &y = c.y[0];
  size_t s = size_t(d.spatial);
  int64_t pixels = 1, taps = 1, inputs = 1;
  for (size_t i = 0; i < s; ++i) pixels *= d.out[i], taps *= d.kernel[i], inputs *= d.in[i];
  // in_at[p * taps + t]: offset of the input pixel that tap t of output pixel p reads, or -1.
  std::vector<int64_t> in_at(size_t(pixels * taps));
  for (int64_t p = 0; p < pixels; ++p)
    for (int64_t t = 0; t < taps; ++t) {
      int64_t offset = 0, rp = p, rt = t, scale = 1;
      for (size_t i = s; i-- > 0;) {
        int64_t o = rp % d.out[i], k = rt % d.kernel[i];
        rp /= d.out[i], rt /= d.kernel[i];
        int64_t at = o * d.stride[i] + k * d.dilation[i] - d.lo[i];
        if (at < 0 || at % d.input_dilation[i] || at / d.input_dilation[i] >= d.in[i]) {
          offset = -1;
          break;
        }
        offset += at / d.input_dilation[i] * scale, scale *= d.in[i];
      }
      in_at[size_t(p * taps + t)] = offset;
    }
  int64_t ic = d.in_channels, oc = d.out_channels * d.groups, all_in = ic * d.groups;
  for (int64_t e = 0; e < y.size(); ++e) {
    int64_t p = e % pixels, o = e / pixels % oc, b = e / pixels / oc, g = o / d.out_channels;
    double sum = 0;
    int64_t isum = 0;
    for (int64_t ci = 0; ci < ic; ++ci)
      for (int64_t t = 0; t < taps; ++t) {
        int64_t at = in_at[size_t(p * taps + t)];
        if (at < 0) continue;
        int64_t xi = (b * all_in + g * ic + ci) * inputs + at, wi = (o * ic + ci) * taps + t;
        if (is_float(y.dtype()))
          sum = std::fma(x.get(xi), w.get(wi), sum);
        else
          isum = add(isum, mul(x.get_int(xi), w.get_int(wi)));
      }
    if (is_float(y.dtype()))
      y.set(e, sum);
    else
      y.set_int(e, isum);
  }
}

// Both derivatives of a convolution are convolutions (with input dilation and negative padding allowed, the
// family is closed): dx = dy dilated by the stride, with w flipped and its channels swapped; dw = x with dy
// as the kernel, dilated by the stride, batch and channels swapped.
Values vjp_conv(Vjp v) {
  ConvDims d = conv_dims(v.node);
  size_t s = size_t(d.spatial);
  Value x = v.x[0], w = v.x[1], dy = v.dy;
  if (x.type().size() == 0 || w.type().size() == 0) // all padding: a kernel would not fit into what is left
    return {v.graph().splat(x.type(), 0), v.graph().splat(w.type(), 0)};
  int64_t g = d.groups, ci = d.in_channels, co = d.out_channels;
  // swap(v, k): [G A, B, ...] -> [G B, A, ...] where channels are grouped.
  Ints swap_perm{0, 2, 1}, axes01{1, 0};
  for (size_t i = 0; i < s; ++i) swap_perm.push_back(int64_t(3 + i)), axes01.push_back(int64_t(2 + i));
  auto spatial = [&](Shape lead, const Shape &of) {
    lead.insert(lead.end(), of.end() - std::ptrdiff_t(s), of.end());
    return lead;
  };

  Value wt = permute(reshape(w, spatial({g, co, ci}, w.shape())), swap_perm);
  wt = reshape(wt, spatial({g * ci, co}, w.shape()));
  Ints start{0, 0}, limit{g * ci, co}, step{1, 1};
  for (size_t i = 0; i < s; ++i) start.push_back(d.kernel[i] - 1), limit.push_back(-1), step.push_back(-1);
  Value flipped = slice(wt, start, limit, step);
  ConvOptions ox{
      .stride = d.input_dilation, .lo = {}, .hi = {}, .dilation = d.dilation, .input_dilation = d.stride, .groups = g};
  ConvOptions ow{.stride = d.dilation,
                 .lo = d.lo,
                 .hi = {},
                 .dilation = d.stride,
                 .input_dilation = d.input_dilation,
                 .groups = g};
  for (size_t i = 0; i < s; ++i) {
    int64_t reach = dilated(d.kernel[i], d.dilation[i]), rows = dilated(d.out[i], d.stride[i]),
            in = dilated(d.in[i], d.input_dilation[i]);
    ox.lo.push_back(reach - 1 - d.lo[i]);
    ox.hi.push_back(in - (rows + ox.lo.back() - reach + 1)); // so that the result has `in` positions
    ow.hi.push_back(reach + rows - 1 - in - d.lo[i]);
  }
  Value dx = conv(dy, flipped, ox);

  // [N, G C, ...] -> [C, G N, ...] and [N, G O, ...] -> [G O, N, ...], so that channels of the gradient's
  // convolution are the batch.
  Ints xperm{2, 1, 0}, back{1, 0};
  for (size_t i = 0; i < s; ++i) xperm.push_back(int64_t(3 + i)), back.push_back(int64_t(2 + i));
  Value xt =
      reshape(permute(reshape(x, spatial({d.batch, g, ci}, x.shape())), xperm), spatial({ci, g * d.batch}, x.shape()));
  Value dw = permute(conv(xt, permute(dy, axes01), ow), back);
  return {dx, dw};
}

// The sum over (c, k...) of windows of the padded input times the weights: [N, G, O, o..., C, k...].
Values expand_conv(Expand e) {
  ConvDims d = conv_dims(e.node);
  size_t s = size_t(d.spatial);
  Ints lo{0, 0}, hi{0, 0}, interior{0, 0};
  for (size_t i = 0; i < s; ++i)
    lo.push_back(d.lo[i]), hi.push_back(d.hi[i]), interior.push_back(d.input_dilation[i] - 1);
  Value w = window(pad(e.x[0], lo, hi, interior), d.kernel, d.stride, d.dilation); // [N, G C, o..., k...]
  Shape seen{d.batch, d.groups, 1, d.in_channels}, all{d.batch, d.groups, d.out_channels, d.in_channels};
  Shape weights{1, d.groups, d.out_channels, d.in_channels};
  for (size_t i = 0; i < s; ++i) seen.push_back(d.out[i]), all.push_back(d.out[i]), weights.push_back(1);
  for (size_t i = 0; i < s; ++i)
    seen.push_back(d.kernel[i]), all.push_back(d.kernel[i]), weights.push_back(d.kernel[i]);
  Value product = expand(reshape(w, seen), all) * expand(reshape(e.x[1], weights), all);
  Ints axes{3};
  for (size_t i = 0; i < s; ++i) axes.push_back(int64_t(4 + s + i));
  return {reshape(reduce_over(product, "sum", axes), e.node.type().shape)};
}

} // namespace trellis::ops

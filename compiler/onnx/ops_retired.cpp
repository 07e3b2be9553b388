// Experimental operators that the standard dropped and old exporters left in files (others of them stand with their families).
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

static Values parametric_softplus(Step &s) { return {softplus(s.in(0) * s.f("beta", 1)) * s.f("alpha", 1)}; }
static Values scaled_tanh(Step &s) { return {tanh(s.in(0) * s.f("beta", 1)) * s.f("alpha", 1)}; }
static Values scaled(Step &s) { return {s.in(0) * s.f("scale", 1)}; }

// Over samples and positions, a channel each; the operator that came into the standard has "axes" instead.
static Values mean_variance(Step &s) {
  Value x = s.in(0);
  s.require(x.rank() >= 3, "needs axes behind the channels");
  Ints axes{0};
  if (s.i("across_channels", 0)) axes.push_back(1);
  for (int k = 2; k < x.rank(); ++k) axes.push_back(k);
  Value y = x - mean(x, axes, true);
  return {s.i("normalize_variance", 1) ? y / (sqrt(var(x, axes, true)) + 1e-9) : y};
}

// The shape is an attribute, an operand's elements, or an operand's shape, with 'extra_shape' behind the latter two.
static Ints fill_shape(Step &s) {
  Ints dims = s.ints("shape");
  if (s.has(0)) {
    s.require(!s.attr("shape"), "an operand and 'shape' are both given");
    dims = s.i("input_as_shape", 0) ? s.known_ints(0) : dims_of(s.in(0).shape());
    Ints more = s.ints("extra_shape");
    dims.insert(dims.end(), more.begin(), more.end());
  }
  int64_t count = 1;
  for (int64_t d : dims) {
    s.require(d >= 0 && d < int64_t(1) << 31, "a dim is negative, or too large");
    count *= d;
    s.require(count < int64_t(1) << 40, "the shape is too large");
  }
  return dims;
}
static Values constant_fill(Step &s) {
  return {s.g.splat({s.dtype(s.i("dtype", 1)), shape_of(fill_shape(s))}, s.f("value", 0))};
}
static Values given_tensor_fill(Step &s) {
  Ints dims = fill_shape(s);
  std::vector<double> values = s.floats("values");
  s.require(int64_t(values.size()) == element_count(shape_of(dims)), "'values' does not fit the shape");
  return {s.g.constant(Tensor::of<double>(DType::f32, dims, std::span<const double>(values)))};
}

// Starts, ends and axes as operands: the Slice of opset 10 without steps.
static Values dynamic_slice(Step &s) {
  Value x = s.in(0);
  Ints starts = s.known_ints(1), ends = s.known_ints(2), axes;
  if (s.has(3))
    axes = s.known_ints(3);
  else
    for (size_t k = 0; k < starts.size(); ++k) axes.push_back(int64_t(k));
  s.require(starts.size() == axes.size() && ends.size() == axes.size(), "starts, ends and axes differ in length");
  axes = s.axes(axes, x.rank());
  Ints from(size_t(x.rank()), 0), to = dims_of(x.shape());
  for (size_t k = 0; k < axes.size(); ++k) {
    int64_t n = to[size_t(axes[k])];
    auto place = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? std::max(i, -n) + n : i, 0, n); };
    from[size_t(axes[k])] = place(starts[k]), to[size_t(axes[k])] = std::max(place(ends[k]), place(starts[k]));
  }
  return {slice(x, from, to)};
}

void add_retired(Recipes &r) {
  r.on("ParametricSoftplus", 1, parametric_softplus), r.on("ScaledTanh", 1, scaled_tanh), r.on("Scale", 1, scaled);
  r.on("MeanVarianceNormalization", 1, mean_variance), r.on("ConstantFill", 1, constant_fill);
  r.on("GivenTensorFill", 1, given_tensor_fill), r.on("DynamicSlice", 1, dynamic_slice);
}

} // namespace trellis::onnx

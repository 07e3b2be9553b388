// Operators of ai.onnx.ml over numbers: scalers, encoders, linear models.
#include "compiler/onnx/classic.h"
#include "compiler/onnx/importer.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

// --- scores and labels ---

// sqrt 2 times the inverse of erf at 2 x - 1, by the approximation that the standard's reference has.
static Value probit(Value x) {
  Value u = x * 2 - 1, log_term = log((1.0 - u) * (u + 1));
  Value v = log_term * 0.5 + 2 / (M_PI * 0.147);
  Value y = sqrt(sqrt(square(v) - log_term * (1 / 0.147)) - v) * std::sqrt(2.0);
  return select(lt(u, 0), -y, y);
}
// Zeros stay zero beside the others' exponentials.
static Value softmax_zero(Value x) {
  Value top = reduce_over(x, "max", {1}, true), tiny = le(abs(x), 1e-7);
  Value e = select(tiny, x * exp(-top), exp(x - top)), sum = reduce_over(e, "sum", {1}, true);
  return select(broadcast_to(eq(sum, 0), x.shape()), 0.5, e / select(eq(sum, 0), 1, sum));
}

Value transformed(Step &s, Value scores, const std::string &how) {
  if (how == "NONE") return scores;
  if (how == "SOFTMAX") return softmax(scores, 1);
  if (how == "LOGISTIC") return sigmoid(scores);
  if (how == "SOFTMAX_ZERO") return softmax_zero(scores);
  if (how == "PROBIT") return probit(scores);
  s.fail(fmt::format("post_transform {} is not supported", quote_name(how)));
}
Value both_classes(Step &s, Value scores, const std::string &how, bool shares) {
  if (shares && how != "LOGISTIC") return concat({1.0 - scores, scores}, 1);
  return transformed(s, concat({-scores, scores}, 1), how);
}

Ints labels_of(Step &s, const char *integers, const char *strings) {
  s.require(!s.attr(strings) || s.attr(strings)->strings_size() == 0 || !s.wants(0),
            "labels that are strings are not supported");
  return s.ints(integers);
}
Value labelled(Step &s, Value positions, const Ints &labels) {
  if (labels.empty()) return positions;
  bool counts = true;
  for (size_t k = 0; k < labels.size(); ++k) counts &= labels[k] == int64_t(k);
  return counts ? positions : gather(s.constant(labels), positions, 0);
}
std::vector<double> reals(Step &s, const std::string &name) {
  const AttributeProto *a = s.attr(name + "_as_tensor");
  if (!a) return s.floats(name);
  Tensor t = s.importer.tensor(a->t(), s.where);
  std::vector<double> out;
  for (int64_t k = 0; k < t.size(); ++k) out.push_back(t.get(k));
  return out;
}

// --- features ---

static Value row_of(Step &s, DType t, const std::vector<double> &values) {
  return s.g.constant(Tensor::of<double>(t, {int64_t(values.size())}, std::span<const double>(values)));
}
static void fits(Step &s, Value x, size_t entries, const char *attribute) {
  s.require(entries == 1 || (x.rank() > 0 && x.shape().back().value() == int64_t(entries)),
            fmt::format("'{}' does not fit {}", attribute, x.type().str()));
}
static Value rows(Step &s, Value x) { // 1-D input is one row
  s.require(x.rank() == 1 || x.rank() == 2, fmt::format("needs rows of features, but has {}", x.type().str()));
  return x.rank() == 2 ? x : reshape(x, {1, x.shape()[0]});
}

static Values scaler(Step &s) {
  Value x = cast(s.in(0), DType::f32);
  std::vector<double> offset = s.floats("offset"), scale = s.floats("scale");
  if (!offset.empty()) fits(s, x, offset.size(), "offset"), x = x - row_of(s, DType::f32, offset);
  if (!scale.empty()) fits(s, x, scale.size(), "scale"), x = x * row_of(s, DType::f32, scale);
  return {x};
}

static Values normalizer(Step &s) {
  Value x = cast(rows(s, s.in(0)), DType::f32), norm;
  std::string how = s.s("norm", "MAX");
  if (how == "MAX")
    norm = reduce_over(x, "max", {1}, true);
  else if (how == "L1")
    norm = reduce_over(abs(x), "sum", {1}, true);
  else if (how == "L2")
    norm = sqrt(reduce_over(square(x), "sum", {1}, true));
  else
    s.fail(fmt::format("norm {} is not supported", quote_name(how)));
  return {reshape(x / select(eq(norm, 0), 1, norm), s.in(0).shape())};
}

static Values binarizer(Step &s) { return {cast(lt(s.f("threshold", 0), s.in(0)), s.in(0).dtype())}; }

static Values imputer(Step &s) {
  Value x = s.in(0);
  bool real = is_float(x.dtype());
  if (real) {
    std::vector<double> values = s.floats("imputed_value_floats");
    s.require(!values.empty(), "attribute 'imputed_value_floats' is missing");
    fits(s, x, values.size(), "imputed_value_floats");
    double replaced = s.f("replaced_value_float", 0);
    return {select(std::isnan(replaced) ? is_nan(x) : eq(x, replaced), row_of(s, x.dtype(), values), x)};
  }
  Ints values = s.ints("imputed_value_int64s");
  s.require(!values.empty(), "attribute 'imputed_value_int64s' is missing");
  fits(s, x, values.size(), "imputed_value_int64s");
  Value replaced = s.g.constant(Tensor::scalar_int(DType::i64, s.i("replaced_value_int64", 0)));
  return {cast(select(eq(cast(x, DType::i64), replaced), s.constant(values), cast(x, DType::i64)), x.dtype())};
}

static Values array_features(Step &s) {
  Value x = s.in(0), at = s.in(1);
  s.require(x.rank() > 0, "a scalar has no features");
  Value y = gather(x, reshape(at, {at.type().size()}), x.rank() - 1);
  return {x.rank() == 1 ? reshape(y, {1, at.type().size()}) : y};
}

static Values feature_vectorizer(Step &s) {
  Values parts;
  Ints widths = s.ints("inputdimensions");
  s.require(widths.empty() || int(widths.size()) == s.inputs(), "'inputdimensions' needs an entry an operand");
  for (int i = 0; i < s.inputs(); ++i) {
    Value x = cast(rows(s, s.in(i)), DType::f32);
    int64_t there = x.shape()[1], want = widths.empty() ? there : widths[size_t(i)];
    s.require(want >= 0 && want < int64_t(1) << 31, "'inputdimensions' is out of range");
    parts.push_back(want < there ? narrow(x, 1, 0, want) : want > there ? pad(x, {0, 0}, {0, want - there}) : x);
  }
  s.require(!parts.empty(), "it has no operand");
  return {concat(parts, 1)};
}

static Values one_hot_encoder(Step &s) { // a category that is not named gives zeros
  s.require(!s.attr("cats_strings") || s.attr("cats_strings")->strings_size() == 0,
            "categories that are strings are not supported");
  Value x = s.in(0), cats = s.constant(s.ints("cats_int64s"));
  Shape one = x.shape(), all = x.shape();
  one.push_back(1), all.push_back(cats.shape()[0]);
  return {cast(eq(expand(reshape(cast(x, DType::i64), one), all), broadcast_to(cats, all)), DType::f32)};
}

// Keys to values by a comparison with each key. Of equal keys the last counts, and from version 4 on NaN is one.
static Values label_encoder(Step &s) {
  for (const char *name : {"keys_strings", "values_strings", "classes_strings"})
    s.require(!s.attr(name) || s.attr(name)->strings_size() == 0, "strings are not supported");
  auto list = [&](const std::string &what) -> std::optional<Tensor> {
    if (const AttributeProto *a = s.attr(what + "_tensor")) return s.importer.tensor(a->t(), s.where);
    if (s.attr(what + "_int64s")) {
      Ints v = s.ints(what + "_int64s");
      return Tensor::of<int64_t>(DType::i64, {int64_t(v.size())}, std::span<const int64_t>(v));
    }
    if (!s.attr(what + "_floats")) return std::nullopt;
    std::vector<double> v = s.floats(what + "_floats");
    return Tensor::of<double>(DType::f32, {int64_t(v.size())}, std::span<const double>(v));
  };
  std::optional<Tensor> keys = list("keys"), values = list("values");
  s.require(keys && values && keys->size() == values->size(), "it needs as many values as keys");
  Value x = s.in(0);
  s.require(x.dtype() == keys->dtype(), fmt::format("keys {} for {}", keys->type().str(), x.type().str()));
  Tensor otherwise(values->dtype(), {});
  if (const AttributeProto *a = s.attr("default_tensor")) {
    otherwise = s.importer.tensor(a->t(), s.where);
    s.require(otherwise.size() == 1 && otherwise.dtype() == values->dtype(),
              "'default_tensor' does not fit the values");
  } else if (is_float(values->dtype()))
    otherwise.set(0, s.f("default_float", -0.0));
  else
    otherwise.set_int(0, s.i("default_int64", -1));
  // The values, then the default.
  Tensor table(values->dtype(), {keys->size() + 1});
  int64_t n = keys->size(), width = size_of(table.dtype());
  std::copy_n(values->data(), n * width, table.data());
  std::copy_n(otherwise.data(), width, table.data() + n * width);
  Shape one = x.shape(), all = x.shape();
  one.push_back(1), all.push_back(n);
  Value wide = expand(reshape(x, one), all), key = broadcast_to(s.g.constant(keys->reshaped({n})), all);
  Value found = eq(wide, key);
  if (is_float(x.dtype()) && s.version >= 4) found = bit_or(found, bit_and(is_nan(wide), is_nan(key)));
  Value place = reduce_over(select(found, iota(s.g, {DType::i32, all}, x.rank()), -1), "max", {x.rank()});
  return {gather(s.g.constant(table), select(lt(place, 0), double(n), place), 0)};
}

// A map is no tensor: the values stay a matrix, a column a key.
static Values zip_map(Step &s) { return {s.in(0)}; }

// --- linear models ---

// x [N, F] with coefficients [E, F], plus an intercept a column.
static Value linear(Step &s, int64_t columns) {
  Value x = cast(rows(s, s.in(0)), DType::f32);
  std::vector<double> weights = s.floats("coefficients"), intercepts = s.floats("intercepts");
  int64_t features = x.shape()[1];
  s.require(columns > 0 && int64_t(weights.size()) == columns * features, "the coefficients do not fit the features");
  Value w = s.g.constant(Tensor::of<double>(DType::f32, {columns, features}, std::span<const double>(weights)));
  Value y = dot(x, transpose(w));
  if (intercepts.empty()) return y;
  s.require(int64_t(intercepts.size()) == columns, "the intercepts do not fit the coefficients");
  return y + row_of(s, DType::f32, intercepts);
}

static Values linear_regressor(Step &s) {
  return {transformed(s, linear(s, s.i("targets", 1)), s.s("post_transform", "NONE"))};
}

static Values linear_classifier(Step &s) {
  Ints labels = labels_of(s, "classlabels_ints", "classlabels_strings");
  const AttributeProto *strings = s.attr("classlabels_strings");
  int64_t features = rows(s, s.in(0)).shape()[1], count = int64_t(s.floats("coefficients").size());
  s.require(features > 0 && count > 0 && count % features == 0, "the coefficients do not fit the features");
  Value scores = linear(s, count / features);
  std::string how = s.s("post_transform", "NONE");
  auto label = [&](Value position) { return s.wants(0) ? labelled(s, position, labels) : position; };
  if (count > features) return {label(argmax(scores, 1)), transformed(s, scores, how)};
  size_t classes = std::max(labels.size(), strings ? size_t(strings->strings_size()) : 0);
  Value positive = cast(lt(0, reshape(scores, {scores.shape()[0]})), DType::i64);
  if (classes == 2) return {label(positive), both_classes(s, scores, how, false)};
  return {classes == 1 ? positive * double(labels.empty() ? 1 : labels[0]) : positive, transformed(s, scores, how)};
}

void add_classic(Recipes &r) {
  auto on = [&](std::string_view name, Recipe recipe) { r.on(name, 1, recipe, kClassic); };
  on("Scaler", scaler), on("Normalizer", normalizer), on("Binarizer", binarizer), on("Imputer", imputer),
      on("ArrayFeatureExtractor", array_features);
  on("FeatureVectorizer", feature_vectorizer), on("OneHotEncoder", one_hot_encoder), on("LabelEncoder", label_encoder),
      on("ZipMap", zip_map);
  on("LinearRegressor", linear_regressor), on("LinearClassifier", linear_classifier);
}

} // namespace trellis::onnx

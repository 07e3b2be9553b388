// Support vector machines of ai.onnx.ml: one product with the support vectors gives every kernel.
#include "compiler/onnx/classic.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

Value matrix(Step &s, int64_t rows, int64_t columns, const std::vector<double> &values) {
  return s.g.constant(Tensor::of<double>(DType::f32, {rows, columns}, std::span<const double>(values)));
}

// x [N, F] against vectors [V, F]: [N, V].
Value kernels(Step &s, Value x, Value vectors) {
  std::string kind = s.s("kernel_type", "LINEAR");
  std::vector<double> p = s.floats("kernel_params");
  p.resize(3);
  double gamma = p[0], add = p[1], degree = p[2];
  Value product = dot(x, transpose(vectors));
  if (kind == "LINEAR") return product;
  if (kind == "SIGMOID") return tanh(product * gamma + add);
  if (kind == "POLY") return pow(product * gamma + add, s.g.splat(product.type(), degree));
  s.require(kind == "RBF", fmt::format("kernel {} is not supported", quote_name(kind)));
  // Distances as differences: squares of lengths would cancel.
  Shape all{x.shape()[0], vectors.shape()[0], x.shape()[1]};
  Value d = expand(reshape(x, {all[0], 1, all[2]}), all) - expand(reshape(vectors, {1, all[1], all[2]}), all);
  return exp(reduce_over(square(d), "sum", {2}) * -gamma);
}

Value features(Step &s) {
  Value x = cast(s.in(0), DType::f32);
  s.require(x.rank() == 1 || x.rank() == 2, fmt::format("needs rows of features, but has {}", x.type().str()));
  return x.rank() == 2 ? x : reshape(x, {1, x.shape()[0]});
}

Values regressor(Step &s) {
  Value x = features(s);
  int64_t n = s.i("n_supports", 0), width = x.shape()[1];
  std::vector<double> vectors = s.floats("support_vectors"), weights = s.floats("coefficients"), rho = s.floats("rho");
  s.require(!rho.empty(), "attribute 'rho' is missing");
  Value y;
  if (n > 0) {
    s.require(int64_t(weights.size()) == n &&
                  int64_t(vectors.size()) == s.table({n, width}, "the matrix of support vectors"),
              "the support vectors do not fit the features");
    y = dot(kernels(s, x, matrix(s, n, width, vectors)), matrix(s, n, 1, weights));
  } else {
    s.require(int64_t(weights.size()) == width, "the coefficients do not fit the features");
    y = dot(x, matrix(s, width, 1, weights));
  }
  y = y + rho[0];
  if (s.i("one_class", 0)) return {select(lt(0, y), s.g.splat(y.type(), 1), -1)};
  return {transformed(s, y, s.s("post_transform", "NONE"))};
}

// Probabilities of classes from those of pairs [N, k, k], by libsvm's iteration, which a row leaves once it is near enough.
Value coupled(Step &s, Value r, int64_t k) {
  Dim n = r.shape()[0];
  Value square_sums = reduce_over(square(r), "sum", {1}); // over rows: of each class's column; the diagonal is 0
  Type plane{DType::i64, {n, k, k}};
  Value diagonal = eq(iota(s.g, plane, 1), iota(s.g, plane, 2));
  Value q = select(diagonal, expand(reshape(square_sums, {n, 1, k}), plane.shape), -(r * transpose(r)));
  auto body = std::make_shared<Graph>("couple");
  body->location = s.where;
  Value p = body->input("p", {DType::f32, {n, k}}), open = body->input("open", {DType::boolean, {n, 1}}),
        m = body->input("q", q.type());
  auto times = [&](Value v) { return reshape(dot(m, reshape(v, {n, k, 1})), {n, k}); };
  Value qp = times(p), pqp = reduce_over(p * qp, "sum", {1}, true);
  Value far = le(0.005 / double(k), reduce_over(abs(qp - pqp), "max", {1}, true));
  Value still = bit_and(open, far), next = p;
  for (int64_t t = 0; t < k; ++t) {
    auto entry = [&](Value v) { return narrow(v, 1, t, t + 1); };
    Value row = reshape(narrow(m, 1, t, t + 1), {n, k}), own = entry(row), diff = (pqp - entry(qp)) / own;
    Value here = expand(eq(iota(*body, {DType::i64, {1, k}}, 1), double(t)), {n, k});
    next = (next + select(here, expand(diff, {n, k}), 0)) / (diff + 1);
    pqp = (pqp + diff * (diff * own + entry(qp) * 2)) / square(diff + 1);
    qp = (qp + row * diff) / (diff + 1);
  }
  body->outputs = {{"next", select(expand(still, {n, k}), next, p)}, {"still", still}};
  Values start{s.g.splat({DType::f32, {n, k}}, 1 / double(k)), s.g.splat({DType::boolean, {n, 1}}, 1), q};
  Attrs a{{Attr::carries, int64_t(2)}, {Attr::slices, int64_t(0)}, {Attr::trips, std::max<int64_t>(100, k)}};
  return s.g.node(Op::scan, start, a, {body})->result();
}

Values classifier(Step &s) {
  Value x = features(s);
  Ints labels = labels_of(s, "classlabels_ints", "classlabels_strings"), per_class = s.ints("vectors_per_class");
  const AttributeProto *strings = s.attr("classlabels_strings");
  int64_t width = x.shape()[1], k = std::max<int64_t>(int64_t(labels.size()), strings ? strings->strings_size() : 0),
          n = 0;
  std::vector<double> vectors = s.floats("support_vectors"), weights = s.floats("coefficients"), rho = s.floats("rho"),
                      a = s.floats("prob_a"), b = s.floats("prob_b");
  std::string how = s.s("post_transform", "NONE");
  for (int64_t c : per_class) {
    s.require(c >= 0 && c < int64_t(1) << 31, "'vectors_per_class' is out of range");
    n += c;
  }
  s.require(k >= 1 && !rho.empty(), "labels or 'rho' are missing");
  auto label = [&](Value position) { return s.wants(0) ? labelled(s, position, labels) : position; };
  if (n == 0) { // one linear model a class
    s.require(int64_t(weights.size()) == s.table({k, width}, "the matrix of coefficients"),
              "the coefficients do not fit the features");
    Value scores = dot(x, transpose(matrix(s, k, width, weights))) + rho[0];
    return {label(argmax(scores, 1)), transformed(s, scores, how)};
  }
  int64_t pairs = s.table({k, k - 1}, "the table of pairs of classes") / 2;
  s.require(k >= 2 && int64_t(per_class.size()) == k && int64_t(rho.size()) == pairs,
            "'vectors_per_class' or 'rho' do not fit the labels");
  s.require(int64_t(vectors.size()) == s.table({n, width}, "the matrix of support vectors") &&
                int64_t(weights.size()) == s.table({k - 1, n}, "the matrix of coefficients"),
            "the support vectors or coefficients do not fit");
  // A column a pair of classes i < j: the coefficients of i's vectors against j and of j's against i.
  std::vector<double> columns(size_t(s.table({n, pairs}, "the table of coefficients by pair")));
  std::vector<double> to_i(size_t(s.table({pairs, k}, "the table of votes"))), to_j = to_i;
  Ints start(size_t(k), 0);
  for (int64_t i = 1; i < k; ++i) start[size_t(i)] = start[size_t(i - 1)] + per_class[size_t(i - 1)];
  int64_t pair = 0;
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i + 1; j < k; ++j, ++pair) {
      for (int64_t v = start[size_t(i)]; v < start[size_t(i)] + per_class[size_t(i)]; ++v)
        columns[size_t(v * pairs + pair)] = weights[size_t((j - 1) * n + v)];
      for (int64_t v = start[size_t(j)]; v < start[size_t(j)] + per_class[size_t(j)]; ++v)
        columns[size_t(v * pairs + pair)] = weights[size_t(i * n + v)];
      to_i[size_t(pair * k + i)] = 1, to_j[size_t(pair * k + j)] = 1;
    }
  Value scores =
      dot(kernels(s, x, matrix(s, n, width, vectors)), matrix(s, n, pairs, columns)) + matrix(s, 1, pairs, rho);
  Value won = cast(lt(0, scores), DType::f32),
        votes = dot(won, matrix(s, pairs, k, to_i)) + dot(1.0 - won, matrix(s, pairs, k, to_j));
  Value best = argmax(votes, 1);
  if (!a.empty()) {
    s.require(int64_t(a.size()) == pairs && int64_t(b.size()) == pairs, "'prob_a' and 'prob_b' need an entry a pair");
    Value p = clamp(1.0 - sigmoid(scores * matrix(s, 1, pairs, a) + matrix(s, 1, pairs, b)), 1e-7, 1 - 1e-7);
    // r[i, j] is the probability of i against j.
    Ints above(size_t(k * k), -1), below = above;
    pair = 0;
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = i + 1; j < k; ++j, ++pair) above[size_t(i * k + j)] = pair, below[size_t(j * k + i)] = pair;
    Value r = gather(p, s.constant(above), 1) + gather(1.0 - p, s.constant(below), 1);
    Value shares = coupled(s, reshape(r, {x.shape()[0], k, k}), k);
    return {label(best), transformed(s, shares, how)};
  }
  if (k == 2) return {label(best), both_classes(s, scores, how, false)};
  return {label(best), transformed(s, scores, how)};
}

} // namespace

void add_vectors(Recipes &r) {
  r.on("SVMRegressor", 1, regressor, kClassic), r.on("SVMClassifier", 1, classifier, kClassic);
}

} // namespace trellis::onnx

// Every derivative of the table against finite differences in f64: first and second, over shapes, axes and
// attributes; and a row's own derivative against that of its expansion.
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/vjp.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

namespace trellis {
namespace {

using Ints = std::vector<int64_t>;

/// An f64 input whose elements are spread evenly over [lo, hi] in a fixed disorder: distinct, and away from
/// kinks between them.
struct In {
  Ints dims;
  double lo = -2, hi = 2;
};

struct Case {
  std::string name;
  Op op; ///< the row that it is about
  std::vector<In> inputs;
  std::function<Values(Graph &, const Values &)> build; ///< results of the row
  double tolerance = 1e-7;
  std::vector<double> first; ///< elements of the first input, where given
};

uint64_t next_random(uint64_t &state) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return state >> 33;
}

Tensor make_input(const In &in, uint64_t seed) {
  Tensor t(DType::f64, in.dims);
  std::vector<int64_t> order(static_cast<size_t>(t.size()));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next_random(seed) % i]);
  for (size_t i = 0; i < order.size(); ++i)
    t.set(int64_t(i), in.lo + (in.hi - in.lo) * (double(order[i]) + 0.5) / double(order.size()));
  return t;
}

Value weights(Graph &g, const Type &t, uint64_t seed) {
  Tensor w(t.dtype, dims_of(t.shape));
  for (int64_t i = 0; i < w.size(); ++i) w.set(i, double(next_random(seed) % 1000) / 500.0 - 0.9);
  return g.constant(w);
}

/// A scalar that depends on every element of every floating result.
Value weigh(Graph &g, const Values &results) {
  Value loss;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i] || !is_float(results[i].dtype())) continue;
    Value r = results[i];
    if (r.node->op == Op::cumulative) r = select(is_finite(r), r, 0); // an exclusive max begins with -inf
    Value part = cast(sum(r * weights(g, r.type(), 17 + i)), DType::f64);
    loss = loss ? loss + part : part;
  }
  return loss;
}

Tensor run(Graph &g, Value v, const std::vector<Tensor> &inputs) {
  g.outputs = {{"y", v}};
  return evaluate(g, inputs)[0];
}

/// The derivative of `loss` in every element of input `k`, by a five-point formula (its error is h^4
/// f'''''/30).
void expect_derivative(Graph &g, Value loss, Value dx, std::vector<Tensor> inputs, size_t k, double tolerance,
                       const std::string &what) {
  constexpr double h = 1e-3;
  Tensor got = dx ? run(g, dx, inputs) : Tensor(DType::f64, inputs[k].dims());
  double scale = 1;
  for (int64_t i = 0; i < got.size(); ++i) scale = std::max(scale, std::fabs(got.get(i)));
  Tensor at = inputs[k].clone();
  inputs[k] = at;
  for (int64_t i = 0; i < at.size(); ++i) {
    double x = at.get(i);
    auto f = [&](double d) {
      at.set(i, x + d);
      double v = run(g, loss, inputs).get(0);
      at.set(i, x);
      return v;
    };
    double want = (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
    EXPECT_NEAR(got.get(i), want, tolerance * scale) << what << " of input " << k << ", element " << i;
  }
}

Values gradients_of(Value loss, const Values &x) {
  return pull_back({{loss, loss.graph().splat(loss.type(), 1)}}, x, false);
}

void check(const Case &c) {
  SCOPED_TRACE(fmt::format("{} ({})", name(c.op), c.name));
  Graph g;
  Values x;
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(make_input(c.inputs[i], 100 + i));
    x.push_back(g.input(fmt::format("x{}", i), inputs.back().type()));
  }
  for (size_t i = 0; i < c.first.size(); ++i) inputs[0].set(int64_t(i), c.first[i]);
  Values results = c.build(g, x);
  ASSERT_EQ(name(results[0].node->op), name(c.op)) << "the case is about another row";
  Value loss = weigh(g, results);
  Values dx = gradients_of(loss, x);
  for (size_t i = 0; i < x.size(); ++i) expect_derivative(g, loss, dx[i], inputs, i, c.tolerance, "first derivative");

  Value slope;
  for (size_t i = 0; i < x.size(); ++i)
    if (dx[i]) {
      Value part = sum(dx[i] * weights(g, dx[i].type(), 41 + i));
      slope = slope ? slope + part : part;
    }
  ASSERT_TRUE(slope) << "nothing flows to any input";
  Values d2x = gradients_of(slope, x);
  for (size_t i = 0; i < x.size(); ++i)
    expect_derivative(g, slope, d2x[i], inputs, i, c.tolerance * 10, "second derivative");

  const Node &n = *results[0].node;
  if (!n.info().expand || !n.info().vjp) return;
  Values parts = n.info().expand({n, n.operands});
  for (size_t r = 0; r < parts.size(); ++r) {
    Tensor a = run(g, n.result(uint32_t(r)), inputs), b = run(g, parts[r], inputs);
    ASSERT_EQ(a.type().str(), b.type().str()) << "the expansion has another type";
    for (int64_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a.get(i), b.get(i), 1e-12) << "expansion, result " << r;
  }
  if (parts.size() != results.size()) return;
  Values ex = gradients_of(weigh(g, parts), x);
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(bool(dx[i]), bool(ex[i]));
    if (!dx[i]) continue;
    Tensor a = run(g, dx[i], inputs), b = run(g, ex[i], inputs);
    for (int64_t k = 0; k < a.size(); ++k)
      EXPECT_NEAR(a.get(k), b.get(k), 1e-10 * std::max(1.0, std::fabs(b.get(k))))
          << "own derivative against the expansion's";
  }
}

Value ints(Graph &g, DType t, Ints dims, Ints values) {
  return g.constant(Tensor::of<int64_t>(t, std::move(dims), values));
}
Values results_of(const Node *n) {
  Values out;
  for (uint32_t i = 0; i < n->types.size(); ++i) out.push_back(n->result(i));
  return out;
}
/// The row applied to the inputs.
std::function<Values(Graph &, const Values &)> row(Op op, Attrs a = {}) {
  return [op, a](Graph &g, const Values &x) { return results_of(g.node(op, x, a)); };
}

std::vector<Case> cases() {
  std::vector<Case> all;
  auto with = [&](std::string name, Op op, std::vector<In> in, auto build, double tolerance = 1e-7) -> Case & {
    return all.emplace_back(Case{std::move(name), op, std::move(in), build, tolerance, {}});
  };
  auto unary = [&](Op op, double lo, double hi, Attrs a = {}) { with("unary", op, {{{2, 3}, lo, hi}}, row(op, a)); };
  using enum Op;
  for (Op op :
       {neg,  Op::abs, exp,        expm1, sin,  cos,       atan,         tanh,       erf,  square, sigmoid, softplus,
        silu, relu,    leaky_relu, elu,   gelu, gelu_tanh, hard_sigmoid, hard_swish, sinh, cosh,   asinh})
    unary(op, -2.5, 2.5);
  for (Op op : {log, sqrt, reciprocal, rsqrt}) unary(op, 0.4, 3);
  for (Op op : {asin, acos, atanh, tan, log1p}) unary(op, -0.8, 0.8);
  unary(acosh, 1.4, 3);
  unary(leaky_relu, -2, 2, {{Attr::alpha, 0.3}}), unary(elu, -2, 2, {{Attr::alpha, 0.7}}),
      unary(hard_sigmoid, -1, 1, {{Attr::alpha, 0.25}});
  for (Op op : {Op::add, mul, sub, Op::max, Op::min}) with("pair", op, {{{2, 3}}, {{2, 3}, -1.7, 1.9}}, row(op));
  with("pair", div, {{{2, 3}}, {{2, 3}, 0.5, 2}}, row(div));
  with("both", pow, {{{2, 3}, 0.5, 2}, {{2, 3}, -1, 2}}, row(pow));
  with("whole exponents", pow, {{{4}}}, [](Graph &g, const Values &x) {
    return Values{trellis::pow(x[0], g.constant(Tensor::of<double>(DType::f64, {4}, std::vector<double>{0, 1, 2, 3})))};
  });
  with("at zero", pow, {{{4}}}, [](Graph &g, const Values &x) {
    return Values{trellis::pow(x[0], g.constant(Tensor::of<double>(DType::f64, {4}, std::vector<double>{0, 1, 2, 3})))};
  }).first = {0, 0, 0, 0};
  with("triple", fma, {{{2, 3}}, {{2, 3}}, {{2, 3}}}, row(fma));
  with("triple", clamp, {{{12}}, {{12}, -1.55, -1.45}, {{12}, 1.45, 1.55}}, row(clamp));
  with("mask", select, {{{2, 3}}, {{2, 3}}}, [](Graph &g, const Values &x) {
    return Values{trellis::select(ints(g, DType::boolean, {2, 3}, {1, 0, 0, 1, 1, 0}), x[0], x[1])};
  });
  with("quotients of 1 to 7", rem, {{{6}, -8, 8}, {{6}, 1.1, 1.15}}, row(rem));
  for (Op op : {sin_large, cos_large}) with("near and far", op, {{{4}, -3e5, 3e5}, {{4}}}, row(op), 1e-6);
  with(
      "through f32", cast, {{{2, 3}}}, [](Graph &, const Values &x) { return Values{trellis::cast(x[0], DType::f32)}; },
      2e-3);

  with("flat", reshape, {{{2, 3, 2}}}, row(reshape, {{Attr::shape, Shape{4, 3}}}));
  with("three axes", permute, {{{2, 3, 2}}}, row(permute, {{Attr::perm, Ints{2, 0, 1}}}));
  with("two axes", expand, {{{1, 3, 1}}}, row(expand, {{Attr::shape, Shape{4, 3, 2}}}));
  with("steps", slice, {{{5, 4}}},
       row(slice, {{Attr::start, Ints{0, 1}}, {Attr::limit, Ints{5, 3}}, {Attr::step, Ints{2, 1}}}));
  with("downwards", slice, {{{5, 7}}},
       row(slice, {{Attr::start, Ints{4, 5}}, {Attr::limit, Ints{-1, 0}}, {Attr::step, Ints{-1, -2}}}));
  with("one element", slice, {{{5, 3}}},
       row(slice, {{Attr::start, Ints{3, 2}}, {Attr::limit, Ints{4, 0}}, {Attr::step, Ints{3, -2}}}));
  with("sides", pad, {{{2, 3}}, {{}}}, row(pad, {{Attr::lo, Ints{1, 0}}, {Attr::hi, Ints{0, 2}}}));
  with("interior", pad, {{{3, 2}}, {{}}},
       row(pad, {{Attr::lo, Ints{1, 0}}, {Attr::hi, Ints{2, 1}}, {Attr::interior, Ints{2, 1}}}));
  with("cropped", pad, {{{4, 3}}, {{}}},
       row(pad, {{Attr::lo, Ints{-1, 2}}, {Attr::hi, Ints{-2, -1}}, {Attr::interior, Ints{1, 0}}}));
  with("overlapping", window, {{{2, 7}}}, row(window, {{Attr::size, Ints{3}}, {Attr::stride, Ints{2}}}));
  with("two axes", window, {{{4, 5}}}, row(window, {{Attr::size, Ints{2, 3}}}));
  with("dilated", window, {{{8}}},
       row(window, {{Attr::size, Ints{3}}, {Attr::stride, Ints{2}}, {Attr::dilation, Ints{2}}}));
  with("overlapping", unwindow, {{{2, 3, 3}}},
       row(unwindow, {{Attr::shape, Shape{2, 7}}, {Attr::size, Ints{3}}, {Attr::stride, Ints{2}}}));
  with("apart", unwindow, {{{3, 2}}},
       row(unwindow, {{Attr::shape, Shape{9}}, {Attr::size, Ints{2}}, {Attr::stride, Ints{3}}}));
  with("dilated", unwindow, {{{2, 3}}},
       row(unwindow,
           {{Attr::shape, Shape{8}}, {Attr::size, Ints{3}}, {Attr::stride, Ints{3}}, {Attr::dilation, Ints{2}}}));
  with("two axes", unwindow, {{{3, 3, 2, 3}}}, row(unwindow, {{Attr::shape, Shape{4, 5}}, {Attr::size, Ints{2, 3}}}));
  with("three parts", concat, {{{2, 1, 2}}, {{2, 3, 2}}, {{2, 2, 2}}}, row(concat, {{Attr::axis, int64_t(1)}}));
  with("one value twice", concat, {{{2, 2}}},
       [](Graph &, const Values &x) { return Values{trellis::concat({x[0], x[0]}, 0)}; });

  for (const char *kind : {"sum", "prod", "max", "min"}) {
    std::string k = kind;
    with(k + " middle", reduce, {{{2, 3, 2}}}, row(reduce, {{Attr::kind, k}, {Attr::axes, Ints{1}}}));
    with(k + " outer, kept", reduce, {{{2, 3, 2}}},
         row(reduce, {{Attr::kind, k}, {Attr::axes, Ints{0, 2}}, {Attr::keep, true}}));
    with(k + " all", reduce, {{{2, 3}}}, row(reduce, {{Attr::kind, k}}));
    for (bool exclusive : {false, true})
      for (bool reverse : {false, true}) {
        Attrs a{{Attr::kind, k}, {Attr::axis, int64_t(1)}, {Attr::exclusive, exclusive}, {Attr::reverse, reverse}};
        with(fmt::format("{}{}{}", k, exclusive ? " exclusive" : "", reverse ? " reverse" : ""), cumulative, {{{2, 5}}},
             row(cumulative, a));
      }
  }
  with("prod with a zero", reduce, {{{2, 3}}}, row(reduce, {{Attr::kind, std::string("prod")}, {Attr::axes, Ints{1}}}))
      .first = {0, 2, 3, 1, 4, -2};
  with("prod with two zeros", reduce, {{{1, 4}}},
       row(reduce, {{Attr::kind, std::string("prod")}, {Attr::axes, Ints{1}}}))
      .first = {3, 0, 2, 0};
  with("prod with zeros", cumulative, {{{1, 5}}},
       row(cumulative, {{Attr::kind, std::string("prod")}, {Attr::axis, int64_t(1)}}))
      .first = {2, 0, 3, 0, 1.5};
  for (Op op : {mean, var, logsumexp}) {
    with("middle", op, {{{2, 3, 2}}}, row(op, {{Attr::axes, Ints{1}}}));
    with("outer, kept", op, {{{2, 3, 2}}}, row(op, {{Attr::axes, Ints{0, 2}}, {Attr::keep, true}}));
    with("all", op, {{{2, 3}}}, row(op));
  }

  with("matrices", dot, {{{2, 3}}, {{3, 4}}}, row(dot));
  with("batches", dot, {{{2, 1, 2, 3}}, {{2, 1, 3, 2}}}, row(dot));
  auto convolution = [&](std::string what, In x, In w, Attrs a) {
    with(std::move(what), conv, {x, w}, row(conv, std::move(a)));
  };
  convolution("plain", {{1, 2, 4, 4}}, {{2, 2, 3, 2}}, {});
  convolution("strided, uneven padding", {{2, 1, 5, 4}}, {{2, 1, 3, 2}},
              {{Attr::stride, Ints{2, 3}}, {Attr::lo, Ints{1, 0}}, {Attr::hi, Ints{2, 1}}});
  convolution("dilated", {{1, 1, 6, 5}}, {{1, 1, 2, 3}},
              {{Attr::dilation, Ints{3, 2}}, {Attr::stride, Ints{2, 1}}, {Attr::lo, Ints{0, 1}}});
  convolution("groups", {{1, 4, 5}}, {{6, 2, 3}},
              {{Attr::groups, int64_t(2)}, {Attr::stride, Ints{2}}, {Attr::lo, Ints{1}}, {Attr::hi, Ints{1}}});
  convolution("depthwise", {{2, 3, 4}}, {{3, 1, 2}}, {{Attr::groups, int64_t(3)}});
  convolution("transposed", {{1, 2, 3, 3}}, {{1, 2, 3, 2}},
              {{Attr::input_dilation, Ints{2, 3}}, {Attr::lo, Ints{1, 2}}, {Attr::hi, Ints{2, 1}}});
  convolution("cropped", {{1, 1, 7}}, {{1, 1, 2}}, {{Attr::lo, Ints{-1}}, {Attr::hi, Ints{-2}}});
  convolution("padding wider than the kernel", {{1, 1, 3}}, {{2, 1, 2}},
              {{Attr::lo, Ints{3}}, {Attr::hi, Ints{4}}, {Attr::stride, Ints{2}}});
  convolution("three axes", {{1, 1, 3, 2, 3}}, {{1, 1, 2, 1, 2}}, {});

  with("rows", gather, {{{4, 2}}}, [](Graph &g, const Values &x) {
    return Values{trellis::gather(x[0], ints(g, DType::i64, {2, 3}, {3, 0, 0, 7, -1, 2}), 0)};
  });
  with("inner axis", gather, {{{2, 3, 2}}}, [](Graph &g, const Values &x) {
    return Values{trellis::gather(x[0], ints(g, DType::i32, {4}, {2, 1, 2, 0}), 1)};
  });
  for (const char *kind : {"set", "sum", "max", "min"}) {
    std::string k = kind;
    with(k, scatter, {{{4, 2}}, {{5, 2}, -1.8, 2.1}}, [k](Graph &g, const Values &x) {
      return Values{trellis::scatter(x[0], ints(g, DType::i64, {5}, {2, 0, 2, 9, 2}), x[1], 0, k)};
    });
    with(k + " inner", scatter, {{{2, 3}}, {{2, 2, 2}, -1.8, 2.1}}, [k](Graph &g, const Values &x) {
      return Values{trellis::scatter(x[0], ints(g, DType::i64, {2, 2}, {1, 1, -1, 0}), x[1], 1, k)};
    });
  }
  with("rows", sort, {{{2, 4}}}, row(sort, {{Attr::axis, int64_t(1)}}));
  with("columns down", sort, {{{4, 2}}}, row(sort, {{Attr::axis, int64_t(0)}, {Attr::descending, true}}));

  for (Op op : {softmax, log_softmax}) {
    with("last", op, {{{2, 3}}}, row(op));
    with("first", op, {{{3, 2, 2}}}, row(op, {{Attr::axis, int64_t(0)}}));
  }
  with("plain", layer_norm, {{{2, 4}}}, row(layer_norm));
  with("scaled", layer_norm, {{{2, 4}}, {{4}}}, row(layer_norm));
  with("two axes", layer_norm, {{{2, 2, 3}}, {{2, 3}}, {{2, 3}}},
       row(layer_norm, {{Attr::axis, int64_t(1)}, {Attr::epsilon, 0.1}}));
  with("all axes", layer_norm, {{{2, 3}}, {{2, 3}}, {{2, 3}}}, row(layer_norm, {{Attr::axis, int64_t(0)}}));
  with("plain", rms_norm, {{{2, 4}}}, row(rms_norm));
  with("two axes", rms_norm, {{{2, 2, 3}}, {{2, 3}}}, row(rms_norm, {{Attr::axis, int64_t(1)}}));
  with("images", batch_norm, {{{2, 2, 3}}, {{2}}, {{2}}}, row(batch_norm));
  with("vectors", batch_norm, {{{4, 2}}, {{2}}, {{2}}}, row(batch_norm, {{Attr::epsilon, 0.01}}));
  with("statistics alone", batch_norm, {{{4, 2}}}, [](Graph &g, const Values &x) {
    Value one = g.splat({DType::f64, {2}}, 1);
    const Node *n = g.node(batch_norm, {x[0], one, one});
    return Values{n->result(1), n->result(2)};
  });
  with("images", batch_norm_inference, {{{2, 2, 2}}, {{2}}, {{2}}, {{2}}, {{2}, 0.5, 2}}, row(batch_norm_inference));
  with("two groups", group_norm, {{{2, 4, 2}}, {{4}}, {{4}}}, row(group_norm, {{Attr::groups, int64_t(2)}}));
  with("overlapping", max_pool, {{{1, 2, 5, 4}}},
       row(max_pool,
           {{Attr::size, Ints{3, 2}}, {Attr::stride, Ints{2, 1}}, {Attr::lo, Ints{1, 0}}, {Attr::hi, Ints{1, 1}}}));
  with("apart", max_pool, {{{1, 4, 4}}}, row(max_pool, {{Attr::size, Ints{2, 2}}, {Attr::stride, Ints{2, 2}}}));
  with("dilated", max_pool, {{{1, 7}}}, row(max_pool, {{Attr::size, Ints{2}}, {Attr::dilation, Ints{3}}}));
  with("overlapping", avg_pool, {{{1, 5, 4}}},
       row(avg_pool,
           {{Attr::size, Ints{3, 2}}, {Attr::stride, Ints{2, 1}}, {Attr::lo, Ints{1, 0}}, {Attr::hi, Ints{1, 1}}}));
  with("counting padding", avg_pool, {{{1, 5}}},
       row(avg_pool, {{Attr::size, Ints{3}},
                      {Attr::stride, Ints{2}},
                      {Attr::lo, Ints{1}},
                      {Attr::hi, Ints{1}},
                      {Attr::count_pad, true}}));
  with("plain", attention, {{{2, 3, 2}}, {{2, 4, 2}}, {{2, 4, 3}}}, row(attention));
  with("causal", attention, {{{3, 2}}, {{3, 2}}, {{3, 2}}}, row(attention, {{Attr::causal, true}, {Attr::scale, 0.3}}));
  with("added mask", attention, {{{2, 2, 2}}, {{2, 3, 2}}, {{2, 3, 2}}, {{2, 2, 3}}}, row(attention));
  with("bool mask", attention, {{{2, 2}}, {{3, 2}}, {{3, 2}}}, [](Graph &g, const Values &x) {
    return Values{trellis::attention(
        x[0], x[1], x[2], {.mask = ints(g, DType::boolean, {2, 3}, {1, 0, 1, 0, 1, 1}), .causal = false, .scale = {}})};
  });
  with("labels", cross_entropy, {{{3, 4}}}, [](Graph &g, const Values &x) {
    return Values{trellis::cross_entropy(x[0], ints(g, DType::i64, {3}, {3, 0, 1}))};
  });
  with("ignored and invalid labels", cross_entropy, {{{2, 2, 3}}}, [](Graph &g, const Values &x) {
    return Values{trellis::cross_entropy(x[0], ints(g, DType::i64, {2, 2}, {2, -100, 0, 5}), -100)};
  });
  with("pair", mse, {{{2, 3}}, {{2, 3}, -1.7, 1.9}}, row(mse));
  with("pair", bce_with_logits, {{{2, 3}}, {{2, 3}, 0.1, 0.9}}, row(bce_with_logits));
  with("half", dropout, {{{4, 4}}},
       [](Graph &g, const Values &x) { return Values{trellis::dropout(x[0], g.scalar(DType::u64, 7), 0.5, 3)}; });

  for (bool p : {false, true})
    with(p ? "then" : "else", cond, {{{2, 2}}, {{2, 2}, 0.5, 2}}, [p](Graph &g, const Values &x) {
      auto yes = std::make_shared<Graph>("yes"), no = std::make_shared<Graph>("no");
      for (auto &b : {yes, no}) b->input("a", x[0].type()), b->input("b", x[1].type());
      yes->outputs = {{"y", trellis::tanh(yes->inputs()[0]) * yes->inputs()[1]}};
      no->outputs = {{"y", trellis::exp(no->inputs()[0])}};
      return results_of(g.node(cond, {g.scalar(DType::boolean, p), x[0], x[1]}, {}, {yes, no}));
    });
  for (bool reverse : {false, true})
    with(reverse ? "recurrent, reverse" : "recurrent", scan, {{{2, 2}}, {{3, 2, 2}}, {{2, 2}}},
         [reverse](Graph &g, const Values &x) {
           auto body = std::make_shared<Graph>("cell");
           Value h = body->input("h", {DType::f64, {2, 2}}), n = body->input("n", {DType::i64, {}}),
                 in = body->input("in", {DType::f64, {2, 2}}), w = body->input("w", {DType::f64, {2, 2}});
           Value next = trellis::tanh(trellis::dot(h, w) + in) * trellis::cast(n, DType::f64);
           body->outputs = {{"h", next}, {"n", n + 1}, {"y", next * h}};
           Attrs a{{Attr::carries, int64_t(2)}, {Attr::slices, int64_t(1)}, {Attr::reverse, reverse}};
           return results_of(g.node(scan, {x[0], ints(g, DType::i64, {}, {1}), x[1], x[2]}, a, {body}));
         });
  with("fixed trips, a carry that is not returned", scan, {{{2}}, {{2}}}, [](Graph &g, const Values &x) {
    auto body = std::make_shared<Graph>("step");
    Value c = body->input("c", {DType::f64, {2}}), k = body->input("k", {DType::f64, {2}});
    body->outputs = {{"c", trellis::sin(c) + k}};
    return results_of(g.node(scan, {x[0], x[1]},
                             {{Attr::carries, int64_t(1)}, {Attr::slices, int64_t(0)}, {Attr::trips, int64_t(3)}},
                             {body}));
  });
  return all;
}

class Gradient : public testing::TestWithParam<Case> {};
TEST_P(Gradient, AgreesWithFiniteDifferences) { check(GetParam()); }
INSTANTIATE_TEST_SUITE_P(Rows, Gradient, testing::ValuesIn(cases()), [](const auto &info) {
  std::string out = std::string(name(info.param.op)) + "_";
  for (char ch : info.param.name) out += std::isalnum(static_cast<unsigned char>(ch)) ? ch : '_';
  return out + "_" + std::to_string(info.index);
});
void PrintTo(const Case &c, std::ostream *out) { *out << name(c.op) << " (" << c.name << ")"; }

TEST(GradientTable, EveryDifferentiableRowHasACase) {
  std::set<Op> tested{Op::loop}; // refuses; see below
  for (const Case &c : cases()) tested.insert(c.op);
  for (int i = 0; i < kOpCount; ++i) {
    if (info(Op(i)).no_gradient) continue;
    EXPECT_TRUE(tested.count(Op(i))) << "no case for '" << name(Op(i)) << "'";
  }
}

TEST(GradientTable, ARowWithoutDerivativeHasNoCase) {
  for (const Case &c : cases()) EXPECT_FALSE(c.op != Op::loop && info(c.op).no_gradient) << name(c.op);
}

TEST(Gradient, OfNothingIsNothing) {
  Graph g;
  Value x = g.input("x", {DType::f64, {1, 1, 0}}), w = g.input("w", {DType::f64, {2, 1, 2}}),
        e = g.input("e", {DType::f64, {2, 0}});
  std::vector<Tensor> inputs{Tensor(DType::f64, {1, 1, 0}), Tensor(DType::f64, {2, 1, 2}), Tensor(DType::f64, {2, 0})};
  Value y = sum(conv(x, w, {.stride = {}, .lo = {2}, .hi = {1}, .dilation = {}, .input_dilation = {}}));
  Values d = gradients_of(y, {x, w});
  EXPECT_EQ(run(g, d[0], inputs).size(), 0);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(run(g, d[1], inputs).get(i), 0);
  for (const char *kind : {"sum", "prod", "max", "min"}) {
    EXPECT_EQ(run(g, gradients_of(sum(reduce(e, kind, {1})), {e})[0], inputs).size(), 0) << kind;
    EXPECT_EQ(run(g, gradients_of(sum(cumulative(e, kind, 1)), {e})[0], inputs).size(), 0) << kind;
  }
  EXPECT_EQ(run(g, gradients_of(sum(softmax(e)), {e})[0], inputs).size(), 0);
  EXPECT_EQ(run(g, gradients_of(sum(sort(e, 1).values), {e})[0], inputs).size(), 0);
}

TEST(Gradient, OfALoopIsALocatedError) {
  Graph g;
  Value x = g.input("x", {DType::f64, {}});
  auto test = std::make_shared<Graph>("test"), step = std::make_shared<Graph>("step");
  Value a = test->input("a", x.type()), b = step->input("b", x.type());
  test->outputs = {{"p", lt(a, 10)}}, step->outputs = {{"b", b * 2}};
  LocationScope at(g, {std::make_shared<const std::string>("net.trl"), 7, 3, ""});
  Value y = g.node(Op::loop, {x}, {}, {test, step})->result();
  try {
    gradients_of(y, {x});
    FAIL() << "no error";
  } catch (const CompileError &e) {
    EXPECT_NE(std::string(e.what()).find("net.trl:7:3: error: loop: "), std::string::npos) << e.what();
  }
}

TEST(Gradient, OfAProductScatterIsALocatedError) {
  Graph g;
  Value x = g.input("x", {DType::f64, {3}});
  Value y = sum(scatter(x, ints(g, DType::i64, {1}, {1}), g.splat({DType::f64, {1}}, 2), 0, "prod"));
  EXPECT_THROW(gradients_of(y, {x}), CompileError);
}

} // namespace
} // namespace trellis

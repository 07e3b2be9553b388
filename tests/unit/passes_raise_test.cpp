// What exporters write becomes the named op, with the same values up to rounding; and decompose undoes it.
#include "fuzz.h"
#include "ir/parse.h"
#include "ir/print.h"
#include "passes/decompose.h"
#include "passes/raise.h"
#include <gtest/gtest.h>

using namespace trellis;
using namespace trellis::test;

namespace {
struct Case {
  const char *name, *op, *text;
};
void PrintTo(const Case &c, std::ostream *os) { *os << c.name; }

int count(const Graph &g, std::string_view op) {
  int out = 0;
  for (const Node *n : g.reachable()) out += name(n->op) == op;
  return out;
}

class Raise : public testing::TestWithParam<Case> {};

TEST_P(Raise, FindsTheOp) {
  const Case &c = GetParam();
  GraphPtr g = parse(std::string("trellis 1\n") + c.text, "test.trl");
  std::mt19937_64 rng(7);
  Inputs in;
  for (Value v : g->inputs()) in[std::string(g->name_of(v))] = random_tensor(v.type(), rng, Specials::none);
  std::vector<Tensor> before = evaluate(*g, in);
  GraphPtr raised = raise(*g);
  EXPECT_EQ(count(*raised, c.op), 1) << print(*raised);
  EXPECT_TRUE(close(before[0], evaluate(*raised, in)[0], 1e-6)) << print(*raised);
  EXPECT_TRUE(close(before[0], evaluate(*decompose(*raised), in)[0], 1e-6)) << print(*decompose(*raised));
}

const Case kCases[] = {
    {"sigmoid", "sigmoid", R"(graph @t(%x: f64[5]) {
  %n = neg %x
  %e = exp %n
  %d = add 1.0, %e
  %y = div 1.0, %d
  return %y
})"},
    {"silu", "silu", R"(graph @t(%x: f64[5]) {
  %s = sigmoid %x
  %y = mul %s, %x
  return %y
})"},
    {"silu_div", "silu", R"(graph @t(%x: f64[5]) {
  %n = neg %x
  %e = exp %n
  %d = add %e, 1.0
  %y = div %x, %d
  return %y
})"},
    {"hard_sigmoid", "hard_sigmoid", R"(graph @t(%x: f64[5]) {
  %a = mul %x, 0.2
  %b = add %a, 0.5
  %c = min %b, 1.0
  %y = max %c, 0.0
  return %y
})"},
    {"hard_sigmoid_clipped", "hard_sigmoid", R"(graph @t(%x: f64[5]) {
  %a = add %x, 3.0
  %b = clamp %a, 0.0, 6.0
  %y = div %b, 6.0
  return %y
})"},
    {"hard_swish", "hard_swish", R"(graph @t(%x: f64[5]) {
  %a = mul %x, 0.16666667
  %b = add %a, 0.5
  %c = clamp %b, 0.0, 1.0
  %y = mul %c, %x
  return %y
})"},
    {"hard_swish_div", "hard_swish", R"(graph @t(%x: f64[5]) {
  %a = add %x, 3.0
  %b = clamp %a, 0.0, 6.0
  %c = mul %x, %b
  %y = div %c, 6.0
  return %y
})"},
    {"hard_swish_mul", "hard_swish", R"(graph @t(%x: f32[5]) {
  %a = add %x, 3.0
  %b = clamp %a, 0.0, 6.0
  %c = mul %x, %b
  %y = mul %c, 0.16666667
  return %y
})"},
    {"softplus", "softplus", R"(graph @t(%x: f64[5]) {
  %e = exp %x
  %s = add %e, 1.0
  %y = log %s
  return %y
})"},
    {"relu", "relu", R"(graph @t(%x: f64[5]) {
  %y = max %x, 0.0
  return %y
})"},
    {"gelu_div", "gelu", R"(graph @t(%x: f32[5]) {
  %a = div %x, 1.4142135381698608
  %b = erf %a
  %c = add %b, 1.0
  %d = mul %x, %c
  %y = mul %d, 0.5
  return %y
})"},
    {"gelu_half_first", "gelu", R"(graph @t(%x: f32[5]) {
  %h = mul 0.5, %x
  %a = mul %x, 0.70710677
  %b = erf %a
  %c = add 1.0, %b
  %y = mul %h, %c
  return %y
})"},
    {"gelu_tanh_pow", "gelu_tanh", R"(graph @t(%x: f32[5]) {
  %c = pow %x, 3.0
  %d = mul %c, 0.044715
  %e = add %x, %d
  %f = mul %e, 0.7978845608
  %t = tanh %f
  %u = add %t, 1.0
  %h = mul %x, 0.5
  %y = mul %h, %u
  return %y
})"},
    {"gelu_tanh_product", "gelu_tanh", R"(graph @t(%x: f32[5]) {
  %a = mul %x, %x
  %b = mul %a, 0.044715
  %c = add 1.0, %b
  %d = mul %x, 0.7978845608
  %e = mul %d, %c
  %t = tanh %e
  %u = add 1.0, %t
  %v = mul %x, %u
  %y = mul 0.5, %v
  return %y
})"},
    {"softmax", "softmax", R"(graph @t(%x: f64[3, 5]) {
  %m = reduce %x, kind=max, axes=[-1], keep=true
  %d = sub %x, %m
  %e = exp %d
  %s = reduce %e, kind=sum, axes=[-1], keep=true
  %y = div %e, %s
  return %y
})"},
    {"softmax_without_keep", "softmax", R"(graph @t(%x: f64[3, 5]) {
  %m = reduce %x, kind=max, axes=[1]
  %n = reshape %m, shape=[3, 1]
  %d = sub %x, %n
  %e = exp %d
  %s = reduce %e, kind=sum, axes=[1]
  %t = reshape %s, shape=[3, 1]
  %y = div %e, %t
  return %y
})"},
    {"log_softmax", "log_softmax", R"(graph @t(%x: f64[3, 5]) {
  %m = reduce %x, kind=max, axes=[0], keep=true
  %d = sub %x, %m
  %e = exp %d
  %s = reduce %e, kind=sum, axes=[0], keep=true
  %l = log %s
  %y = sub %d, %l
  return %y
})"},
    {"log_of_softmax", "log_softmax", R"(graph @t(%x: f64[3, 5]) {
  %s = softmax %x
  %y = log %s
  return %y
})"},
    {"log_softmax_of_logsumexp", "log_softmax", R"(graph @t(%x: f64[3, 5]) {
  %m = reduce %x, kind=max, axes=[-1], keep=true
  %d = sub %x, %m
  %e = exp %d
  %s = reduce %e, kind=sum, axes=[-1], keep=true
  %l = log %s
  %z = add %l, %m
  %y = sub %x, %z
  return %y
})"},
    {"layer_norm", "layer_norm", R"(graph @t(%x: f64[2, 3, 8], %w: f64[8], %b: f64[8]) {
  %m = mean %x, axes=[-1], keep=true
  %d = sub %x, %m
  %q = pow %d, 2.0
  %v = mean %q, axes=[-1], keep=true
  %e = add %v, 1e-05
  %r = sqrt %e
  %n = div %d, %r
  %s = mul %n, %w
  %y = add %s, %b
  return %y
})"},
    {"layer_norm_by_hand", "layer_norm", R"(graph @t(%x: f64[4, 6], %w: f64[6], %b: f64[6]) {
  %a = reduce %x, kind=sum, axes=[1], keep=true
  %m = div %a, 6.0
  %d = sub %x, %m
  %q = mul %d, %d
  %c = reduce %q, kind=sum, axes=[1], keep=true
  %v = mul %c, 0.16666666666666666
  %e = add %v, 1e-06
  %r = rsqrt %e
  %n = mul %d, %r
  %s = mul %w, %n
  %y = add %b, %s
  return %y
})"},
    {"rms_norm", "rms_norm", R"(graph @t(%x: f64[2, 3, 8], %w: f64[8]) {
  %q = square %x
  %v = mean %q, axes=[-1], keep=true
  %e = add %v, 1e-06
  %r = sqrt %e
  %i = reciprocal %r
  %n = mul %x, %i
  %y = mul %n, %w
  return %y
})"},
    {"attention", "attention", R"(graph @t(%q: f64[2, 3, 4, 8], %k: f64[2, 3, 5, 8], %v: f64[2, 3, 5, 6]) {
  %kt = permute %k, perm=[0, 1, 3, 2]
  %s = dot %q, %kt
  %c = mul %s, 0.35355339059327373
  %p = softmax %c
  %y = dot %p, %v
  return %y
})"},
    {"attention_scaled_operands", "attention", R"(graph @t(%q: f64[2, 4, 8], %k: f64[2, 5, 8], %v: f64[2, 5, 6]) {
  %a = mul %q, 0.5
  %b = div %k, 1.5
  %kt = permute %b, perm=[0, 2, 1]
  %s = dot %a, %kt
  %p = softmax %s
  %y = dot %p, %v
  return %y
})"},
    {"attention_masked", "attention",
     R"(graph @t(%q: f64[2, 4, 8], %k: f64[2, 4, 8], %v: f64[2, 4, 6], %mask: f64[4, 4]) {
  %kt = permute %k, perm=[0, 2, 1]
  %s = dot %q, %kt
  %c = div %s, 2.8284271247461903
  %a = add %c, %mask
  %p = softmax %a
  %y = dot %p, %v
  return %y
})"},
    {"attention_causal", "attention", R"(graph @t(%q: f64[1, 2, 8], %k: f64[1, 2, 8], %v: f64[1, 2, 6]) {
  %kt = permute %k, perm=[0, 2, 1]
  %s = dot %q, %kt
  %mask = constant bool[1, 2, 2] [true, false, true, true]
  %a = select %mask, %s, -inf
  %p = softmax %a
  %y = dot %p, %v
  return %y
})"},
    {"batch_norm", "conv", R"(graph @t(%x: f64[1, 2, 3, 3]) {
  %w = constant f64[2, 2, 1, 1] [1, 2, 3, 4]
  %s = constant f64[2] [0.5, 2]
  %b = constant f64[2] [1, -1]
  %m = constant f64[2] [0.25, 3]
  %v = constant f64[2] [4, 9]
  %h = constant f64[1, 2, 1, 1] [1, 2]
  %c = conv %x, %w
  %d = add %c, %h
  %y = batch_norm_inference %d, %s, %b, %m, %v
  return %y
})"},
};
INSTANTIATE_TEST_SUITE_P(Exporters, Raise, testing::ValuesIn(kCases), [](const auto &info) { return info.param.name; });

TEST(RaiseWhole, BatchNormLeavesConvAndBias) {
  GraphPtr g = raise(*parse(std::string("trellis 1\n") + std::end(kCases)[-1].text, "test.trl"));
  EXPECT_EQ(count(*g, "batch_norm_inference"), 0);
  EXPECT_EQ(count(*g, "mul"), 0);
  EXPECT_EQ(count(*g, "add"), 1);
}

TEST(RaiseWhole, CausalMaskIsAnAttribute) {
  for (const Case &c : kCases)
    if (std::string_view(c.name) == "attention_causal") {
      GraphPtr g = raise(*parse(std::string("trellis 1\n") + c.text, "test.trl"));
      EXPECT_EQ(g->outputs[0].value.node->operands.size(), 3u);
      EXPECT_TRUE(g->outputs[0].value.node->attrs.flag(Attr::causal));
    }
}

// Nearly the pattern, and not the op.
TEST(RaiseWhole, LeavesOthers) {
  const std::pair<const char *, const char *> texts[] = {{"gelu", R"(graph @t(%x: f32[5]) {
  %a = div %x, 1.5
  %b = erf %a
  %c = add %b, 1.0
  %d = mul %x, %c
  %y = mul %d, 0.5
  return %y
})"},
                                                         {"softmax", R"(graph @t(%x: f64[3, 5]) {
  %m = reduce %x, kind=max, axes=[0], keep=true
  %d = sub %x, %m
  %e = exp %d
  %s = reduce %e, kind=sum, axes=[0, 1], keep=true
  %y = div %e, %s
  return %y
})"},
                                                         {"layer_norm", R"(graph @t(%x: f64[2, 3, 8]) {
  %m = mean %x, axes=[0], keep=true
  %d = sub %x, %m
  %q = pow %d, 2.0
  %v = mean %q, axes=[0], keep=true
  %e = add %v, 1e-05
  %r = sqrt %e
  %y = div %d, %r
  return %y
})"}};
  for (auto [op, text] : texts) {
    GraphPtr g = raise(*parse(std::string("trellis 1\n") + text, "test.trl"));
    EXPECT_EQ(count(*g, op), 0) << print(*g);
  }
}
} // namespace

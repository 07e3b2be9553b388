#include "ir/build.h"
#include "ir/rewrite.h"
#include <gtest/gtest.h>

using namespace trellis;

namespace {
const Pattern x = Pattern::variable(0), y = Pattern::variable(1), z = Pattern::variable(2);
const Pattern c = Pattern::constant(3);

struct Values4 {
  Graph g;
  Value a = g.input("a", {DType::f64, {2, 3}}), b = g.input("b", {DType::f64, {2, 3}}),
        d = g.input("d", {DType::f64, {2, 3}});
};

TEST(Match, TriesBothOrdersOfEveryCommutativeOp) {
  Values4 v;
  // The shared factor stands first, last, and on different sides.
  for (Value sum : {v.a * v.b + v.a * v.d, v.b * v.a + v.d * v.a, v.d * v.a + v.a * v.b}) {
    Match m;
    ASSERT_TRUE(match(x * y + x * z, sum, m));
    EXPECT_TRUE(m[x].is(v.a));
  }
  Match m;
  EXPECT_FALSE(match(x * y + x * z, v.a * v.b + v.d * v.d, m));
  EXPECT_FALSE(match(x / x, v.a / v.b, m));
}

TEST(Match, LiteralsThroughExpandAndSign) {
  Values4 v;
  Match m;
  EXPECT_TRUE(match(x + 0.0, v.a + 0.0, m));
  EXPECT_FALSE(match(x + -0.0, v.a + 0.0, m));
  EXPECT_TRUE(match(x + -0.0, v.a + -0.0, m));
  Value n = v.g.input("n", {DType::i32, {3}});
  EXPECT_TRUE(match(x + -0.0, n + 0.0, m));
  EXPECT_FALSE(match(x * 2, v.a * v.b, m));
  ASSERT_TRUE(match(x * c, v.a * 2.5, m));
  EXPECT_EQ(splat_number(m[c]), 2.5);
}

TEST(Match, AttributesAndCaptures) {
  Values4 v;
  Match m;
  Value s = sum(v.a, {1}, true);
  Pattern total = pattern::reduce(x).with({{Attr::kind, std::string("sum")}}).as(y);
  ASSERT_TRUE(match(pattern::exp(total), exp(s), m));
  EXPECT_TRUE(m[y].is(s));
  EXPECT_FALSE(match(pattern::exp(total), exp(reduce(v.a, "max", {1}, true)), m));
}

TEST(Rewriter, ReachesTheNormalFormOfWhatItMakes) {
  const std::vector<Rule> rules = {{"double-neg", -(-x), x}, {"sub-self", x + -x, 0}, {"twice", x + x, x * 2}};
  RuleSet set({&rules});
  Rewriter rewriter({{set, Exactness::exact}});
  Values4 v;
  // -(-a) + -(a + 0 a) needs the inner ones first.
  Value w = -(-v.a) + -v.a;
  EXPECT_TRUE(rewriter.normal(*w.node)[0].is(v.g.splat(v.a.type(), 0)));
  EXPECT_TRUE(rewriter.normal(*(v.b + -(-v.b)).node)[0].is(v.b * 2.0));
  EXPECT_EQ(set.fired(), (std::vector<uint64_t>{2, 1, 1}));
}

TEST(Rewriter, InexactRulesWaitForPermission) {
  const std::vector<Rule> rules = {{"cancel", (x * y) / y, x, Exactness::inexact}};
  RuleSet set({&rules});
  Values4 v;
  Value w = v.a * v.b / v.b;
  EXPECT_FALSE(set.apply(*w.node, Exactness::finite));
  EXPECT_TRUE(set.apply(*w.node, Exactness::inexact).is(v.a));
}

TEST(RuleSetDeathTest, RefusesRulesThatCannotWork) {
  const std::vector<Rule> unbound = {{"unbound", x + x, x * y}}, twice = {{"r", x + x, x}, {"r", x * x, x}},
                          rootless = {{"root", x, x}};
  EXPECT_DEATH(RuleSet({&unbound}), "y is not bound on the left");
  EXPECT_DEATH(RuleSet({&twice}), "two rules are named 'r'");
  EXPECT_DEATH(RuleSet({&rootless}), "the left side is no op");
}

TEST(RewriterDeathTest, EndlessRulesAreFound) {
  const std::vector<Rule> rules = {{"there", x + y, -(-x + -y)}, {"back", -(x + y), -x + -y}};
  RuleSet set({&rules});
  Values4 v;
  Rewriter rewriter({{set, Exactness::exact}});
  EXPECT_DEATH(rewriter.normal(*(v.a + v.b).node), "does not end");
}
} // namespace

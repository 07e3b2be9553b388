// Every rule against the interpreter: both sides on random values, special ones too.
#include "fuzz.h"
#include "ir/build.h"
#include "passes/rules/rules.h"
#include "passes/simplify.h"
#include <gtest/gtest.h>

using namespace trellis;
using namespace trellis::test;

namespace {
constexpr int64_t kWidth = 24;

struct Side {
  Graph &g;
  DType dtype;
  std::mt19937_64 &rng;
  Specials specials;
  std::array<Value, Match::kVariables> vars{};

  Value build(const Pattern &p, DType want) {
    switch (p.kind) {
    case Pattern::Kind::variable:
    case Pattern::Kind::constant: {
      Value &v = vars[size_t(p.index)];
      if (v) return v;
      Type t{want, {kWidth}};
      if (p.kind == Pattern::Kind::variable) return v = g.input("v" + std::to_string(p.index), t);
      Tensor one = random_tensor({want, {}}, rng, specials);
      for (int tries = 0; p.test && !p.test(one); one = random_tensor({want, {}}, rng, specials))
        if (++tries > 200) throw CompileError("the rule is not for this dtype");
      return v = broadcast_to(g.constant(one), t.shape);
    }
    case Pattern::Kind::literal: return g.splat({want, {kWidth}}, p.number);
    case Pattern::Kind::op: break;
    }
    Values operands;
    for (size_t i = 0; i < p.operands.size(); ++i) {
      bool condition = p.op == Op::select && i == 0;
      operands.push_back(build(p.operands[i], condition ? DType::boolean : want));
    }
    return g.make(p.op, operands, p.attrs);
  }
};

// An arithmetic rule's left side is made of elementwise ops without attributes, so it can be built as it
// stands.
bool is_arithmetic(const Pattern &p) {
  if (p.kind != Pattern::Kind::op) return true;
  if (info(p.op).kind != OpKind::elementwise || info(p.op).attrs.count) return false;
  return std::all_of(p.operands.begin(), p.operands.end(), is_arithmetic);
}

TEST(Rules, ArithmeticSidesAreEqual) {
  std::mt19937_64 rng(1);
  const RuleSet &set = simplify_rules();
  const DType dtypes[] = {DType::f32, DType::f64, DType::f16, DType::bf16, DType::i8,
                          DType::i32, DType::i64, DType::u8,  DType::u64,  DType::boolean};
  size_t rules = 0;
  for (const Rule *r : set.rules()) {
    if (!is_arithmetic(r->left)) continue;
    ++rules;
    int fired = 0;
    Specials specials = r->exactness == Exactness::exact    ? Specials::all
                        : r->exactness == Exactness::finite ? Specials::zeros
                                                            : Specials::none;
    for (DType dtype : dtypes)
      for (int trial = 0; trial < 20; ++trial) {
        Graph g;
        Value left;
        try {
          Side side{g, dtype, rng, specials};
          left = side.build(r->left, dtype);
        } catch (const CompileError &) {
          continue; // the op is not for this dtype
        }
        if (r->domain == Domain::floats && !is_float(left.dtype())) continue;
        if (r->domain == Domain::integers && !is_integer(left.dtype())) continue;
        std::vector<Rule> one{*r};
        RuleSet alone({&one});
        Value right = alone.apply(*left.node, Exactness::inexact);
        if (!right) continue;
        ++fired;
        g.outputs = {{"left", left}, {"right", right}};
        Inputs inputs;
        for (Value v : g.inputs()) inputs[v.node->attrs.word(Attr::name)] = random_tensor(v.type(), rng, specials);
        std::vector<Tensor> y = evaluate(g, inputs);
        bool ok = r->exactness == Exactness::exact    ? same_bits(y[0], y[1])
                  : r->exactness == Exactness::finite ? close(y[0], y[1], 0)
                                                      : close(y[0], y[1],
                                                              dtype == DType::f64   ? 1e-13
                                                              : dtype == DType::f32 ? 1e-5
                                                                                    : 0.1);
        ASSERT_TRUE(ok) << r->name << " on " << left.type().str() << "\nleft  " << text(y[0]) << "\nright "
                        << text(y[1]);
      }
    EXPECT_GT(fired, 0) << r->name << " never fired";
  }
  EXPECT_GT(rules, 30u);
}

TEST(Rules, CastsOfCasts) {
  std::mt19937_64 rng(2);
  for (int a = 0; a < kDTypeCount; ++a)
    for (int b = 0; b < kDTypeCount; ++b)
      for (int c = 0; c < kDTypeCount; ++c) {
        auto g = std::make_unique<Graph>();
        Value x = g->input("x", {DType(a), {64}});
        g->outputs = {{"y", cast(cast(x, DType(b)), DType(c))}};
        Inputs in{{"x", random_tensor(x.type(), rng, Specials::all)}};
        std::vector<Tensor> before = evaluate(*g, in);
        g = simplify(*g);
        ASSERT_TRUE(same_bits(before[0], evaluate(*g, in)[0]))
            << name(DType(a)) << " " << name(DType(b)) << " " << name(DType(c));
      }
}

// Random chains of movement and reductions: simplified they have the same elements.
class Chain {
public:
  Chain(Graph &g, std::mt19937_64 &rng) : g(g), rng(rng) {}
  int64_t pick(int64_t lo, int64_t hi) { return lo + int64_t(rng() % uint64_t(hi - lo + 1)); }
  Value step(Value v) {
    std::vector<int64_t> dims = dims_of(v.shape());
    size_t r = dims.size();
    std::vector<int64_t> a, b, c;
    switch (pick(0, 12)) {
    case 0: { // reshape: merge, split or unit dims
      std::vector<int64_t> to;
      for (int64_t d : dims) {
        if (pick(0, 3) == 0) to.push_back(1);
        if (d % 2 == 0 && d > 2 && pick(0, 2) == 0)
          to.push_back(2), to.push_back(d / 2);
        else if (d != 1 || pick(0, 1))
          to.push_back(d);
      }
      if (to.size() > 1 && pick(0, 2) == 0) to[to.size() - 2] *= to.back(), to.pop_back();
      return to.size() > 5 ? v : g.make(Op::reshape, {v}, {{Attr::shape, shape_of(to)}});
    }
    case 1: {
      for (size_t k = 0; k < r; ++k) a.push_back(int64_t(k));
      std::shuffle(a.begin(), a.end(), rng);
      return permute(v, a);
    }
    case 2:
    case 3:
      for (int64_t &d : dims) d = d == 1 && pick(0, 1) ? pick(1, 4) : d;
      return element_count(shape_of(dims)) > 600 ? v : g.make(Op::expand, {v}, {{Attr::shape, shape_of(dims)}});
    case 4:
    case 5:
      for (int64_t d : dims) {
        int64_t s = pick(0, 3) == 0   ? -pick(1, 2)
                    : pick(0, 2) == 0 ? 2
                                      : 1,
                n = d ? pick(pick(0, 8) == 0 ? 0 : 1, (d + std::abs(s) - 1) / std::abs(s)) : 0;
        int64_t slack = d - (n ? (n - 1) * std::abs(s) + 1 : 0), first = n ? pick(0, slack) : 0;
        if (s < 0 && n) first += (n - 1) * -s;
        a.push_back(first), b.push_back(n ? first + s * n : 0), c.push_back(n ? s : 1);
      }
      return slice(v, a, b, c);
    case 6:
    case 7:
      for (int64_t d : dims) {
        int64_t lo = pick(-1, 2), hi = pick(-1, 2), in = pick(0, 4) == 0;
        if (d + (d > 1 ? d - 1 : 0) * in + lo + hi < 0) lo = hi = 0;
        a.push_back(lo), b.push_back(hi), c.push_back(in);
      }
      return element_count(v.shape()) > 100 ? v : pad(v, a, b, c, g.scalar(v.dtype(), pick(0, 2) ? 0 : 3));
    case 8:
    case 9:
    case 10: {
      if (!r) return v;
      for (size_t k = 0; k < r; ++k)
        if (pick(0, 2) == 0) a.push_back(int64_t(k));
      const char *kinds[] = {"sum", "max", "min", "prod"};
      return g.make(Op::reduce, {v},
                    {{Attr::kind, std::string(kinds[pick(0, 3)])}, {Attr::axes, a}, {Attr::keep, bool(pick(0, 1))}});
    }
    case 11: return pick(0, 1) ? max(v, g.splat(v.type(), 1)) : v * g.splat(v.type(), 2);
    default: return elementwise(Op::add, {v, v});
    }
  }

private:
  Graph &g;
  std::mt19937_64 &rng;
};

TEST(Rules, MovementKeepsElements) {
  std::mt19937_64 rng(3);
  for (int trial = 0; trial < 6000; ++trial) {
    auto g = std::make_unique<Graph>();
    Chain chain(*g, rng);
    std::vector<int64_t> dims;
    for (int64_t k = chain.pick(0, 4); k > 0; --k) dims.push_back(chain.pick(0, 2) == 0 ? 1 : chain.pick(1, 4));
    Exactness allowed = Exactness(chain.pick(0, 2));
    DType dtype = chain.pick(0, 1) ? DType::f64 : DType::i32;
    Value x = g->input("x", {dtype, shape_of(dims)});
    Type type = x.type();
    Value v = chain.pick(0, 4) ? x : g->splat(type, 2.5);
    std::string ops;
    for (int64_t k = chain.pick(1, 6); k > 0; --k) {
      v = chain.step(v);
      ops += " " + std::string(v.node->info().name) + v.type().str().substr(3);
    }
    g->outputs = {{"y", v}};
    Inputs in{{"x", random_tensor(type, rng, allowed == Exactness::exact ? Specials::all : Specials::none)}};
    Tensor before = evaluate(*g, in)[0];
    g = simplify(*g, allowed);
    Tensor after = evaluate(*g, in)[0];
    bool ok =
        allowed == Exactness::exact || dtype == DType::i32 ? same_bits(before, after) : close(before, after, 1e-12);
    ASSERT_TRUE(ok) << "trial " << trial << ", exactness " << int(allowed) << ":" << ops << "\nbefore " << text(before)
                    << "\nafter  " << text(after);
  }
  // Splats that are too large to be folded.
  auto g = std::make_unique<Graph>();
  Value wide = g->splat({DType::f64, {200, 200}}, 2);
  g->outputs = {{"a", pad(wide, {1, 1}, {1, 1}, {}, g->scalar(DType::f64, 2))}, {"b", window(wide, {3, 3}, {1, 1})}};
  g = simplify(*g);
  for (const NamedValue &o : g->outputs) EXPECT_TRUE(o.value.is(g->splat(o.value.type(), 2)));
  // Each movement rule was exercised.
  std::vector<uint64_t> fired = simplify_rules().fired();
  for (const Rule &r : movement_rules()) {
    if (r.left.op == Op::dot) continue;
    for (size_t i = 0; i < fired.size(); ++i)
      EXPECT_TRUE(simplify_rules().rules()[i]->name != r.name || fired[i] > 0) << r.name << " never fired";
  }
}

TEST(Rules, ContractionsKeepElements) {
  std::mt19937_64 rng(5);
  auto g = std::make_unique<Graph>();
  Value x = g->input("x", {DType::f64, {2, 3, 4, 5}}), w = g->input("w", {DType::f64, {5, 6}});
  Value image = g->input("image", {DType::f64, {2, 3, 5, 5}}), kernel = g->input("kernel", {DType::f64, {4, 3, 3, 3}});
  ConvOptions options;
  options.stride = {2, 1}, options.lo = {1, 0}, options.hi = {1, 0};
  g->outputs = {{"dot", dot(x, broadcast_to(w, {2, 3, 5, 6}))},
                {"conv", conv(pad(image, {0, 0, 1, 2}, {0, 0, 0, -1}), kernel, options)}};
  Inputs in;
  for (Value v : g->inputs()) in[std::string(g->name_of(v))] = random_tensor(v.type(), rng, Specials::none);
  std::vector<Tensor> before = evaluate(*g, in);
  g = simplify(*g, Exactness::finite);
  std::vector<Tensor> after = evaluate(*g, in);
  EXPECT_TRUE(same_bits(before[0], after[0]));
  EXPECT_TRUE(close(before[1], after[1], 0));
  EXPECT_EQ(g->outputs[0].value.node->op, Op::reshape);
  EXPECT_EQ(g->outputs[1].value.node->operands[0].node->op, Op::input);
}

TEST(Rules, SimplifyIsIdempotent) {
  std::mt19937_64 rng(4);
  for (int trial = 0; trial < 300; ++trial) {
    auto g = std::make_unique<Graph>();
    Chain chain(*g, rng);
    Value v = g->input("x", {DType::f64, {2, 1, 4}});
    for (int k = 0; k < 6; ++k) v = chain.step(v);
    g->outputs = {{"y", v}};
    g = simplify(*g, Exactness::inexact);
    size_t once = g->reachable().size();
    std::vector<uint64_t> before = simplify_rules().fired();
    g = simplify(*g, Exactness::inexact);
    EXPECT_EQ(g->reachable().size(), once);
    EXPECT_EQ(before, simplify_rules().fired()) << "trial " << trial;
  }
}
} // namespace

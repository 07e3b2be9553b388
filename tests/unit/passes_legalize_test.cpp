#include "ir/build.h"
#include "ir/eval.h"
#include "ir/verify.h"
#include "passes/legalize.h"
#include "tests/unit/lane.h"
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <random>

using namespace trellis;
using test::Lane;

namespace {

Type vector_of(DType t, int64_t n) { return {t, {Dim(n)}}; }

int count(const Graph &g, Op op) {
  int n = 0;
  for (const Node *node : g.reachable()) n += node->op == op;
  return n;
}

/// The legalized graph of one function of f32, f64 or f16 operands, run by the interpreter.
Tensor run(const std::function<Value(Values)> &f, std::vector<Tensor> x, const LegalizeOptions &o, bool legal = true) {
  Graph g;
  Values in;
  for (size_t i = 0; i < x.size(); ++i) in.push_back(g.input("x" + std::to_string(i), x[i].type()));
  g.outputs.push_back({"y", f(in)});
  return legal ? evaluate(*legalize(g, o), x)[0] : evaluate(g, x)[0];
}

template <class T> std::vector<T> points() {
  std::mt19937_64 random(3);
  std::vector<T> v{T(0),
                   T(-0.0),
                   T(1),
                   T(-1),
                   T(INFINITY),
                   T(-INFINITY),
                   T(NAN),
                   std::numeric_limits<T>::denorm_min(),
                   std::numeric_limits<T>::max(),
                   -std::numeric_limits<T>::min()};
  for (int i = 0; i < 500; ++i) {
    double u = std::ldexp(double(int64_t(random())), -63);
    for (double scale : {1.0, 20.0, 800.0, 2e5}) v.push_back(T(u * scale));
    v.push_back(sizeof(T) == 4 ? T(std::bit_cast<float>(uint32_t(random()))) : T(std::bit_cast<double>(random())));
  }
  return v;
}

/// Bit for bit, NaN apart.
template <class T> void expect_same(const Tensor &got, const std::vector<T> &want, const char *what) {
  auto y = got.as<T>();
  ASSERT_EQ(y.size(), want.size());
  int failures = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    bool same = std::isnan(y[i]) ? std::isnan(want[i]) : std::memcmp(&y[i], &want[i], sizeof(T)) == 0;
    if (!same && failures++ < 3) ADD_FAILURE() << what << " at " << i << ": " << y[i] << ", expected " << want[i];
  }
}

struct Function {
  Op op;
  Lane<float, false> (*f32)(Lane<float, false>);
  Lane<double, true> (*f64)(Lane<double, true>);
};
#define FUNCTION(name) {Op::name, elementary::name, elementary::name}
const Function kFunctions[] = {FUNCTION(exp), FUNCTION(expm1), FUNCTION(log), FUNCTION(log1p), FUNCTION(tanh),
                               FUNCTION(erf), FUNCTION(sin),   FUNCTION(cos), FUNCTION(atan),  FUNCTION(sigmoid)};
#undef FUNCTION

// The interpreter computes in double and rounds: sums, products and quotients of f32 are then exact, fma of
// f64 too.
TEST(Legalize, NodesComputeWhatTheTemplatesDo) {
  auto xf = points<float>();
  auto xd = points<double>();
  Tensor tf = Tensor::of<float>(DType::f32, {int64_t(xf.size())}, xf),
         td = Tensor::of<double>(DType::f64, {int64_t(xd.size())}, xd);
  for (const Function &f : kFunctions) {
    auto node = [&](Values x) { return elementwise(f.op, {x[0]}); };
    std::vector<float> yf;
    std::vector<double> yd;
    for (float x : xf) yf.push_back(f.f32(x).v);
    for (double x : xd) yd.push_back(f.f64(x).v);
    expect_same(run(node, {tf}, {.fma = false}), yf, std::string(name(f.op)).c_str());
    expect_same(run(node, {td}, {}), yd, std::string(name(f.op)).c_str());
  }
}

TEST(Legalize, PowNodes) {
  auto x = points<double>(), y = x;
  std::mt19937 random(4);
  std::shuffle(y.begin(), y.end(), random);
  std::vector<double> want;
  for (size_t i = 0; i < x.size(); ++i)
    want.push_back(elementary::pow(Lane<double, true>(x[i]), Lane<double, true>(y[i])).v);
  int64_t n = int64_t(x.size());
  expect_same(run([](Values v) { return pow(v[0], v[1]); },
                  {Tensor::of<double>(DType::f64, {n}, x), Tensor::of<double>(DType::f64, {n}, y)}, {}),
              want, "pow");
}

TEST(Legalize, NothingElementaryIsLeft) {
  Graph g;
  Value x = g.input("x", vector_of(DType::f32, 3)), h = g.input("h", {DType::f16, {Dim(2), Dim(2)}}),
        s = g.input("s", {DType::f64, {}});
  for (const Function &f : kFunctions) {
    std::string n(name(f.op));
    g.outputs.push_back({n, elementwise(f.op, {x})});
    g.outputs.push_back({n + ".half", elementwise(f.op, {h})});
    g.outputs.push_back({n + ".scalar", elementwise(f.op, {s})});
    EXPECT_TRUE(legalizes(*g.outputs.back().value.node));
  }
  g.outputs.push_back({"pow", pow(x, x)});
  GraphPtr l = legalize(g);
  verify(*l);
  for (const Node *n : l->reachable()) EXPECT_FALSE(legalizes(*n)) << name(n->op);
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    EXPECT_EQ(l->outputs[i].name, g.outputs[i].name);
    EXPECT_EQ(l->outputs[i].value.type(), g.outputs[i].value.type());
  }
}

// --- fma
// --------------------------------------------------------------------------------------------------------

struct Fma : testing::Test {
  Graph g;
  Type t = vector_of(DType::f32, 4);
  Value a = g.input("a", t), b = g.input("b", t), c = g.input("c", t);
  GraphPtr legal(Values outputs, LegalizeOptions o = {}) {
    for (size_t i = 0; i < outputs.size(); ++i) g.outputs.push_back({"y" + std::to_string(i), outputs[i]});
    return legalize(g, o);
  }
};

TEST_F(Fma, FromProductAndSum) {
  GraphPtr l = legal({a * b + c});
  EXPECT_EQ(count(*l, Op::fma), 1);
  EXPECT_EQ(count(*l, Op::mul), 0);
  EXPECT_EQ(count(*l, Op::add), 0);
}
TEST_F(Fma, FromDifferences) {
  GraphPtr l = legal({a * b - c, c - a * b});
  EXPECT_EQ(count(*l, Op::fma), 2);
  EXPECT_EQ(count(*l, Op::mul), 0);
}
TEST_F(Fma, DoesNotDependOnWhatElseUsesTheProduct) {
  Value p = a * b;
  GraphPtr l = legal({p + c, p});
  EXPECT_EQ(count(*l, Op::fma), 1);
  EXPECT_EQ(count(*l, Op::mul), 1);
  EXPECT_EQ(l->outputs[0].value.node->op, Op::fma);
}
TEST_F(Fma, OneOfTwoProducts) {
  GraphPtr l = legal({a * b + b * c});
  EXPECT_EQ(count(*l, Op::fma), 1);
  EXPECT_EQ(count(*l, Op::mul), 1);
}
TEST_F(Fma, AProductLessItselfStaysZero) {
  Value p = a * b;
  EXPECT_EQ(count(*legal({p - p}), Op::fma), 0);
}
TEST_F(Fma, NotOfElementaryResults) { EXPECT_EQ(legal({exp(a) + c})->outputs[0].value.node->op, Op::add); }
TEST_F(Fma, NoneWithoutTheInstruction) { EXPECT_EQ(count(*legal({a * b + c, exp(a)}, {.fma = false}), Op::fma), 0); }
TEST_F(Fma, NoneOfIntegersOrHalves) {
  Value i = g.input("i", vector_of(DType::i32, 4)), h = g.input("h", vector_of(DType::bf16, 4));
  EXPECT_EQ(count(*legal({i * i + i, h * h + h}), Op::fma), 0);
}
TEST_F(Fma, RoundsOnceWithoutTheInstruction) {
  std::mt19937_64 random(5);
  std::vector<float> x, y, z, want;
  for (int i = 0; i < 20000; ++i) {
    auto draw = [&] { return float(std::ldexp(double(int64_t(random())), -63 + int(random() % 20))); };
    float p = draw(), q = draw(), r = i % 2 ? draw() : -p * q * (1 + float(i % 7 - 3) * 0x1p-23f);
    x.push_back(p), y.push_back(q), z.push_back(r), want.push_back(std::fma(p, q, r));
  }
  // Halfway between two floats but for the last bits of the product: rounding twice errs here.
  x.push_back(1 + 0x1p-12f), y.push_back(1 + 0x1p-12f), z.push_back(0x1p-60f),
      want.push_back(std::fma(x.back(), y.back(), z.back()));
  auto t = [](const std::vector<float> &v) { return Tensor::of<float>(DType::f32, {int64_t(v.size())}, v); };
  auto f = [](Values v) { return fma(v[0], v[1], v[2]); };
  expect_same(run(f, {t(x), t(y), t(z)}, {.fma = false}), want, "fma");
}

// --- rounding and halves
// ----------------------------------------------------------------------------------------

TEST(Legalize, RoundingWithoutInstructions) {
  auto x = points<double>();
  for (double v : {0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 0x1p52, 0x1p52 + 1, -0x1p53, 4503599627370495.5})
    x.push_back(v);
  Tensor t = Tensor::of<double>(DType::f64, {int64_t(x.size())}, x);
  std::vector<double> down, even;
  for (double v : x) down.push_back(std::floor(v)), even.push_back(std::nearbyint(v));
  expect_same(run([](Values v) { return floor(v[0]); }, {t}, {.rounding = false}), down, "floor");
  expect_same(run([](Values v) { return round(v[0]); }, {t}, {.rounding = false}), even, "round");
}

TEST(Legalize, EveryF16ToF32AndBack) {
  Tensor h(DType::f16, {65536});
  std::vector<float> wide;
  for (uint32_t i = 0; i < 65536; ++i) h.as<uint16_t>()[i] = uint16_t(i), wide.push_back(f16_to_f32(uint16_t(i)));
  auto widen = [](Values v) { return cast(v[0], DType::f32); };
  expect_same(run(widen, {h}, {.half = false}), wide, "f16 to f32");
  auto narrow = [](Values v) { return cast(v[0], DType::f16); };
  Tensor back = run(narrow, {Tensor::of<float>(DType::f32, {65536}, wide)}, {.half = false});
  for (uint32_t i = 0; i < 65536; ++i) EXPECT_TRUE(std::isnan(wide[i]) || back.as<uint16_t>()[i] == i) << i;
}

template <class T> void narrows(DType from) {
  std::vector<T> x = points<T>();
  // Halfway points of f16, and a little beside them.
  for (uint32_t i = 0; i < 0x7c00; i += 37) {
    double a = f16_to_f32(uint16_t(i)), b = i == 0x7bff ? 65536 : f16_to_f32(uint16_t(i + 1)), middle = (a + b) / 2;
    for (double s : {1.0, -1.0})
      for (T d : {T(0), T(INFINITY), T(-INFINITY)})
        x.push_back(d == 0 ? T(s * middle) : std::nextafter(T(s * middle), d));
  }
  Tensor t = Tensor::of<T>(from, {int64_t(x.size())}, x);
  Tensor y = run([](Values v) { return cast(v[0], DType::f16); }, {t}, {.half = false});
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_TRUE(std::isnan(x[i]) || y.as<uint16_t>()[i] == f64_to_f16(double(x[i]))) << x[i];
}
TEST(Legalize, NarrowsToF16RoundingOnce) {
  narrows<float>(DType::f32);
  narrows<double>(DType::f64);
}

TEST(Legalize, HalfArithmeticRoundsAsTheInterpreterDoes) {
  for (DType t : {DType::f16, DType::bf16}) {
    std::mt19937 random(6);
    Tensor x(t, {4096}), y(t, {4096});
    for (auto &v : x.as<uint16_t>()) v = uint16_t(random());
    for (auto &v : y.as<uint16_t>()) v = uint16_t(random());
    std::function<Value(Values)> functions[] = {
        [](Values v) { return v[0] + v[1]; },
        [](Values v) { return v[0] * v[1] + v[0]; },
        [](Values v) { return v[0] / v[1]; },
        [](Values v) { return max(v[0], -v[1]); },
        [](Values v) { return sqrt(abs(v[0])); },
        [](Values v) { return select(lt(v[0], v[1]), v[0], v[1]); },
        [](Values v) { return cast(v[0], DType::f64) * cast(v[1], DType::f64); },
    };
    for (auto &f : functions)
      for (bool half : {true, false}) {
        Tensor got = run(f, {x, y}, {.half = half}), want = run(f, {x, y}, {}, false);
        for (int64_t i = 0; i < want.size(); ++i)
          ASSERT_TRUE(std::isnan(want.get(i))
                          ? std::isnan(got.get(i))
                          : got.get(i) == want.get(i) && std::signbit(got.get(i)) == std::signbit(want.get(i)))
              << x.get(i) << ", " << y.get(i) << ": " << got.get(i) << ", expected " << want.get(i);
      }
  }
}

TEST(Legalize, HalfReductionsRoundOnce) {
  Tensor x(DType::f16, {3001});
  for (int i = 0; i < 3001; ++i) x.set(i, 1 + i % 3);
  // 6001, and f16 has every fourth integer there; a sum that rounds at every step sticks at 4096.
  EXPECT_EQ(run([](Values v) { return sum(v[0]); }, {x}, {}).get(0), 6000);
}

TEST(Legalize, RefusesUnknownWords) {
  EXPECT_FALSE(legalize_options({"no_fma"}).fma);
  EXPECT_THROW(legalize_options({"no_sse"}), CompileError);
}

} // namespace

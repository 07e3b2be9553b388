// Elementary functions in native code: bit for bit what their templates compute on single numbers, on a
// machine with fused multiply-add and on the x86 baseline without.
#include "compiler/compile.h"
#include "ir/build.h"
#include "tests/unit/lane.h"
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace trellis;
using test::Lane;

namespace {

template <class T> std::vector<T> points() {
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
  std::mt19937_64 random(7);
  for (int i = 0; i < 400; ++i) {
    double u = std::ldexp(double(int64_t(random())), -63);
    for (double scale : {1.0, 20.0, 800.0, 131072.0}) v.push_back(T(u * scale));
    v.push_back(std::bit_cast<T>(std::conditional_t < sizeof(T) == 4, uint32_t, uint64_t > (random())));
  }
  return v;
}

template <class L> struct Function {
  Op op;
  L (*f)(L);
};

template <class T, bool Fused> void check(const char *target, DType t) {
  using L = Lane<T, Fused>;
#define FUNCTION(name) {Op::name, elementary::name<L>}
  const Function<L> functions[] = {FUNCTION(exp), FUNCTION(expm1), FUNCTION(log), FUNCTION(log1p), FUNCTION(tanh),
                                   FUNCTION(erf), FUNCTION(sin),   FUNCTION(cos), FUNCTION(atan),  FUNCTION(sigmoid)};
#undef FUNCTION
  std::vector<T> x = points<T>();
  int64_t n = int64_t(x.size());
  Graph g;
  Value in = g.input("x", {t, {Dim(n)}});
  for (const auto &f : functions) g.outputs.push_back({std::string(name(f.op)), elementwise(f.op, {in})});
  Value raised = pow(in, slice(in, {n - 1}, {-1}, {-1}));
  g.outputs.push_back({"pow", raised});
  CompileOptions options;
  options.target = target;
  std::vector<Tensor> y = Session(compile(g, options)).run(std::vector<Tensor>{Tensor::of<T>(t, {n}, x)});
  for (size_t k = 0; k < y.size(); ++k) {
    int failures = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      T got = y[k].template as<T>()[i];
      T want = k < std::size(functions) ? functions[k].f(x[i]).v : elementary::pow(L(x[i]), L(x[x.size() - 1 - i])).v;
      bool libm = (g.outputs[k].name == "sin" || g.outputs[k].name == "cos") && std::fabs(x[i]) > 131072;
      bool same = std::isnan(want) ? std::isnan(got)
                  : libm           ? std::fabs(got - want) <= 2 * std::numeric_limits<T>::epsilon() * std::fabs(want)
                                   : std::memcmp(&got, &want, sizeof(T)) == 0;
      if (!same && failures++ < 3)
        ADD_FAILURE() << g.outputs[k].name << " of " << x[i] << " on " << target << ": " << got << ", expected "
                      << want;
    }
  }
}

TEST(CompiledElementary, Fused) {
  if (!make_target("host").fma) GTEST_SKIP() << "this machine has no fused multiply-add";
  check<float, true>("host", DType::f32);
  check<double, true>("host", DType::f64);
}
TEST(CompiledElementary, Baseline) {
#ifndef __x86_64__
  GTEST_SKIP() << "not an x86 machine";
#endif
  check<float, false>("x86-64", DType::f32);
  check<double, false>("x86-64", DType::f64);
}

} // namespace

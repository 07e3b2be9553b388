/// Kernels built by hand and run as machine code: what the emitter's tests share.
#pragma once
#include "compiler/llvm/linked_code.h"
#include "compiler/llvm/program_emit.h"
#include "ir/build.h"
#include "ir/diag.h"
#include "runtime/program.h"
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <random>

namespace trellis::emit_test {

inline const std::vector<std::string> kRunnable{"host", "x86-64"};
inline const std::vector<std::string> kAll{"host", "x86-64", "x86-64-v3", "x86-64-v4", "aarch64"};
inline constexpr int64_t kExtents[] = {1, 3, 7, 8, 17, 65};
using L = Stmt::Loop;

inline std::vector<Stmt> one(Stmt s) {
  std::vector<Stmt> all;
  all.push_back(std::move(s));
  return all;
}

/// Statements that run in order: those of a kernel's top level do not.
inline std::vector<Stmt> in_order(Kernel &k, std::vector<Stmt> all) {
  return one(make_loop(L::parallel, k.var(1), std::move(all)));
}

/// A kernel as a program of its own; every target can emit it, and the ones named run it.
class Kernels {
public:
  explicit Kernels(const std::string &target) : target_(make_target(target)) {}

  void run(Kernel k, std::vector<Tensor *> slots, int64_t begin = 0, int64_t end = 1) {
    Program p;
    p.name = "test";
    k.name = "kernel";
    p.kernels.push_back(std::move(k));
    LinkedCode code(emit_program(p, target_, 1, process_instrument()).objects);
    auto f = reinterpret_cast<trellis_kernel>(code.symbol("test.kernel"));
    std::vector<void *> args;
    for (Tensor *t : slots) args.push_back(t->data());
    f(args.data(), begin, end);
  }

private:
  Target target_;
};

inline int slot(Kernel &k, DType t, int64_t size) {
  return k.add_buffer({fmt::format("s{}", k.buffers.size()), t, Space::slot, size});
}

/// Values that matter, then random ones.
inline Tensor samples(DType t, int64_t n, unsigned seed) {
  Tensor x(t, {n});
  std::mt19937_64 random(seed);
  if (is_float(t)) {
    double inf = INFINITY;
    std::vector<double> special{0.0,           -0.0,
                                1.0,           -1.0,
                                0.5,           1.5,
                                2.5,           -0.5,
                                -2.5,          0.3,
                                -0.3,          inf,
                                -inf,          NAN,
                                1e-7,          3e-8,
                                65504,         65519.9,
                                65520,         70000,
                                1e-40,         6.1e-5,
                                5.9e-5,        8388607.5,
                                8388609,       4503599627370497.5,
                                127.5,         128,
                                255.5,         300,
                                -129,          -32769,
                                2147483647,    2147483648.0,
                                -2147483649.0, 9.3e18,
                                -9.3e18,       1.9e19,
                                4294967296.0,  1.0009765625,
                                1.00048828125};
    std::normal_distribution<double> normal(0, 10);
    for (int64_t i = 0; i < n; ++i)
      x.set(i, size_t(i) < special.size() ? special[(size_t(i) + seed * 7) % special.size()] : normal(random));
  } else {
    int bits = 8 * size_of(t);
    std::vector<int64_t> special{0,
                                 1,
                                 -1,
                                 2,
                                 7,
                                 8,
                                 31,
                                 32,
                                 33,
                                 63,
                                 64,
                                 int64_t(1) << (bits - 1),
                                 int64_t((uint64_t(1) << (bits - 1)) - 1),
                                 bits,
                                 bits - 1,
                                 -2,
                                 3};
    for (int64_t i = 0; i < n; ++i)
      x.set_int(i, size_t(i) < special.size() * special.size()
                       ? special[seed % 2 ? size_t(i) % special.size() : size_t(i) / special.size() % special.size()]
                       : int64_t(random()));
  }
  return x;
}

inline bool same_value(const Tensor &a, const Tensor &b, int64_t i) {
  if (!is_float(a.dtype())) return a.get_int(i) == b.get_int(i);
  double x = a.get(i), y = b.get(i);
  return std::isnan(x) ? std::isnan(y) : x == y && std::signbit(x) == std::signbit(y);
}

inline void expect_same(const Tensor &got, const Tensor &want, const std::string &what) {
  ASSERT_EQ(got.size(), want.size());
  int shown = 0;
  for (int64_t i = 0; i < got.size() && shown < 3; ++i)
    if (!same_value(got, want, i)) {
      auto show = [&](const Tensor &t) {
        return is_float(t.dtype()) ? fmt::format("{}", t.get(i)) : fmt::format("{}", t.get_int(i));
      };
      ADD_FAILURE() << what << " element " << i << ": " << show(got) << ", but should be " << show(want);
      ++shown;
    }
}

/// out[i] = op(x0[i], x1[i], ...) in a vector loop.
inline Kernel pointwise(Op op, const std::vector<DType> &from, DType to, int64_t n, int lanes) {
  Kernel k;
  std::vector<int> in;
  for (DType t : from) in.push_back(slot(k, t, n));
  int out = slot(k, to, n);
  IndexVar i = k.var(n);
  std::vector<const Expr *> args;
  for (int b : in) args.push_back(k.load(b, i));
  Stmt s = make_store(out, i, k.op(op, args, to));
  k.body =
      one(lanes > 1 ? make_loop(L::vector, i, one(std::move(s)), lanes) : make_loop(L::serial, i, one(std::move(s))));
  return k;
}

} // namespace trellis::emit_test

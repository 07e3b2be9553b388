// Addresses, guards, masks, registers and loops of trees built by hand, against scalar code of the test's
// own.
#include "compiler/llvm/kernel_key.h"
#include "tests/unit/emit_kernels.h"

using namespace trellis;
using namespace trellis::emit_test;

// y[i] = x[a i + c], with lanes that step by a.
TEST(Emit, StridesOfLoadsAndStores) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::f64, DType::i8})
      for (int64_t stride : {-5, -3, -2, -1, 0, 1, 2, 3, 4, 5})
        for (int64_t n : kExtents)
          for (bool scatter : {false, true}) {
            int64_t span = (n - 1) * std::abs(stride) + 1, first = stride < 0 ? span - 1 : 0;
            Kernel k;
            int in = slot(k, t, scatter ? n : span), out = slot(k, t, scatter ? span : n);
            IndexVar i = k.var(n);
            Index far = Index(i) * stride + first;
            Stmt s = scatter ? make_store(out, far, k.load(in, i)) : make_store(out, i, k.load(in, far));
            k.body = one(make_loop(L::vector, i, one(std::move(s)), 8));
            Tensor x = samples(t, scatter ? n : span, 4), got(t, {scatter ? span : n}), want(t, {scatter ? span : n});
            Kernels(target).run(std::move(k), {&x, &got});
            for (int64_t j = 0; j < n; ++j) {
              int64_t at = first + stride * j, to = scatter ? at : j, from = scatter ? j : at;
              is_float(t) ? want.set(to, x.get(from)) : want.set_int(to, x.get_int(from));
            }
            expect_same(
                got, want,
                fmt::format("{} stride {} of {} {} on {}", name(t), stride, n, scatter ? "stores" : "loads", target));
          }
}

// A padded window: y[i] = lo <= i + shift < hi ? x[i + shift] : -1, the buffer no larger than what the guard
// lets in.
TEST(Emit, GuardedLoads) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::i8, DType::boolean})
      for (int64_t n : kExtents)
        for (int64_t shift : {-3, 0, 2})
          for (int64_t stride : {1, -1, 2, 3}) {
            int64_t size = std::max<int64_t>(1, n - 2);
            Kernel k;
            int in = slot(k, t, size), out = slot(k, t, n);
            IndexVar i = k.var(n);
            Index at = Index(i) * stride + (stride < 0 ? n - 1 : 0) + shift;
            const Expr *v = k.guarded({{at, 0, size}}, k.load(in, at), k.constant(t, 1));
            k.body = one(make_loop(L::vector, i, one(make_store(out, i, v)), 8));
            Tensor x = samples(t, size, 4), got(t, {n}), want(t, {n});
            Kernels(target).run(std::move(k), {&x, &got});
            for (int64_t j = 0; j < n; ++j) {
              int64_t a = j * stride + (stride < 0 ? n - 1 : 0) + shift;
              if (a < 0 || a >= size)
                want.set(j, 1);
              else
                is_float(t) ? want.set(j, x.get(a)) : want.set_int(j, x.get_int(a));
            }
            expect_same(got, want,
                        fmt::format("{} of {} shifted by {} step {} on {}", name(t), n, shift, stride, target));
          }
}

// Rows outside are a scalar guard, columns a guard a lane; both at once, with a divided index.
TEST(Emit, ScalarAndLaneGuardsTogether) {
  for (const std::string &target : kRunnable)
    for (int64_t w : kExtents) {
      int64_t h = 5;
      Kernel k;
      int in = slot(k, DType::f32, h * w), out = slot(k, DType::f32, (h + 2) * (w + 2));
      IndexVar y = k.var(h + 2), x = k.var(w + 2);
      Index r = Index(y) - 1, c = Index(x) - 1;
      const Expr *v = k.guarded({{r, 0, h}, {c, 0, w}}, k.load(in, r * w + c), k.constant(DType::f32, 0));
      const Expr *place = k.op(Op::cast, {k.index(Index(x) / 3 + (Index(y) % 2) * 10)}, DType::f32);
      v = k.op(Op::add, {v, place}, DType::f32);
      k.body = one(make_loop(L::serial, y,
                             one(make_loop(L::vector, x, one(make_store(out, Index(y) * (w + 2) + Index(x), v)), 8))));
      Tensor a = samples(DType::f32, h * w, 9), got(DType::f32, {(h + 2) * (w + 2)}), want = got.clone();
      Kernels(target).run(std::move(k), {&a, &got});
      for (int64_t i = 0; i < h + 2; ++i)
        for (int64_t j = 0; j < w + 2; ++j) {
          bool inside = i >= 1 && i <= h && j >= 1 && j <= w;
          want.set(i * (w + 2) + j, (inside ? a.get((i - 1) * w + j - 1) : 0) + double(j / 3 + i % 2 * 10));
        }
      expect_same(got, want, fmt::format("width {} on {}", w, target));
    }
}

// Stores that happen in some lanes, under a guard and under a computed condition; what is not stored stays.
TEST(Emit, ConditionalStores) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::i8, DType::f64})
      for (int64_t n : kExtents)
        for (int64_t stride : {1, -1, 2}) {
          int64_t span = (n - 1) * std::abs(stride) + 1;
          Kernel k;
          int in = slot(k, t, n), out = slot(k, t, span);
          IndexVar i = k.var(n);
          Stmt s = make_store(out, Index(i) * stride + (stride < 0 ? span - 1 : 0), k.load(in, i));
          s.guards = {{Index(i), 1, n - 1}};
          s.when = k.op(Op::lt, {k.constant(t, 0), k.load(in, i)}, DType::boolean);
          k.body = one(make_loop(L::vector, i, one(std::move(s)), 8));
          Tensor x = samples(t, n, 6), got(t, {span}), want(t, {span});
          for (Tensor *f : {&got, &want})
            for (int64_t j = 0; j < span; ++j) f->set(j, -3);
          Kernels(target).run(std::move(k), {&x, &got});
          for (int64_t j = 1; j < n - 1; ++j)
            if (x.get(j) > 0) want.set(j * stride + (stride < 0 ? span - 1 : 0), x.get(j));
          expect_same(got, want, fmt::format("{} of {} step {} on {}", name(t), n, stride, target));
        }
}

// The value of a store that does not happen reads nothing: the source ends where the guard does.
TEST(Emit, GuardedStoresDoNotReadBeyond) {
  int64_t n = 17;
  Kernel k;
  int in = slot(k, DType::f32, 9), out = slot(k, DType::f32, n);
  IndexVar i = k.var(n);
  Stmt s = make_store(out, i, k.load(in, i));
  s.guards = {{Index(i), 0, 9}};
  k.body = one(make_loop(L::vector, i, one(std::move(s)), 8));
  Program p;
  p.name = "test";
  p.kernels.push_back(std::move(k));
  std::string text = program_text(p, make_target("x86-64-v3"), CodeText::llvm);
  EXPECT_NE(text.find("llvm.masked.load"), std::string::npos) << text;
}

// y[i] = x[index[i]], and y[index[i]] = x[i] in order: the last of equal indices stays.
TEST(Emit, GatherAndScatter) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::u16, DType::f64})
      for (int64_t n : kExtents)
        for (bool scatter : {false, true}) {
          int64_t m = 11;
          Kernel k;
          int in = slot(k, t, scatter ? n : m), index = slot(k, DType::i32, n), out = slot(k, t, scatter ? m : n);
          IndexVar i = k.var(n);
          const Expr *at = k.op(Op::cast, {k.load(index, i)}, DType::i64);
          Stmt s = scatter ? make_store(out, 1, k.load(in, i)) : make_store(out, i, k.load(in, 1, at));
          if (scatter) s.dynamic = at;
          k.body = one(make_loop(L::vector, i, one(std::move(s)), 8));
          Tensor x = samples(t, scatter ? n : m, 4), where(DType::i32, {n}), got(t, {scatter ? m : n}),
                 want = got.clone();
          for (int64_t j = 0; j < n; ++j) where.set_int(j, j * 7 % (m - 1));
          Kernels(target).run(std::move(k), {&x, &where, &got});
          for (int64_t j = 0; j < n; ++j) {
            int64_t a = where.get_int(j) + 1, from = scatter ? j : a, to = scatter ? a : j;
            is_float(t) ? want.set(to, x.get(from)) : want.set_int(to, x.get_int(from));
          }
          expect_same(got, want, fmt::format("{} {} of {} on {}", scatter ? "scatter" : "gather", name(t), n, target));
        }
}

// A sum in a register of 8 lanes over a tail that fills it in part, then over the lanes pairwise.
TEST(Emit, RegistersAndLanes) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::f64, DType::i32, DType::bf16})
      for (int64_t n : kExtents)
        for (int64_t registers : {1, 3}) {
          Kernel k;
          std::vector<Stmt> body;
          int in = slot(k, t, n * registers), out = slot(k, t, 1);
          int acc = k.add_buffer({"acc", t, Space::reg, 8 * registers, 8});
          IndexVar z = k.var(8 * registers);
          body.push_back(make_loop(L::vector, z, one(make_store(acc, z, k.constant(t, 0))), 8, true));
          // chunks of 8: each adds to the same lanes
          IndexVar r = k.var(registers), c = k.var((n + 7) / 8), l = k.var(8);
          Index at = Index(c) * 8 + Index(l), reg = Index(r) * 8 + Index(l);
          const Expr *x = k.guarded({{at, 0, n}}, k.load(in, Index(r) * n + at), k.constant(t, 0));
          Stmt add = make_store(acc, reg, k.op(Op::add, {k.load(acc, reg), x}, t));
          body.push_back(make_loop(L::unroll, r,
                                   one(make_loop(L::serial, c, one(make_loop(L::vector, l, one(std::move(add)), 8))))));
          body.push_back(make_store(out, 0, k.lanes(acc, 0, 8 * registers, Op::add)));
          Tensor v(t, {n * registers}), got(t, {1}), want(t, {1});
          for (int64_t i = 0; i < v.size(); ++i) v.set(i, double(i % 5) - 2); // sums are exact in every dtype
          k.body = in_order(k, std::move(body));
          Kernels(target).run(std::move(k), {&v, &got});
          double sum = 0;
          for (int64_t i = 0; i < v.size(); ++i) sum += v.get(i);
          want.set(0, sum);
          expect_same(got, want, fmt::format("{} of {} x {} on {}", name(t), registers, n, target));
        }
}

TEST(Emit, TransposesRegisters) {
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f32, DType::f64, DType::i8, DType::i16, DType::f16})
      for (int n : {1, 2, 4, 8, 16}) {
        Kernel k;
        std::vector<Stmt> body;
        int in = slot(k, t, n * n), out = slot(k, t, n * n);
        int square = k.add_buffer({"square", t, Space::reg, n * n, n});
        IndexVar i = k.var(n * n), o = k.var(n * n);
        body.push_back(make_loop(L::vector, i, one(make_store(square, i, k.load(in, i))), n, true));
        body.push_back(make_transpose(square));
        body.push_back(make_loop(L::vector, o, one(make_store(out, o, k.load(square, o))), n, true));
        Tensor x = samples(t, n * n, 3), got(t, {n * n}), want(t, {n * n});
        k.body = in_order(k, std::move(body));
        Kernels(target).run(std::move(k), {&x, &got});
        for (int r = 0; r < n; ++r)
          for (int c = 0; c < n; ++c)
            std::memcpy(want.data() + (c * n + r) * size_of(t), x.data() + (r * n + c) * size_of(t),
                        size_t(size_of(t)));
        expect_same(got, want, fmt::format("{} {} x {} on {}", name(t), n, n, target));
      }
}

// A register of 8 lanes written by a loop whose last chunk is 1 to 7 lanes wide, and under a mask.
TEST(Emit, RegistersWrittenInPart) {
  for (const std::string &target : kRunnable)
    for (int64_t n = 1; n <= 16; ++n)
      for (bool conditional : {false, true}) {
        Kernel k;
        std::vector<Stmt> body;
        int in = slot(k, DType::f32, n), out = slot(k, DType::f32, 16);
        int reg = k.add_buffer({"r", DType::f32, Space::reg, 16, 8});
        IndexVar z = k.var(16), i = k.var(n), o = k.var(16);
        body.push_back(make_loop(L::vector, z, one(make_store(reg, z, k.constant(DType::f32, -7))), 8, true));
        Stmt s = make_store(reg, i, k.load(in, i));
        if (conditional) s.when = k.op(Op::lt, {k.constant(DType::f32, 0), k.load(in, i)}, DType::boolean);
        body.push_back(make_loop(L::vector, i, one(std::move(s)), 8, true));
        body.push_back(make_loop(L::vector, o, one(make_store(out, o, k.load(reg, o))), 8, true));
        Tensor x = samples(DType::f32, n, 1), got(DType::f32, {16}), want(DType::f32, {16});
        k.body = in_order(k, std::move(body));
        Kernels(target).run(std::move(k), {&x, &got});
        for (int64_t j = 0; j < 16; ++j) want.set(j, j < n && (!conditional || x.get(j) > 0) ? x.get(j) : -7);
        expect_same(got, want, fmt::format("{} of 16{} on {}", n, conditional ? " in some lanes" : "", target));
      }
}

TEST(Emit, ScratchAndLoopKinds) {
  for (const std::string &target : kRunnable)
    for (int64_t n : kExtents) {
      Kernel k; // y = (x + 1) * 2 through a strip; rows are parallel
      int64_t rows = 3;
      int in = slot(k, DType::f32, rows * n), out = slot(k, DType::f32, rows * n);
      int strip = k.add_buffer({"strip", DType::f32, Space::scratch, n});
      IndexVar p = k.var(rows), q = k.var(1), i = k.var(n), j = k.var(n);
      std::vector<Stmt> body;
      body.push_back(make_loop(
          L::vector, i,
          one(make_store(strip, i,
                         k.op(Op::add, {k.load(in, Index(p) * n + Index(i)), k.constant(DType::f32, 1)}, DType::f32))),
          8, true));
      body.push_back(
          make_loop(L::unroll, j,
                    one(make_store(out, Index(p) * n + Index(j),
                                   k.op(Op::mul, {k.load(strip, j), k.constant(DType::f32, 2)}, DType::f32)))));
      k.body = one(make_loop(L::parallel, p, one(make_loop(L::parallel, q, std::move(body)))));
      EXPECT_EQ(k.trip(), rows);
      Tensor x(DType::f32, {rows * n}), got(DType::f32, {rows * n}), want(DType::f32, {rows * n});
      for (int64_t e = 0; e < rows * n; ++e)
        x.set(e, double(e)), got.set(e, -1), want.set(e, e / n == 1 ? 2 * (double(e) + 1) : -1);
      Kernels(target).run(std::move(k), {&x, &got}, 1, 2); // the middle row alone
      expect_same(got, want, fmt::format("{} on {}", n, target));
    }
}

TEST(Emit, IndicesFloor) {
  for (const std::string &target : kRunnable) {
    int64_t n = 65;
    Kernel k;
    int out = slot(k, DType::i64, 2 * n);
    IndexVar i = k.var(n);
    Index e = Index(i) * 3 - 100;
    std::vector<Stmt> body;
    body.push_back(make_store(out, i, k.index(e / 7)));
    body.push_back(make_store(out, Index(i) + n, k.index(e % 7)));
    k.body = one(make_loop(L::vector, i, std::move(body), 4));
    Tensor got(DType::i64, {2 * n});
    Kernels(target).run(std::move(k), {&got});
    for (int64_t j = 0; j < n; ++j) {
      int64_t v = 3 * j - 100, q = int64_t(std::floor(double(v) / 7));
      EXPECT_EQ(got.get_int(j), q) << j;
      EXPECT_EQ(got.get_int(j + n), v - 7 * q) << j;
    }
  }
}

TEST(Emit, EqualKernelsAreOne) {
  Program p;
  p.name = "test";
  auto f = [](int64_t n, DType t, double c) {
    Kernel k;
    k.name = "kernel";
    int out = slot(k, t, n);
    IndexVar i = k.var(n);
    k.body = one(make_loop(L::vector, i, one(make_store(out, i, k.constant(t, c))), 8));
    return k;
  };
  p.kernels.push_back(f(8, DType::f32, 1));
  p.kernels.push_back(f(8, DType::f32, 1));
  p.kernels.back().name = "another";
  EXPECT_EQ(emit_program(p, make_target("host"), 1).stats.kernels, 1);
  p.kernels.push_back(f(9, DType::f32, 1));
  p.kernels.push_back(f(8, DType::f64, 1));
  p.kernels.push_back(f(8, DType::f32, 2));
  EXPECT_EQ(emit_program(p, make_target("host"), 1).stats.kernels, 4);
}

// a - b and b - a are one kernel whose arguments are exchanged in the table.
TEST(Emit, EqualKernelsMayOrderTheirSlotsDifferently) {
  auto f = [](bool turned) {
    Kernel k;
    k.name = "kernel";
    int out = slot(k, DType::f32, 8), a = slot(k, DType::f32, 8), b = slot(k, DType::f32, 8);
    if (turned) std::swap(a, b);
    IndexVar i = k.var(8);
    k.body = one(
        make_loop(L::vector, i, one(make_store(out, i, k.op(Op::div, {k.load(a, i), k.load(b, i)}, DType::f32))), 8));
    return k;
  };
  std::vector<Kernel> kernels;
  kernels.push_back(f(false)), kernels.push_back(f(true));
  std::vector<SharedKernel> shared = share_kernels(kernels);
  EXPECT_EQ(shared[1].kernel, 0);
  EXPECT_EQ(shared[0].args, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(shared[1].args, (std::vector<int>{0, 2, 1}));
}

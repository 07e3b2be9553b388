// Every elementwise op and conversion, in vectors and alone, against the table's own semantics.
#include "tests/unit/emit_kernels.h"

using namespace trellis;
using namespace trellis::emit_test;

namespace {

/// The table's own element semantics, rounded to the result's dtype.
void reference(Op op, const std::vector<Tensor> &x, Tensor &y) {
  const Eval &eval = info(op).eval;
  DType t = x[0].dtype();
  for (int64_t i = 0; i < y.size(); ++i) {
    if (is_float(t)) {
      double v[3];
      for (size_t a = 0; a < x.size(); ++a) v[a] = x[a].get(i);
      double r = eval.f(v);
      y.dtype() == DType::boolean ? y.set_int(i, r != 0) : y.set(i, r);
    } else if (is_signed_int(t) || t == DType::boolean) {
      int64_t v[3];
      for (size_t a = 0; a < x.size(); ++a) v[a] = x[a].get_int(i);
      y.set_int(i, eval.i(v));
    } else {
      uint64_t v[3], mask = size_of(t) == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size_of(t))) - 1;
      for (size_t a = 0; a < x.size(); ++a) v[a] = uint64_t(x[a].get_int(i)) & mask;
      y.set_int(i, int64_t(eval.u(v)));
    }
  }
}

const std::vector<DType> kFloats{DType::f32, DType::f64, DType::f16, DType::bf16};
const std::vector<DType> kInts{DType::i8, DType::i16, DType::i32, DType::i64,
                               DType::u8, DType::u16, DType::u32, DType::u64};
std::vector<DType> operator+(std::vector<DType> a, const std::vector<DType> &b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

void check_op(Op op, const std::vector<DType> &dtypes, bool truth = false) {
  int arity = info(op).arity;
  for (const std::string &target : kRunnable)
    for (DType t : dtypes)
      for (int lanes : {1, 8}) {
        int64_t n = 17 * 17 + 65;
        std::vector<Tensor> x;
        for (int a = 0; a < arity; ++a) x.push_back(samples(t, n, unsigned(a + 2)));
        DType to = truth ? DType::boolean : t;
        Tensor got(to, {n}), want(to, {n});
        std::vector<Tensor *> slots;
        for (Tensor &v : x) slots.push_back(&v);
        slots.push_back(&got);
        Kernels(target).run(pointwise(op, std::vector<DType>(size_t(arity), t), to, n, lanes), slots);
        reference(op, x, want);
        expect_same(got, want, fmt::format("{}.{} on {} by {}", name(op), name(t), target, lanes));
      }
}

} // namespace

TEST(Emit, FloatingOps) {
  for (Op op : {Op::neg, Op::abs, Op::sqrt, Op::floor, Op::round, Op::add, Op::mul, Op::div, Op::max, Op::min})
    check_op(op, kFloats);
  check_op(Op::fma, kFloats);
  for (Op op : {Op::lt, Op::eq}) check_op(op, kFloats, true);
}

TEST(Emit, IntegerOps) {
  for (Op op :
       {Op::add, Op::mul, Op::div, Op::rem, Op::max, Op::min, Op::bit_and, Op::bit_or, Op::bit_xor, Op::shl, Op::shr})
    check_op(op, kInts);
  for (Op op : {Op::neg, Op::abs}) check_op(op, kInts);
  for (Op op : {Op::lt, Op::eq}) check_op(op, kInts, true);
}

TEST(Emit, BoolOps) {
  for (Op op : {Op::max, Op::min, Op::bit_and, Op::bit_or, Op::bit_xor, Op::lt, Op::eq})
    check_op(op, {DType::boolean}, true);
}

// Any bits, then operands a few quotients apart, whose remainders are at or next to zero and the divisor.
TEST(Emit, RemaindersOfFloatsAreExact) {
  std::mt19937_64 random(11);
  for (const std::string &target : kRunnable)
    for (DType t : kFloats)
      for (int lanes : {1, 8}) {
        int64_t n = 4003;
        Tensor x(t, {n}), y(t, {n}), got(t, {n});
        for (int64_t i = 0; i < n; ++i) {
          for (Tensor *v : {&x, &y}) {
            uint64_t bits = random();
            std::memcpy(v->data() + i * size_of(t), &bits, size_t(size_of(t)));
          }
          double d = y.get(i), reach = i % 4 == 1 ? 8 : i % 4 == 2 ? 0x1p30 : 0x1p52;
          if (i % 4 == 0 || !std::isfinite(d)) continue;
          double quotient = std::floor(std::ldexp(double(random() >> 11), -53) * reach);
          x.set(i, d * quotient);
          uint64_t bits = 0;
          std::memcpy(&bits, x.data() + i * size_of(t), size_t(size_of(t)));
          bits += random() % 3 - 1;
          std::memcpy(x.data() + i * size_of(t), &bits, size_t(size_of(t)));
        }
        Kernels(target).run(pointwise(Op::rem, {t, t}, t, n, lanes), {&x, &y, &got});
        for (int64_t i = 0; i < n; ++i) {
          double want = std::fmod(x.get(i), y.get(i)), have = got.get(i);
          ASSERT_TRUE(std::isnan(want) ? std::isnan(have) : have == want && std::signbit(have) == std::signbit(want))
              << fmt::format("{} rem {} is {}, not {}: {} on {} by {}", x.get(i), y.get(i), want, have, name(t), target,
                             lanes);
        }
      }
}

TEST(Emit, CastsBetweenAllDTypes) {
  auto all = kFloats + kInts + std::vector<DType>{DType::boolean};
  for (const std::string &target : kRunnable)
    for (DType from : all)
      for (DType to : all)
        for (int lanes : {1, 8}) {
          int64_t n = 77;
          Tensor x = samples(from, n, 0), got(to, {n}), want(to, {n});
          Kernels(target).run(pointwise(Op::cast, {from}, to, n, lanes), {&x, &got});
          for (int64_t i = 0; i < n; ++i)
            if (to == DType::boolean)
              want.set_int(i, is_float(from) ? x.get(i) != 0 : x.get_int(i) != 0);
            else if (is_float(from))
              want.set(i, x.get(i));
            else if (!is_float(to))
              want.set_int(i, x.get_int(i));
            else if (from == DType::u64)
              to == DType::f32 ? want.set(i, double(float(uint64_t(x.get_int(i)))))
                               : want.set(i, double(uint64_t(x.get_int(i))));
            else
              to == DType::f32 ? want.set(i, double(float(x.get_int(i)))) : want.set(i, double(x.get_int(i)));
          expect_same(got, want, fmt::format("{} to {} on {} by {}", name(from), name(to), target, lanes));
        }
}

TEST(Emit, EveryHalfConvertsBothWays) {
  int64_t n = 1 << 16;
  for (const std::string &target : kRunnable)
    for (DType t : {DType::f16, DType::bf16}) {
      Tensor x(t, {n}), wide(DType::f32, {n}), back(t, {n});
      for (int64_t i = 0; i < n; ++i) x.as<uint16_t>()[size_t(i)] = uint16_t(i);
      Kernels(target).run(pointwise(Op::cast, {t}, DType::f32, n, 8), {&x, &wide});
      Kernels(target).run(pointwise(Op::cast, {DType::f32}, t, n, 8), {&wide, &back});
      for (int64_t i = 0; i < n; ++i) {
        uint16_t h = uint16_t(i);
        float f = t == DType::f16 ? f16_to_f32(h) : bf16_to_f32(h), g = wide.as<float>()[size_t(i)];
        ASSERT_TRUE(std::isnan(f) ? std::isnan(g) : f == g && std::signbit(f) == std::signbit(g))
            << target << " " << name(t) << " " << i;
        if (!std::isnan(f)) { ASSERT_EQ(back.as<uint16_t>()[size_t(i)], h) << target << " " << name(t); }
      }
      // Between neighbours, at and beside the middle, from f32 and from f64.
      for (DType from : {DType::f32, DType::f64}) {
        Tensor y(from, {3 * 0x7BFF}), rounded(t, {y.size()}), want(t, {y.size()});
        for (int64_t i = 0; i < 0x7BFF; ++i) {
          double a = t == DType::f16 ? f16_to_f32(uint16_t(i)) : bf16_to_f32(uint16_t(i));
          double b = t == DType::f16 ? f16_to_f32(uint16_t(i + 1)) : bf16_to_f32(uint16_t(i + 1)), m = (a + b) / 2;
          bool wide_from = from == DType::f64;
          y.set(3 * i, wide_from ? std::nextafter(m, a) : double(std::nextafterf(float(m), float(a))));
          y.set(3 * i + 1, m);
          y.set(3 * i + 2, wide_from ? std::nextafter(m, b) : double(std::nextafterf(float(m), float(b))));
        }
        for (int64_t i = 0; i < y.size(); ++i) want.set(i, y.get(i));
        Kernels(target).run(pointwise(Op::cast, {from}, t, y.size(), 8), {&y, &rounded});
        expect_same(rounded, want, fmt::format("{} to {} on {}", name(from), name(t), target));
      }
    }
}

TEST(Emit, SelectAndBitcast) {
  for (const std::string &target : kRunnable)
    for (DType t : kFloats + kInts)
      for (int64_t n : kExtents) {
        Tensor c = samples(DType::boolean, n, 1), x = samples(t, n, 2), y = samples(t, n, 5), got(t, {n}), want(t, {n});
        Kernels(target).run(pointwise(Op::select, {DType::boolean, t, t}, t, n, 8), {&c, &x, &y, &got});
        for (int64_t i = 0; i < n; ++i) {
          const Tensor &from = c.get_int(i) ? x : y;
          is_float(t) ? want.set(i, from.get(i)) : want.set_int(i, from.get_int(i));
        }
        expect_same(got, want, fmt::format("select.{} of {} on {}", name(t), n, target));
      }
  Tensor x = samples(DType::f32, 65, 3), got(DType::i32, {65});
  Kernels("host").run(pointwise(Op::bitcast, {DType::f32}, DType::i32, 65, 8), {&x, &got});
  EXPECT_EQ(std::memcmp(x.data(), got.data(), size_t(x.bytes())), 0);
}

TEST(Emit, EveryTargetHasEveryOp) {
  for (const std::string &target : kAll) {
    Program p;
    p.name = "test";
    auto add = [&](Op op, DType t, DType to) {
      p.kernels.push_back(pointwise(op, std::vector<DType>(size_t(info(op).arity), t), to, 17, 8));
      p.kernels.back().name = fmt::format("{}_{}", name(op), name(t));
    };
    for (DType t : kFloats) {
      for (Op op : {Op::neg, Op::abs, Op::sqrt, Op::floor, Op::round, Op::add, Op::fma, Op::div, Op::max})
        add(op, t, t);
      add(Op::lt, t, DType::boolean);
      for (DType to : kFloats + kInts) add(Op::cast, t, to);
    }
    for (DType t : kInts)
      for (Op op : {Op::div, Op::rem, Op::shl, Op::shr, Op::min}) add(op, t, t);
    EXPECT_EQ(emit_program(p, make_target(target), 2).stats.kernels, int(p.kernels.size())) << target;
  }
}

TEST(Emit, RefusesWhatLegalizeShouldHaveRewritten) {
  Program p;
  p.name = "test";
  p.kernels.push_back(pointwise(Op::exp, {DType::f32}, DType::f32, 8, 8));
  try {
    emit_program(p, make_target("host"), 2);
    FAIL() << "no error";
  } catch (const CompileError &e) { EXPECT_STREQ(e.what(), "error: the back end has no instruction for 'exp' of f32"); }
}

TEST(Emit, OnlyKnownFunctionsAreCalled) {
  // The linker of this process knows runtime/symbols.def and nothing else, so running on the baseline shows
  // it.
  Tensor x = samples(DType::f64, 65, 1), y(DType::f64, {65});
  for (Op op : {Op::floor, Op::round, Op::sqrt})
    Kernels("x86-64").run(pointwise(op, {DType::f64}, DType::f64, 65, 2), {&x, &y});
}

// Random graphs over every row that moves, reduces, contracts or indexes, compiled against interpreted, with the shapes
// that break compilers: ranks 0 to 5, extents 0, 1 and odd ones, chains in which everything may fuse.
#include "compiler/compile.h"
#include "ir/build.h"
#include "ir/print.h"
#include "passes/autodiff.h"
#include "tests/unit/fuzz.h"
#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>

namespace trellis {
namespace {

using Ints = std::vector<int64_t>;

/// Builds a graph a node at a time. `exact`: values stay small integers and every row keeps them so, whatever the order
/// of its sums; results are then compared bit for bit. Else smooth rows too, compared within a tolerance.
class RandomGraph {
public:
  RandomGraph(unsigned seed, DType t, bool exact) : rng_(seed), t_(t), exact_(exact) {
    for (int i = 0; i < 3; ++i) pool_.push_back(input(random_shape(), t_));
  }

  void grow(int nodes) {
    for (int tries = 0; nodes > 0 && tries < 200; ++tries)
      if (Value y = step(); y && elements(y) <= 3 * kMost) {
        pool_.push_back(exact_ && is_float(t_) ? clamp(y, -8, 8) : y);
        --nodes;
      }
    for (size_t i = pool_.size(), kept = 0; i-- > 3 && kept < 3; ++kept)
      g.outputs.push_back({"y" + std::to_string(kept), pool_[i]});
  }

  std::vector<Tensor> feeds() {
    std::vector<Tensor> all;
    for (Value v : g.inputs()) {
      Tensor x(v.dtype(), dims_of(v.shape()));
      for (int64_t i = 0; i < x.size(); ++i)
        if (v.dtype() == DType::i64)
          x.set_int(i, below(9) - 1);
        else if (v.dtype() == DType::boolean)
          x.set_int(i, below(2));
        else if (!is_float(v.dtype()))
          x.set_int(i, below(9) - 4);
        else
          x.set(i, exact_ ? double(below(9) - 4) : std::uniform_real_distribution<double>(-2, 2)(rng_));
      all.push_back(std::move(x));
    }
    return all;
  }

  Graph g;

private:
  static constexpr int64_t kMost = 6000;

  int64_t below(int64_t n) { return int64_t(rng_() % uint64_t(n)); }
  int64_t between(int64_t lo, int64_t hi) { return lo + below(hi - lo + 1); }
  bool chance(int64_t percent) { return below(100) < percent; }
  static Ints dims(Value v) { return dims_of(v.shape()); }
  static int64_t elements(Value v) {
    Ints d = dims(v);
    return std::accumulate(d.begin(), d.end(), int64_t(1), std::multiplies<>());
  }
  int64_t extent() {
    static const int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 24, 33, 65};
    return chance(2) ? 0 : kExtents[below(chance(60) ? 6 : 13)];
  }
  Ints random_shape(int least = 0) {
    Ints d(size_t(std::max<int64_t>(least, between(0, 5))));
    for (int64_t n = 1; int64_t &e : d)
      for (e = extent(); n * e > kMost / 4; e = extent()) {}
    while (std::accumulate(d.begin(), d.end(), int64_t(1), std::multiplies<>()) > kMost / 2)
      d[size_t(below(int64_t(d.size())))] = 1;
    return d;
  }
  Value input(const Ints &d, DType t) { return g.input("x" + std::to_string(g.inputs().size()), Type{t, shape_of(d)}); }
  Value any() { return pool_[size_t(chance(50) ? int64_t(pool_.size()) - 1 : below(int64_t(pool_.size())))]; }
  /// With an axis at least; null where it is a scalar.
  Value ranked(int least = 1) {
    Value x = any();
    return x.rank() >= least ? x : Value{};
  }
  /// An operand of this shape: one that is there, broadcast or another input.
  Value like(const Ints &d) {
    for (int i = 0; i < 3; ++i)
      if (Value v = any(); dims(v) == d) return v;
    Ints mine = d;
    if (chance(40))
      for (int64_t &e : mine)
        if (chance(50)) e = 1;
    return broadcast_to(input(mine, t_), shape_of(d));
  }
  Ints some_axes(int rank) {
    Ints axes;
    for (int a = 0; a < rank; ++a)
      if (chance(50)) axes.push_back(a);
    return axes;
  }
  std::string kind(bool with_prod = false) {
    static const char *const kKinds[] = {"sum", "max", "min", "prod"};
    return kKinds[below(with_prod ? 4 : 3)];
  }

  Value step() {
    switch (below(exact_ ? 22 : 28)) {
    case 0: {
      Value x = any();
      return x + like(dims(x));
    }
    case 1: return pointwise();
    case 2: return reshaped(any());
    case 3: {
      Value x = any();
      Ints perm(size_t(x.rank()));
      std::iota(perm.begin(), perm.end(), 0);
      std::shuffle(perm.begin(), perm.end(), rng_);
      return permute(x, perm);
    }
    case 4: return sliced(any());
    case 5: return padded(any());
    case 6: return windowed(false);
    case 7: return windowed(true);
    case 8: {
      Value x = ranked();
      if (!x) return x;
      int64_t axis = below(x.rank());
      Ints d = dims(x);
      d[size_t(axis)] = extent();
      Values parts{x, like(d)};
      if (chance(30)) parts.push_back(x);
      return concat(parts, axis);
    }
    case 9: {
      Value x = any();
      return reduce_over(x, kind(), some_axes(x.rank()), chance(40));
    }
    case 10: {
      Value x = ranked();
      return x ? cumulative(x, kind(), below(x.rank()), chance(30), chance(40)) : x;
    }
    case 11:
    case 12: return product();
    case 13:
    case 14: return convolution();
    case 15:
    case 16: return indexed();
    case 17: {
      Value x = ranked();
      if (!x) return x;
      Sorted s = sort(x, below(x.rank()), chance(50));
      return !exact_ || chance(50) ? s.values : cast(s.indices, t_); // ties of rounded values have no order
    }
    case 18: {
      Value x = ranked();
      int64_t axis = x ? below(x.rank()) : 0;
      if (!x || !exact_ || dims(x)[size_t(axis)] == 0) return {};
      return cast(chance(50) ? argmax(x, axis, chance(50)) : argmin(x, axis, chance(50)), t_);
    }
    case 19: {
      Value x = any();
      return broadcast_to(chance(50) ? reduce_over(x, "sum", some_axes(x.rank()), true) : x, x.shape()) + x;
    }
    case 20: {
      Value x = ranked();
      if (!x || x.rank() > 4 || elements(x) > 600) return {};
      Ints d = dims(x);
      d.insert(d.begin(), between(1, 4));
      return broadcast_to(x, shape_of(d)) * input(Ints(1, 1), t_);
    }
    case 21: {
      Value x = ranked();
      if (!x) return x;
      PoolOptions o;
      return fits(x, o.size, o.stride, o.dilation) ? max_pool(x, o) : Value{};
    }
    // Smooth rows from here.
    case 22: {
      Value x = ranked();
      return x ? softmax(x, below(x.rank())) : x;
    }
    case 23: {
      Value x = ranked();
      if (!x || elements(x) == 0) return {};
      return layer_norm(x, {}, {}, below(x.rank()), 1e-2);
    }
    case 24: {
      Value x = any();
      return chance(50) ? mean(x, some_axes(x.rank()), true) : logsumexp(x, some_axes(x.rank()));
    }
    case 25: {
      Value x = ranked();
      PoolOptions o;
      return x && fits(x, o.size, o.stride, o.dilation) ? avg_pool(x, o) : Value{};
    }
    case 26: {
      int64_t b = between(1, 3), m = between(1, 9), n = between(1, 9), d = between(1, 9), e = between(1, 9);
      AttentionOptions o;
      o.causal = chance(50);
      return attention(like({b, m, d}), like({b, n, d}), like({b, n, e}), o);
    }
    default: {
      Value x = any();
      Value ys[] = {tanh(x), sigmoid(x),         exp(min(x, 2.0)),  erf(x),
                    gelu(x), sqrt(abs(x) + 0.5), log(abs(x) + 0.5), silu(x)};
      return ys[below(8)];
    }
    }
  }

  Value pointwise() {
    Value x = any(), y = like(dims(x));
    switch (below(8)) {
    case 0: return x * y;
    case 1: return max(x, y);
    case 2: return min(x, y);
    case 3: return abs(x);
    case 4: return exact_ ? select(lt(x, y), x, y * 2.0) : select(lt(x, y), x, y);
    case 5: return x - y;
    case 6: return select(input(dims(x), DType::boolean), x, 1.0);
    default: return is_float(t_) ? fma(x, y, y) : x + y;
    }
  }

  Value reshaped(Value x) {
    int64_t left = elements(x);
    if (left == 0) return reshape(x, shape_of({3, 0}));
    Ints d;
    for (int64_t f = 2; left > 1 && d.size() < 4; ++f)
      for (; left % f == 0 && d.size() < 4; left /= f) {
        if (!d.empty() && chance(50))
          d.back() *= f;
        else
          d.push_back(f);
      }
    d.push_back(left);
    std::shuffle(d.begin(), d.end(), rng_);
    return reshape(x, shape_of(d));
  }

  Value sliced(Value x) {
    Ints start, limit, step;
    for (int64_t e : dims(x)) {
      int64_t a = e ? below(e) : 0, b = between(a, e), s = between(1, 3);
      if (chance(25) && e)
        start.push_back(b - 1 < a ? a : b - 1), limit.push_back(a - 1), step.push_back(-s);
      else
        start.push_back(chance(50) ? 0 : a), limit.push_back(chance(50) ? e : b), step.push_back(chance(70) ? 1 : s);
    }
    return slice(x, start, limit, step);
  }

  Value padded(Value x) {
    Ints lo, hi, interior;
    for (int64_t e : dims(x)) {
      lo.push_back(chance(50) ? 0 : between(e > 2 ? -1 : 0, 3));
      hi.push_back(chance(50) ? 0 : between(e > 2 ? -1 : 0, 3));
      interior.push_back(chance(80) ? 0 : between(1, 2));
    }
    return pad(x, lo, hi, interior, chance(50) ? Value{} : g.scalar(t_, 2));
  }

  /// Chooses windows of one or two trailing axes of x that fit.
  bool fits(Value x, Ints &size, Ints &stride, Ints &dilation) {
    Ints d = dims(x);
    for (size_t a = d.size() - size_t(std::min<int64_t>(int64_t(d.size()), between(1, 2))); a < d.size(); ++a) {
      size.push_back(between(1, 4)), stride.push_back(between(1, 3)), dilation.push_back(chance(75) ? 1 : 2);
      if ((size.back() - 1) * dilation.back() + 1 > d[a]) return false;
    }
    return true;
  }

  Value windowed(bool back) {
    Value x = ranked();
    Ints size, stride, dilation;
    if (!x || !fits(x, size, stride, dilation)) return {};
    Value w = window(x, size, stride, dilation);
    if (elements(w) > kMost) return {};
    if (!back) return w.rank() <= 5 && chance(50) ? w : reduce_over(w, kind(), Ints{w.rank() - 1});
    if (chance(50)) w = w * like(dims(w));
    return unwindow(w, x.shape(), size, stride, dilation);
  }

  Value product() {
    Value a = ranked(2);
    if (!a) return a;
    if (chance(30)) a = transpose(a);
    Ints d = dims(a);
    d[d.size() - 2] = d.back();
    d.back() = extent();
    Value b = like(d);
    return chance(20) ? transpose(dot(transpose(b), transpose(a))) : dot(a, b);
  }

  Value convolution() {
    int space = int(between(1, 2));
    ConvOptions o;
    o.groups = chance(30) ? between(2, 3) : 1;
    int64_t in = chance(15) ? 8 : between(1, 3), out = chance(30) ? 8 : between(1, 3);
    Ints x{chance(20) ? 8 : chance(20) ? 17 : between(1, 2), o.groups * in}, w{o.groups * out, in};
    for (int a = 0; a < space; ++a) {
      w.push_back(between(1, 4)), x.push_back(between(4, 12));
      o.stride.push_back(between(1, 3)), o.dilation.push_back(chance(75) ? 1 : 2),
          o.input_dilation.push_back(chance(85) ? 1 : 2);
      o.lo.push_back(between(0, 2)), o.hi.push_back(between(0, 2));
      if ((w.back() - 1) * o.dilation.back() + 1 >
          (x.back() - 1) * o.input_dilation.back() + 1 + o.lo.back() + o.hi.back())
        return {};
    }
    Value image = like(x);
    for (Value v : pool_)
      if (v.rank() == space + 2 && dims(v)[1] == x[1] && elements(v) && chance(50)) {
        bool large = true;
        for (int a = 0; a < space; ++a) large &= dims(v)[size_t(a) + 2] >= 7;
        if (large) image = v;
      }
    return conv(image, like(w), o);
  }

  Value indexed() {
    Value x = ranked();
    if (!x) return x;
    int64_t axis = below(x.rank());
    Ints d(size_t(between(0, 2)));
    for (int64_t &e : d) e = between(0, 5);
    Value at = input(d, DType::i64), y = gather(x, at, axis);
    if (chance(50) || elements(y) > kMost) return y;
    return scatter(x, at, like(dims(y)), axis, chance(30) && exact_ ? "set" : kind());
  }

  std::mt19937_64 rng_;
  DType t_;
  bool exact_;
  Values pool_;
};

/// `test::close`, but a NaN is close to a NaN.
bool close(const Tensor &got, const Tensor &want, double tolerance) {
  Tensor a(got.dtype(), got.dims()), b(want.dtype(), want.dims());
  if (a.dims() != b.dims()) return false;
  for (int64_t i = 0; i < a.size(); ++i)
    if (!std::isnan(got.get(i)) || !std::isnan(want.get(i))) a.set(i, got.get(i)), b.set(i, want.get(i));
  return test::close(a, b, tolerance);
}

void expect_interpreted(const Graph &g, const std::vector<Tensor> &feeds, double tolerance, unsigned seed) {
  std::vector<Tensor> want = evaluate(g, feeds);
  std::shared_ptr<const Executable> code;
  try {
    code = compile(g);
  } catch (const std::exception &e) { FAIL() << "seed " << seed << ": " << e.what() << "\n" << print(g); }
  for (int threads : {1, 3}) {
    std::vector<Tensor> got = Session(code, threads).run(feeds);
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_TRUE(tolerance > 0 ? close(got[i], want[i], tolerance) : test::same_bits(got[i], want[i]))
          << "seed " << seed << ", output " << g.outputs[i].name << " by " << threads << " threads:\n"
          << test::text(got[i]) << "\nshould be\n"
          << test::text(want[i]) << "\n"
          << print(g);
  }
}

constexpr unsigned kSeeds = 120;

TEST(Random, ExactGraphsAreInterpreted) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    static const DType kTypes[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::f32,
                                   DType::i8,  DType::u8,  DType::i16, DType::u32, DType::u64};
    RandomGraph r(seed, kTypes[seed % std::size(kTypes)], true);
    r.grow(1 + int(seed % 9));
    expect_interpreted(r.g, r.feeds(), 0, seed);
    if (HasFatalFailure()) return;
  }
}

TEST(Random, SmoothGraphsAreInterpreted) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    RandomGraph r(seed, DType::f64, false);
    r.grow(1 + int(seed % 9));
    expect_interpreted(r.g, r.feeds(), 1e-10, seed);
    if (HasFatalFailure()) return;
  }
}

TEST(Random, GradientsAreInterpreted) {
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    RandomGraph r(seed, DType::f64, false);
    r.grow(1 + int(seed % 7));
    Value loss;
    for (const NamedValue &o : r.g.outputs) {
      Value part = sum(o.value * (o.value + 1.0));
      loss = loss ? loss + part : part;
    }
    r.g.outputs = {{"loss", loss}};
    Values wrt;
    for (Value v : r.g.inputs())
      if (is_float(v.dtype())) wrt.push_back(v);
    Values by = gradients(loss, wrt);
    for (size_t i = 0; i < by.size(); ++i)
      if (by[i]) r.g.outputs.push_back({"d" + std::to_string(i), by[i]});
    expect_interpreted(r.g, r.feeds(), 1e-9, seed);
    if (HasFatalFailure()) return;
  }
}

} // namespace
} // namespace trellis

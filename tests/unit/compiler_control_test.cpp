// Control ops in native code against the interpreter: carried values, slices, stacks, branches, and what nests.
#include "compiler/compile.h"
#include "ir/bind.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/parse.h"
#include "passes/autodiff.h"
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace trellis {
namespace {

Tensor values(const Type &t, int seed) {
  Tensor x(t.dtype, dims_of(t.shape));
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t k = (i * 7 + seed * 13) % 31;
    if (t.dtype == DType::boolean)
      x.set_int(i, (i + seed) % 2);
    else if (!is_float(t.dtype))
      x.set_int(i, k % 5);
    else
      x.set(i, (double(k) - 15) / 16);
  }
  return x;
}

double tolerance(DType t) { return t == DType::f64 ? 1e-12 : t == DType::f32 ? 2e-5 : 2e-2; }

void expect_close(const Tensor &got, const Tensor &want, const std::string &what) {
  ASSERT_EQ(got.type().str(), want.type().str()) << what;
  for (int64_t i = 0; i < want.size(); ++i)
    if (!is_float(want.dtype()))
      EXPECT_EQ(got.get_int(i), want.get_int(i)) << what << " element " << i;
    else if (!std::isfinite(want.get(i)))
      EXPECT_TRUE(std::isnan(want.get(i)) ? std::isnan(got.get(i)) : got.get(i) == want.get(i))
          << what << " element " << i;
    else
      EXPECT_NEAR(got.get(i), want.get(i), tolerance(want.dtype()) * std::max(1.0, std::fabs(want.get(i))))
          << what << " element " << i;
}

/// Outputs and successors of state, twice in one session, by one thread and by three: all of them the interpreter's, the
/// threads' bit for bit.
void check(const Graph &g, const std::string &what, int seed = 0) {
  std::vector<Tensor> all, data;
  std::vector<std::pair<std::string, Tensor>> states;
  for (Value v : g.inputs()) {
    all.push_back(values(v.type(), int(all.size()) + seed));
    if (v.node->attrs.get_or<std::string>(Attr::role, "data") == "data")
      data.push_back(all.back());
    else
      states.emplace_back(v.node->attrs.word(Attr::name), all.back());
  }
  std::vector<Tensor> updates, want = evaluate(g, all, &updates), first;
  auto code = compile(g);
  for (int threads : {1, 3}) {
    Session s(code, threads);
    for (int again = 0; again < 2; ++again) {
      for (const auto &[name, value] : states) s.set_state(name, value);
      std::vector<Tensor> got = s.run(data);
      for (size_t i = 0; i < want.size(); ++i) expect_close(got[i], want[i], what + ": " + g.outputs[i].name);
      for (size_t i = 0; i < g.updates.size(); ++i) {
        std::string name = g.updates[i].state.node->attrs.word(Attr::name);
        expect_close(s.state(name), updates[i], what + ": " + name);
      }
      if (first.empty()) first = got;
      for (size_t i = 0; i < got.size(); ++i)
        EXPECT_EQ(std::memcmp(got[i].data(), first[i].data(), size_t(got[i].bytes())), 0)
            << what << ": other bits by " << threads << " threads";
    }
  }
}

GraphPtr graph(std::string text, const std::vector<std::pair<std::string, std::string>> &words = {}) {
  for (const auto &[from, to] : words)
    for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), to);
  return parse("trellis 1\n" + text, "test");
}

/// Adds the gradient of a weighted sum of all floating outputs.
void add_gradients(Graph &g) {
  Value loss;
  for (size_t i = 0, n = g.outputs.size(); i < n; ++i) {
    Value y = g.outputs[i].value;
    if (!is_float(y.dtype())) continue;
    Value weight = g.input(fmt::format("weight{}", i), y.type());
    Value part = sum(cast(y * weight, DType::f64));
    loss = loss ? loss + part : part;
  }
  Values wrt;
  for (Value v : g.inputs())
    if (is_float(v.dtype()) && v.node->attrs.word(Attr::name).rfind("weight", 0) != 0) wrt.push_back(v);
  Values d = gradients(loss, wrt);
  for (size_t i = 0; i < d.size(); ++i)
    if (d[i]) g.outputs.push_back({"grad" + std::to_string(i), d[i]});
}

const char *const kRnn = R"(graph @rnn(%h: T[3, 4], %x: T[TRIPS, 3, 5]) {
  param %w : T[5, 4] init(zero)
  param %u : T[4, 4] init(zero)
  %last, %all = scan %h, %x, %w, %u, carries=1, slices=1ATTRS @cell(%h: T[3, 4], %x: T[3, 5], %w: T[5, 4], %u: T[4, 4]) {
    %a = dot %x, %w
    %b = dot %h, %u
    %c = add %a, %b
    %next = tanh %c
    return %next, %next
  }
  return %last, %all
})";

TEST(CompiledScan, RecurrentCell) {
  for (const char *t : {"f32", "f64", "f16", "bf16"})
    for (int trips : {0, 1, 3, 7, 17})
      for (const char *attrs : {"", ", reverse=true"}) {
        GraphPtr g = graph(kRnn, {{"TRIPS", std::to_string(trips)}, {"ATTRS", attrs}, {"T[", std::string(t) + "["}});
        if (t[0] == 'f' && t[1] != '1') add_gradients(*g);
        check(*g, fmt::format("{} {} {}", t, trips, attrs));
      }
}

TEST(CompiledScan, CarriedValuesThatChangePlaces) {
  // a, b, c become b, a + b, a: reads of old values after writes of new ones.
  GraphPtr g = graph(R"(graph @t(%a: i64[3], %b: i64[3], %c: i64[3], %d: f32[]) {
  %x, %y, %z, %w, %s, %old = scan %a, %b, %c, %d, carries=4, slices=0, trips=9 @body(%a: i64[3], %b: i64[3], %c: i64[3], %d: f32[]) {
    %n = add %a, %b
    %m = mul %d, 1.5
    return %b, %n, %a, %m, %n, %a
  }
  return %x, %y, %z, %w, %s, %old
})");
  check(*g, "rotation");
}

TEST(CompiledScan, MapsAndConstants) {
  GraphPtr g = graph(R"(graph @t(%x: f32[7, 3], %k: f32[3]) {
  %zero = constant f32[3] [0, 0, 0]
  %some = constant f32[7, 2] [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
  %a, %b, %c, %d = scan %x, %some, %k, carries=0, slices=2 @body(%x: f32[3], %s: f32[2], %k: f32[3]) {
    %y = mul %x, %k
    %one = constant f32[2] [1, 2]
    return %y, %x, %one, %k
  }
  %e, %f = scan %zero, %x, carries=1, slices=1 @keep(%h: f32[3], %x: f32[3]) {
    %y = add %h, %x
    return %h, %y
  }
  return %a, %b, %c, %d, %e, %f
})");
  add_gradients(*g);
  check(*g, "map");
}

const char *const kNested = R"(graph @t(%h: f32[2], %x: f32[5, 3, 2], %k: f32[2]) {
  %last, %all, %sums = scan %h, %x, %k, carries=1, slices=1 @outer(%h: f32[2], %rows: f32[3, 2], %k: f32[2]) {
    %l, %i = scan %h, %rows, %k, %rows, carries=1, slices=1, reverse=true @inner(%h: f32[2], %x: f32[2], %k: f32[2], %rows: f32[3, 2]) {
      %p = mul %h, %k
      %first = slice %rows, start=[0, 0], limit=[1, 2], step=[1, 1]
      %f = reshape %first, shape=[2]
      %q = add %p, %x
      %n = fma %f, %x, %q
      return %n, %n
    }
    %s = reduce %i, kind=sum, axes=[0]
    return %l, %i, %s
  }
  return %last, %all, %sums
})";

TEST(CompiledScan, NestsAndIsDifferentiated) {
  GraphPtr g = graph(kNested);
  check(*g, "nested");
  add_gradients(*g);
  check(*g, "gradient of nested");
}

TEST(CompiledScan, SucceedsState) {
  GraphPtr g = graph(R"(graph @t(%x: f32[5, 3]) {
  state %h : f32[3] init(zero)
  %last, %all = scan %h, %x, carries=1, slices=1 @body(%h: f32[3], %x: f32[3]) {
    %n = fma %h, 0.5, %x
    return %n, %n
  }
  update %h, %last
  return %all
})");
  check(*g, "state");
}

TEST(CompiledCond, TakesOneBranch) {
  for (int seed : {0, 1}) {
    GraphPtr g = graph(R"(graph @t(%p: bool[], %x: f32[7, 3], %w: f32[3, 5]) {
  %y = mul %x, 2
  %a, %b = cond %p, %y, %w, %x @then(%y: f32[7, 3], %w: f32[3, 5], %x: f32[7, 3]) {
    %d = dot %y, %w
    return %d, %x
  } @else(%y: f32[7, 3], %w: f32[3, 5], %x: f32[7, 3]) {
    %three = constant f32[1, 1] [3]
    %z = expand %three, shape=[7, 5]
    %n = neg %y
    return %z, %n
  }
  return %a, %b, %y
})");
    add_gradients(*g);
    check(*g, "cond", seed);
  }
}

TEST(CompiledCond, InsideScan) {
  GraphPtr g = graph(R"(graph @t(%h: f32[3], %x: f32[17, 3]) {
  %last, %all = scan %h, %x, carries=1, slices=1 @body(%h: f32[3], %x: f32[3]) {
    %s = reduce %x, kind=sum, axes=[0]
    %p = lt %s, 0
    %n = cond %p, %h, %x @then(%h: f32[3], %x: f32[3]) {
      %y = add %h, %x
      return %y
    } @else(%h: f32[3], %x: f32[3]) {
      %y = mul %h, %x
      return %y
    }
    return %n, %h
  }
  return %last, %all
})");
  check(*g, "cond in scan");
  add_gradients(*g);
  check(*g, "gradient of cond in scan");
}

TEST(CompiledLoop, RunsWhileItsConditionHolds) {
  for (const char *attrs : {"", ", trips=2", ", trips=0"}) {
    GraphPtr g = graph(R"(graph @t(%n: i64[], %x: f32[3, 3], %k: f32[3, 3]) {
  %m, %y = loop %n, %x, %k, carries=2ATTRS @test(%n: i64[], %x: f32[3, 3], %k: f32[3, 3]) {
    %p = lt %n, 9
    return %p
  } @step(%n: i64[], %x: f32[3, 3], %k: f32[3, 3]) {
    %i = add %n, 1
    %y = dot %x, %k
    return %i, %y
  }
  return %m, %y
})",
                       {{"ATTRS", attrs}});
    check(*g, std::string("loop") + attrs);
  }
}

TEST(CompiledLoop, InsideScan) {
  // Collatz: the number of steps to 1 for each element.
  GraphPtr g = graph(R"(graph @t(%x: i64[7]) {
  %all = scan %x, carries=0, slices=1 @each(%x: i64[]) {
    %start = add %x, 1
    %zero = constant i64[] 0
    %one, %count = loop %start, %zero @test(%n: i64[], %c: i64[]) {
      %p = lt 1, %n
      return %p
    } @step(%n: i64[], %c: i64[]) {
      %r = rem %n, 2
      %odd = eq %r, 1
      %next = cond %odd, %n @then(%n: i64[]) {
        %a = mul %n, 3
        %b = add %a, 1
        return %b
      } @else(%n: i64[]) {
        %b = div %n, 2
        return %b
      }
      %d = add %c, 1
      return %next, %d
    }
    return %count
  }
  return %all
})");
  std::vector<int64_t> numbers{0, 1, 2, 5, 6, 8, 26}, steps{0, 1, 7, 8, 16, 19, 111}; // of 1, 2, 3, 6, 7, 9, 27
  Tensor got = Session(compile(*g)).run(std::vector<Tensor>{Tensor::of<int64_t>(DType::i64, {7}, numbers)})[0];
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(got.get_int(i), steps[size_t(i)]);
  check(*g, "loop in scan");
}

} // namespace
} // namespace trellis

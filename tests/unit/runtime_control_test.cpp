// Control in a program's list of calls, by hand: nested loops with slots that move, a branch that leaves a loop.
#include "runtime_fixture.h"
#include <functional>
#include <gtest/gtest.h>

namespace {

// y[o, i] = x[i, o] 10 + o, by two loops, the inner one from its end; then a loop that halves `n` while it is above 5.
void scale(void *const *args, int64_t, int64_t) {
  *static_cast<int64_t *>(args[1]) = *static_cast<int64_t *>(args[0]) * 10 + *static_cast<int64_t *>(args[2]);
}
void count(void *const *args, int64_t, int64_t) { ++*static_cast<int64_t *>(args[0]); }
void clear(void *const *args, int64_t, int64_t) { *static_cast<int64_t *>(args[0]) = 0; }
void take(void *const *args, int64_t, int64_t) { *static_cast<int64_t *>(args[1]) = *static_cast<int64_t *>(args[0]); }
void above(void *const *args, int64_t, int64_t) {
  *static_cast<uint8_t *>(args[1]) = *static_cast<int64_t *>(args[0]) > 5;
}
void halve(void *const *args, int64_t, int64_t) { *static_cast<int64_t *>(args[0]) /= 2; }

constexpr int64_t kOuter = 3, kInner = 4;

struct Controlled : trellis_program {
  int64_t x_dims[2] = {kInner, kOuter}, y_dims[2] = {kOuter, kInner};
  trellis_tensor_info in[2] = {{"x", TRELLIS_I64, 2, x_dims, kInner *kOuter * 8, nullptr, 0, 0},
                               {"n", TRELLIS_I64, 0, nullptr, 8, nullptr, 0, 0}};
  trellis_tensor_info out[2] = {{"y", TRELLIS_I64, 2, y_dims, kInner *kOuter * 8, nullptr, 0, 0},
                                {"m", TRELLIS_I64, 0, nullptr, 8, nullptr, 0, 0}};
  trellis_slot slot_list[6] = {{TRELLIS_SLOT_INPUT, 0, (kInner - 1) * kOuter * 8, 8},
                               {TRELLIS_SLOT_OUTPUT, 0, (kInner - 1) * 8, 8},
                               {TRELLIS_SLOT_ARENA, 0, 0, 8},
                               {TRELLIS_SLOT_INPUT, 1, 0, 8},
                               {TRELLIS_SLOT_OUTPUT, 1, 0, 8},
                               {TRELLIS_SLOT_ARENA, 0, 64, 1}};
  trellis_move move_list[4] = {{0, 0, 8}, {0, 1, -kOuter * 8}, {1, 0, kInner * 8}, {1, 1, -8}};
  uint32_t scaled[3] = {0, 1, 2}, counter[1] = {2}, taken[2] = {3, 4}, test[2] = {4, 5}, flag[1] = {5}, halved[1] = {4};
  trellis_call call_list[13] = {{clear, "clear", counter, 1, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "outer", nullptr, 0, kOuter, 1, TRELLIS_CALL_LOOP, 0, 7, 0},
                                {nullptr, "inner", nullptr, 0, kInner, 1, TRELLIS_CALL_LOOP, 1, 5, 0},
                                {scale, "scale", scaled, 3, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "inner", nullptr, 0, kInner, 1, TRELLIS_CALL_NEXT, 1, 3, 0},
                                {count, "count", counter, 1, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "outer", nullptr, 0, kOuter, 1, TRELLIS_CALL_NEXT, 0, 2, 0},
                                {take, "take", taken, 2, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "while", nullptr, 0, INT64_MAX, 1, TRELLIS_CALL_LOOP, 2, 13, 0},
                                {above, "above", test, 2, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "leave", flag, 1, 0, 1, TRELLIS_CALL_BRANCH, 0, 13, 0},
                                {halve, "halve", halved, 1, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                                {nullptr, "while", nullptr, 0, INT64_MAX, 1, TRELLIS_CALL_NEXT, 2, 9, 0}};

  Controlled() : trellis_program{} {
    version = TRELLIS_PROGRAM_VERSION, name = "controlled";
    inputs = in, outputs = out, input_count = output_count = 2;
    slots = slot_list, slot_count = 6, calls = call_list, call_count = 13;
    moves = move_list, move_count = 4, loop_count = 3;
    arena_bytes = 128;
  }
  Controlled(const Controlled &) = delete;
};

TEST(RuntimeControl, LoopsMoveSlotsAndBranchesLeaveThem) {
  Controlled program;
  std::string why;
  fixture::Context context = fixture::create(program, 2, &why);
  ASSERT_TRUE(context) << why;
  ASSERT_EQ(trellis_set_profile(context.get(), 1), TRELLIS_OK);
  for (int64_t n : {40, 5, 6, 1000}) {
    int64_t x[kInner * kOuter], y[kOuter * kInner], m = -1, want = n;
    for (int64_t i = 0; i < kInner * kOuter; ++i) x[i] = n + i;
    void *inputs[] = {x, &n}, *outputs[] = {y, &m};
    ASSERT_EQ(trellis_run_raw(context.get(), inputs, outputs), TRELLIS_OK);
    for (int64_t o = 0; o < kOuter; ++o)
      for (int64_t i = 0; i < kInner; ++i) EXPECT_EQ(y[o * kInner + i], (n + i * kOuter + o) * 10 + o);
    while (want > 5) want /= 2;
    EXPECT_EQ(m, want);
  }
}

TEST(RuntimeControl, LoopOfNoIterations) {
  Controlled program;
  program.call_list[1].trip = program.call_list[6].trip = 0;
  fixture::Context context = fixture::create(program, 1);
  ASSERT_TRUE(context);
  int64_t x[kInner * kOuter] = {}, y[kOuter * kInner], n = 3, m = -1;
  for (int64_t &e : y) e = -7;
  void *inputs[] = {x, &n}, *outputs[] = {y, &m};
  ASSERT_EQ(trellis_run_raw(context.get(), inputs, outputs), TRELLIS_OK);
  for (int64_t e : y) EXPECT_EQ(e, -7);
  EXPECT_EQ(m, 3);
}

TEST(RuntimeControl, Malformed) {
  const struct {
    std::function<void(Controlled &)> change;
    const char *text;
  } cases[] = {
      {[](Controlled &p) { p.call_list[1].loop = 1; }, "call 1 (outer) begins a loop out of order"},
      {[](Controlled &p) { p.loop_count = 2; }, "call 8 (while) begins a loop out of order"},
      {[](Controlled &p) { p.call_list[1].target = 6; }, "call 1 (outer) begins a loop that does not end"},
      {[](Controlled &p) { p.call_list[8].target = 14; }, "call 8 (while) begins a loop that does not end"},
      {[](Controlled &p) { p.call_list[6].target = 3; }, "call 6 (outer) ends a loop that does not begin"},
      {[](Controlled &p) { p.call_list[6].target = 0; }, "call 6 (outer) ends a loop that does not begin"},
      {[](Controlled &p) { p.call_list[6].trip = 4; }, "call 6 (outer) ends a loop that does not begin"},
      {[](Controlled &p) { p.call_list[10].target = 10; }, "call 10 (leave) goes nowhere"},
      {[](Controlled &p) { p.call_list[10].arg_count = 0; }, "call 10 (leave) goes nowhere"},
      {[](Controlled &p) { p.call_list[10].kind = TRELLIS_CALL_JUMP, p.call_list[10].target = 14; },
       "call 10 (leave) goes nowhere"},
      {[](Controlled &p) { p.call_list[10].kind = 9; }, "call 10 (leave) is of an unknown kind"},
      {[](Controlled &p) { p.call_list[10].kernel = halve; }, "call 10 (leave) has no kernel or no name"},
      {[](Controlled &p) { p.move_list[1].stride = kOuter * 8; }, "slot 0, which moves, leaves its storage"},
      {[](Controlled &p) { p.move_list[2].stride = INT64_MAX; }, "slot 1, which moves, leaves its storage"},
      {[](Controlled &p) { p.move_list[3].stride = -16; }, "slot 1, which moves, leaves its storage"},
      {[](Controlled &p) { p.move_list[2].loop = 3; }, "slot 1, which moves, follows a loop that does not exist"},
      {[](Controlled &p) { p.move_list[3].slot = 6; }, "slot 6, which moves, does not exist"},
      {[](Controlled &p) { p.move_list[0].slot = p.move_list[1].slot = 2; }, "slot 2, which moves, leaves its storage"},
      {[](Controlled &p) { p.move_list[3].slot = 0; }, "slot 0, which moves, is out of order"},
  };
  for (const auto &c : cases) {
    Controlled program;
    c.change(program);
    std::string why;
    EXPECT_FALSE(fixture::create(program, 1, &why)) << c.text;
    EXPECT_EQ(why, std::string("malformed program: ") + c.text);
  }
}

} // namespace

// Contexts: results over threads, sharing, state, profiles.
#include "runtime/context.h"
#include "runtime_fixture.h"
#include <atomic>
#include <cstring>
#include <gtest/gtest.h>
#include <thread>

using namespace fixture;

namespace {

int64_t read_step(trellis_context *context) {
  int64_t step = -1;
  trellis_tensor tensor{&step, TRELLIS_I64, 0, nullptr};
  EXPECT_EQ(trellis_state_get(context, "step", &tensor), TRELLIS_OK);
  return step;
}

TEST(RuntimeContext, SameResultForAnyThreads) {
  Program program;
  for (int threads : {1, 2, 3, 8}) {
    Context context = create(program, threads);
    ASSERT_TRUE(context);
    EXPECT_EQ(trellis_get_threads(context.get()), threads);
    Data data;
    ASSERT_EQ(trellis_state_set(context.get(), "w", &data.w_tensor), TRELLIS_OK);
    for (int i = 0; i < 50; ++i) {
      std::fill(data.y.begin(), data.y.end(), NAN);
      ASSERT_EQ(data.run(context.get()), TRELLIS_OK);
      ASSERT_EQ(data.y, data.expected());
    }
    EXPECT_EQ(read_step(context.get()), 50);
    EXPECT_STREQ(trellis_last_error(context.get()), "");
  }
}

TEST(RuntimeContext, ThreadsMayChangeBetweenRuns) {
  Program program;
  Context context = create(program, 1);
  Data data;
  trellis_state_set(context.get(), "w", &data.w_tensor);
  for (int threads : {2, 8, 1, 3}) {
    ASSERT_EQ(trellis_set_threads(context.get(), threads), TRELLIS_OK);
    std::fill(data.y.begin(), data.y.end(), NAN);
    ASSERT_EQ(data.run(context.get()), TRELLIS_OK);
    EXPECT_EQ(data.y, data.expected());
  }
}

TEST(RuntimeContext, RawRunTakesFreshPointersEachTime) {
  Program program;
  Context context = create(program, 2);
  for (int seed = 0; seed < 5; ++seed) {
    Data data(seed);
    ASSERT_EQ(trellis_state_set(context.get(), "w", &data.w_tensor), TRELLIS_OK);
    void *inputs[] = {data.x.data(), data.label.data()}, *outputs[] = {data.y.data()};
    ASSERT_EQ(trellis_run_raw(context.get(), inputs, outputs), TRELLIS_OK);
    EXPECT_EQ(data.y, data.expected());
  }
}

TEST(RuntimeContext, ContextsOfOneProgramAreApart) {
  Program program;
  std::vector<Context> contexts;
  std::vector<std::unique_ptr<Data>> data;
  for (int i = 0; i < 10; ++i) {
    contexts.push_back(create(program, 1 + i % 3));
    data.push_back(std::make_unique<Data>(i));
    ASSERT_EQ(trellis_state_set(contexts[i].get(), "w", &data[i]->w_tensor), TRELLIS_OK);
  }
  for (int i = 0; i < 10; ++i)
    for (int run = 0; run <= i; ++run) ASSERT_EQ(data[i]->run(contexts[i].get()), TRELLIS_OK);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(data[i]->y, data[i]->expected());
    EXPECT_EQ(read_step(contexts[i].get()), i + 1);
  }
}

TEST(RuntimeContext, ConcurrentContextsAreRight) {
  Program program;
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&, i] {
      Context context = create(program, 1 + i);
      Data data(i);
      trellis_state_set(context.get(), "w", &data.w_tensor);
      for (int run = 0; run < 100; ++run) {
        std::fill(data.y.begin(), data.y.end(), NAN);
        wrong += data.run(context.get()) != TRELLIS_OK || data.y != data.expected();
        if (run % 10 == 0) wrong += trellis_set_threads(context.get(), 1 + (i + run) % 4) != TRELLIS_OK;
      }
    });
  for (auto &caller : callers) caller.join();
  EXPECT_EQ(wrong.load(), 0);
}

trellis_context *inner_context;
std::atomic<int> inner_status[2];

TEST(RuntimeContext, AKernelMayRunAnotherContext) {
  Program program;
  Context inner = create(program, 3);
  inner_context = inner.get();
  static Data *data;
  Data storage(4);
  data = &storage;
  trellis_state_set(inner.get(), "w", &data->w_tensor);
  OneCall outer_program(
      [](void *const *, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          if (i == 2) inner_status[0] = data->run(inner_context);
      },
      4);
  Context outer = create(outer_program, 3);
  inner_status[0] = -1;
  ASSERT_EQ(trellis_run_raw(outer.get(), nullptr, nullptr), TRELLIS_OK);
  EXPECT_EQ(inner_status[0].load(), TRELLIS_OK);
  EXPECT_EQ(data->y, data->expected());
}

TEST(RuntimeContext, ASecondCallOnOneContextIsRefused) {
  OneCall program(
      [](void *const *, int64_t, int64_t) {
        inner_status[0] = trellis_run_raw(inner_context, nullptr, nullptr);
        inner_status[1] = trellis_set_threads(inner_context, 2);
      },
      1);
  Context context = create(program, 1);
  inner_context = context.get();
  EXPECT_EQ(trellis_run_raw(context.get(), nullptr, nullptr), TRELLIS_OK);
  EXPECT_EQ(inner_status[0].load(), TRELLIS_BUSY);
  EXPECT_EQ(inner_status[1].load(), TRELLIS_BUSY);
  EXPECT_EQ(trellis_set_threads(context.get(), 2), TRELLIS_OK);
}

TEST(RuntimeContext, StateIsZeroAtFirstAndKeepsWhatIsSet) {
  Program program;
  Context context = create(program, 1);
  Data data(3);
  std::vector<float> read(V * C, NAN);
  trellis_tensor to{read.data(), TRELLIS_F32, 2, data.w_dims};
  ASSERT_EQ(trellis_state_get(context.get(), "w", &to), TRELLIS_OK);
  EXPECT_EQ(read, std::vector<float>(V * C, 0.0f));
  ASSERT_EQ(trellis_state_set(context.get(), "w", &data.w_tensor), TRELLIS_OK);
  ASSERT_EQ(trellis_state_get(context.get(), "w", &to), TRELLIS_OK);
  EXPECT_EQ(read, data.w);

  // Inside it is transposed, its rows padded with zeros.
  auto *inside = static_cast<const float *>(trellis_state_data(context.get(), 0));
  for (int64_t c = 0; c < C; ++c)
    for (int64_t v = 0; v < V_padded; ++v) ASSERT_EQ(inside[c * V_padded + v], v < V ? data.w[v * C + c] : 0.0f);
  EXPECT_EQ(trellis_state_data(context.get(), 2), nullptr);
}

TEST(RuntimeContext, BoundStateIsShared) {
  Program program;
  Context a = create(program, 1), b = create(program, 2);
  Data data(5);
  trellis_state_set(a.get(), "w", &data.w_tensor);
  ASSERT_EQ(trellis_state_bind(b.get(), "w", trellis_state_data(a.get(), 0)), TRELLIS_OK);
  ASSERT_EQ(data.run(b.get()), TRELLIS_OK);
  EXPECT_EQ(data.y, data.expected());
  ASSERT_EQ(trellis_state_bind(b.get(), "w", nullptr), TRELLIS_OK); // its own, still zeros
  ASSERT_EQ(data.run(b.get()), TRELLIS_OK);
  std::fill(data.w.begin(), data.w.end(), 0.0f);
  EXPECT_EQ(data.y, data.expected());

  alignas(64) char misaligned[128];
  EXPECT_EQ(trellis_state_bind(b.get(), "w", misaligned + 32), TRELLIS_BAD_POINTER);
  EXPECT_EQ(std::string(trellis_last_error(b.get())).rfind("state 'w': its storage should be aligned to 64 bytes", 0),
            0u);
}

TEST(RuntimeContext, ALargeArenaIsAlignedAndZero) {
  static std::atomic<int> wrong;
  wrong = -1;
  OneCall program(
      [](void *const *args, int64_t, int64_t) {
        auto *arena = static_cast<const char *>(args[0]);
        wrong = reinterpret_cast<uintptr_t>(arena) % (2 << 20) != 0;
        for (int64_t i = 0; i < 9'000'000; i += 4096) wrong += arena[i] != 0;
      },
      1);
  uint32_t arg = 0;
  trellis_slot slot{TRELLIS_SLOT_ARENA, 0, 0, 9'000'000};
  program.call.args = &arg, program.call.arg_count = 1;
  program.slots = &slot, program.slot_count = 1, program.arena_bytes = 9'000'000;
  Context context = create(program, 1);
  ASSERT_EQ(trellis_run_raw(context.get(), nullptr, nullptr), TRELLIS_OK);
  EXPECT_EQ(wrong.load(), 0);
}

TEST(RuntimeContext, UnderAddressSanitizerAKernelMayTouchItsSlotsAlone) {
#ifdef TRELLIS_UNDER_ASAN
  OneCall program([](void *const *args, int64_t, int64_t) { ++static_cast<char *>(args[0])[100]; }, 1);
  uint32_t arg = 0;
  trellis_slot slot{TRELLIS_SLOT_ARENA, 0, 64, 101};
  program.call.args = &arg, program.call.arg_count = 1;
  program.slots = &slot, program.slot_count = 1, program.arena_bytes = 256;
  EXPECT_EQ(trellis_run_raw(create(program, 1).get(), nullptr, nullptr), TRELLIS_OK);
  slot.bytes = 100;
  Context context = create(program, 1);
  EXPECT_DEATH(trellis_run_raw(context.get(), nullptr, nullptr), "use-after-poison");
#else
  GTEST_SKIP() << "no AddressSanitizer in this build";
#endif
}

TEST(RuntimeContext, ProfileSumsTimePerCall) {
  OneCall program([](void *const *, int64_t, int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); },
                  1);
  Context context = create(program, 1);
  uint64_t runs = 7;
  EXPECT_EQ(trellis_profile(context.get(), &runs), nullptr);
  ASSERT_EQ(trellis_set_profile(context.get(), 1), TRELLIS_OK);
  for (int i = 0; i < 3; ++i) trellis_run_raw(context.get(), nullptr, nullptr);
  const uint64_t *times = trellis_profile(context.get(), &runs);
  ASSERT_NE(times, nullptr);
  EXPECT_EQ(runs, 3u);
  EXPECT_GE(times[0], 6'000'000u);
  ASSERT_EQ(trellis_set_profile(context.get(), 0), TRELLIS_OK);
  EXPECT_EQ(trellis_profile(context.get(), &runs), nullptr);
}

TEST(RuntimeContext, ProgramsDescribeTheirTensors) {
  Program program;
  EXPECT_EQ(trellis_input_find(&program, "label"), 1);
  EXPECT_EQ(trellis_output_find(&program, "y"), 0);
  EXPECT_EQ(trellis_state_find(&program, "step"), 1);
  EXPECT_EQ(trellis_state_find(&program, "label"), -1);
  const trellis_tensor_info *x = trellis_input_info(&program, 0);
  ASSERT_NE(x, nullptr);
  EXPECT_STREQ(x->name, "x");
  EXPECT_STREQ(trellis_dtype_name(x->dtype), "f32");
  EXPECT_EQ(x->rank, 2);
  EXPECT_EQ(x->dims[1], C);
  EXPECT_EQ(trellis_input_info(&program, 2), nullptr);
  EXPECT_EQ(trellis_api_version(), TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR);
}

} // namespace

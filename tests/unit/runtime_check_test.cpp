// What is refused, and in which words.
#include "runtime_fixture.h"
#include <cinttypes>
#include <functional>
#include <gtest/gtest.h>

using namespace fixture;

namespace {

struct RuntimeCheck : testing::Test {
  Program program;
  Context context = create(program, 2);
  Data data;

  /// The call is refused with this text and leaves the output alone.
  void refused(trellis_status status, const std::string &text) {
    EXPECT_EQ(data.run(context.get()), status);
    EXPECT_EQ(trellis_last_error(context.get()), text);
    EXPECT_TRUE(std::isnan(data.y[0]));
  }
};

TEST_F(RuntimeCheck, Rank) {
  int64_t dims[] = {R, 3, 7};
  data.inputs[0].rank = 3, data.inputs[0].dims = dims;
  refused(TRELLIS_BAD_RANK, "input 'x' should be f32[37, 21], but is f32[37, 3, 7]");
  data.inputs[0].rank = 0, data.inputs[0].dims = nullptr;
  refused(TRELLIS_BAD_RANK, "input 'x' should be f32[37, 21], but is f32");
  data.inputs[0].rank = 2;
  refused(TRELLIS_BAD_RANK, "input 'x' should be f32[37, 21], but is f32 of rank 2 without dims");
  data.inputs[0].rank = -1;
  refused(TRELLIS_BAD_RANK, "input 'x' should be f32[37, 21], but is f32 of rank -1 without dims");
}

TEST_F(RuntimeCheck, Dims) {
  int64_t dims[] = {R, C + 1};
  data.output.dims = dims;
  refused(TRELLIS_BAD_DIMS, "output 'y' should be f32[37, 21], but is f32[37, 22]");
}

TEST_F(RuntimeCheck, Dtype) {
  data.inputs[1].dtype = TRELLIS_I32;
  refused(TRELLIS_BAD_DTYPE, "input 'label' should be i64[37], but is i32[37]");
  data.inputs[1].dtype = 99;
  refused(TRELLIS_BAD_DTYPE, "input 'label' should be i64[37], but is of unknown dtype 99");
}

TEST_F(RuntimeCheck, Pointers) {
  char text[128];
  data.inputs[1].data = reinterpret_cast<char *>(data.label.data()) + 4;
  snprintf(text, sizeof text, "input 'label' should be aligned to 8 bytes, but its pointer is %p", data.inputs[1].data);
  refused(TRELLIS_BAD_POINTER, text);
  data.inputs[1].data = nullptr;
  refused(TRELLIS_BAD_POINTER, "input 'label' should have data, but its pointer is null");
}

TEST_F(RuntimeCheck, Counts) {
  EXPECT_EQ(trellis_run(context.get(), data.inputs, 1, &data.output, 1), TRELLIS_BAD_COUNT);
  EXPECT_STREQ(trellis_last_error(context.get()), "the program has 2 inputs, but 1 are given");
  EXPECT_EQ(trellis_run(context.get(), data.inputs, 2, nullptr, 1), TRELLIS_BAD_COUNT);
  EXPECT_STREQ(trellis_last_error(context.get()), "the program has 1 output, but 0 are given");
}

TEST_F(RuntimeCheck, Overlap) {
  data.output.data = data.x.data();
  EXPECT_EQ(data.run(context.get()), TRELLIS_BAD_OVERLAP);
  EXPECT_STREQ(trellis_last_error(context.get()),
               "output 'y' should have memory of its own, but shares it with input 'x'");
}

TEST_F(RuntimeCheck, IndexRange) {
  data.label[5] = V;
  refused(TRELLIS_BAD_INDEX, "input 'label' (i64[37]): element [5] should lie in [0, 10), but is 10");
  data.label[5] = 0, data.label[R - 1] = -1;
  refused(TRELLIS_BAD_INDEX, "input 'label' (i64[37]): element [36] should lie in [0, 10), but is -1");
  data.label[R - 1] = V - 1;
  EXPECT_EQ(data.run(context.get()), TRELLIS_OK);
  EXPECT_STREQ(trellis_last_error(context.get()), "");
}

// One u64 input of dims [2, 3], indices in [-4, high).
trellis_status check_u64(uint64_t value, int64_t high, std::string *text) {
  int64_t dims[] = {2, 3};
  trellis_tensor_info info{"i", TRELLIS_U64, 2, dims, 48, nullptr, 0, 0};
  trellis_index_check check{0, -4, high};
  OneCall program([](void *const *, int64_t, int64_t) {}, 1);
  program.inputs = &info, program.input_count = 1;
  program.index_checks = &check, program.index_check_count = 1;
  Context context = create(program, 1);
  uint64_t values[6] = {};
  values[4] = value;
  trellis_tensor tensor{values, TRELLIS_U64, 2, dims};
  trellis_status status = trellis_run(context.get(), &tensor, 1, nullptr, 0);
  *text = trellis_last_error(context.get());
  return status;
}

TEST(RuntimeCheckIndex, UnsignedValuesDoNotWrap) {
  std::string text;
  EXPECT_EQ(check_u64(UINT64_MAX, 4, &text), TRELLIS_BAD_INDEX); // -1 if it were signed
  EXPECT_EQ(text, "input 'i' (u64[2, 3]): element [1, 1] should lie in [-4, 4), but is 18446744073709551615");
  EXPECT_EQ(check_u64(3, 4, &text), TRELLIS_OK);
  EXPECT_EQ(check_u64(4, 4, &text), TRELLIS_BAD_INDEX);
  EXPECT_EQ(check_u64(0, 0, &text), TRELLIS_BAD_INDEX);
}

TEST(RuntimeCheckIndex, EveryIntegerTypeAndBothEnds) {
  const int32_t types[] = {TRELLIS_I8, TRELLIS_I16, TRELLIS_I32, TRELLIS_I64, TRELLIS_U8, TRELLIS_U16, TRELLIS_U32};
  for (int32_t type : types)
    for (int64_t at : {0, 1023, 1024, 2999}) {
      bool is_signed = type <= TRELLIS_I64;
      int64_t count = 3000, size = trellis_dtype_bytes(type), low = is_signed ? -3 : 2;
      trellis_tensor_info info{"i", type, 1, &count, count * size, nullptr, 0, 0};
      trellis_index_check check{0, low, 100};
      OneCall program([](void *const *, int64_t, int64_t) {}, 1);
      program.inputs = &info, program.input_count = 1;
      program.index_checks = &check, program.index_check_count = 1;
      Context context = create(program, 1);
      std::vector<int64_t> storage(3000);
      auto *bytes = reinterpret_cast<char *>(storage.data());
      trellis_tensor tensor{bytes, type, 1, &count};
      auto store = [&](int64_t i, int64_t value) { memcpy(bytes + i * size, &value, size); }; // little-endian
      for (int64_t value : {low, int64_t{99}, low - 1, int64_t{100}}) {
        for (int64_t i = 0; i < count; ++i) store(i, 50);
        store(at, value);
        bool good = value >= low && value < 100;
        EXPECT_EQ(trellis_run(context.get(), &tensor, 1, nullptr, 0), good ? TRELLIS_OK : TRELLIS_BAD_INDEX)
            << trellis_dtype_name(type) << " " << value << " at " << at;
      }
    }
}

TEST_F(RuntimeCheck, State) {
  EXPECT_EQ(trellis_state_set(context.get(), "bias", &data.w_tensor), TRELLIS_BAD_NAME);
  EXPECT_STREQ(trellis_last_error(context.get()), "the program has no state 'bias'; its states are 'w', 'step'");
  EXPECT_EQ(trellis_state_get(context.get(), nullptr, &data.w_tensor), TRELLIS_BAD_NAME);
  EXPECT_EQ(trellis_state_get(nullptr, "w", &data.w_tensor), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_state_set(nullptr, "w", &data.w_tensor), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_state_bind(nullptr, "w", nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_run(nullptr, data.inputs, 2, nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_run_raw(nullptr, nullptr, nullptr), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_set_threads(nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_set_profile(nullptr, 1), TRELLIS_BAD_POINTER);
  EXPECT_EQ(trellis_state_get(context.get(), "w", nullptr), TRELLIS_BAD_POINTER);
  data.w_tensor.dims = data.x_dims;
  EXPECT_EQ(trellis_state_set(context.get(), "w", &data.w_tensor), TRELLIS_BAD_DIMS);
  EXPECT_STREQ(trellis_last_error(context.get()), "state 'w' should be f32[10, 21], but is f32[37, 21]");
}

TEST_F(RuntimeCheck, Threads) {
  std::string why;
  for (int threads : {0, -1, TRELLIS_MAX_THREADS + 1}) {
    std::string text = "threads should be 1 to 512, but is " + std::to_string(threads);
    EXPECT_FALSE(create(program, threads, &why));
    EXPECT_EQ(why, text);
    EXPECT_EQ(trellis_set_threads(context.get(), threads), TRELLIS_BAD_THREADS);
    EXPECT_EQ(trellis_last_error(context.get()), text);
    EXPECT_EQ(trellis_get_threads(context.get()), 2);
  }
}

TEST(RuntimeCheckProgram, EmptyTensorsNeedNoData) {
  int64_t dims[] = {0, 5};
  trellis_tensor_info info{"e", TRELLIS_F32, 2, dims, 0, nullptr, 0, 0};
  OneCall program([](void *const *, int64_t, int64_t) {}, 0);
  program.inputs = program.outputs = program.states = &info;
  program.input_count = program.output_count = program.state_count = 1;
  Context context = create(program, 2);
  ASSERT_TRUE(context);
  trellis_tensor empty{nullptr, TRELLIS_F32, 2, dims};
  EXPECT_EQ(trellis_run(context.get(), &empty, 1, &empty, 1), TRELLIS_OK) << trellis_last_error(context.get());
  EXPECT_EQ(trellis_state_get(context.get(), "e", &empty), TRELLIS_OK);
}

TEST(RuntimeCheckProgram, Malformed) {
  const struct {
    std::function<void(Program &)> change;
    const char *text;
  } cases[] = {
      {[](Program &p) { p.version = 9; }, "the program's format should be version 3, but is 9"},
      {[](Program &p) { p.slot_list[4].index = 2; }, "malformed program: slot 4 names storage that does not exist"},
      {[](Program &p) { p.slot_list[2].kind = 7; }, "malformed program: slot 2 names storage that does not exist"},
      {[](Program &p) { p.slot_list[2].offset = 1 << 20; }, "malformed program: slot 2 lies outside its storage"},
      {[](Program &p) { p.slot_list[2].bytes = 1 << 20; }, "malformed program: slot 2 lies outside its storage"},
      {[](Program &p) { p.slot_list[2].bytes = INT64_MAX; }, "malformed program: slot 2 lies outside its storage"},
      {[](Program &p) { p.slot_list[2].offset = -64; }, "malformed program: slot 2 lies outside its storage"},
      {[](Program &p) { p.gather_args[1] = 7; }, "malformed program: call 1 (gather) names a slot that does not exist"},
      {[](Program &p) { p.call_list[0].trip = -1; }, "malformed program: call 0 (scale) has a negative trip count"},
      {[](Program &p) { p.call_list[2].kernel = nullptr; },
       "malformed program: call 2 (step) has no kernel or no name"},
      {[](Program &p) { p.in[0].bytes -= 4; }, "malformed program: input 0 (x) does not fit in its bytes"},
      {[](Program &p) { p.in[0].bytes += 4; }, "malformed program: input 0 (x) should be dense and row-major"},
      {[](Program &p) { p.state[0].bytes = ((C - 1) * V_padded + V - 1) * 4; },
       "malformed program: state 0 (w) does not fit in its bytes"},
      {[](Program &p) { p.w_layout[0].dim = 2; }, "malformed program: state 0 (w) does not fit in its bytes"},
      {[](Program &p) { p.w_layout[0].div = 0; }, "malformed program: state 0 (w) does not fit in its bytes"},
      {[](Program &p) { p.out[0].dtype = 50; }, "malformed program: output 0 (y) has an unknown dtype"},
      {[](Program &p) { p.w_dims[0] = -1; }, "malformed program: state 0 (w) has bad dims"},
      {[](Program &p) { p.constant_pointers[0] = nullptr; }, "malformed program: constant 'k' has no data"},
      {[](Program &p) { p.checks[0].input = 0; }, "malformed program: index check 0 should name an integer input"},
      {[](Program &p) { p.arena_bytes = -1; }, "malformed program: an arena of -1 bytes"},
  };
  for (const auto &c : cases) {
    Program program;
    c.change(program);
    std::string why;
    EXPECT_FALSE(create(program, 1, &why)) << c.text;
    EXPECT_EQ(why, c.text);
  }
  trellis_context *context;
  char why[8]; // too short for the message
  EXPECT_EQ(trellis_context_create(nullptr, 1, &context, why, sizeof why), TRELLIS_BAD_PROGRAM);
  EXPECT_STREQ(why, "the pro");
  EXPECT_EQ(trellis_context_create(nullptr, 1, &context, nullptr, 0), TRELLIS_BAD_PROGRAM);
}

TEST(RuntimeCheckProgram, AnArenaThatDoesNotFitInMemory) {
  Program program;
  program.arena_bytes = int64_t{1} << 60;
  std::string why;
  EXPECT_FALSE(create(program, 1, &why));
  EXPECT_EQ(why, "out of memory: the program needs 1152921504606846976 bytes of arena and 1408 of state");
}

} // namespace

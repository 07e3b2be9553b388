/// A program written by hand: what the compiler would emit for
///   y[r, c] = x[r, c] * k[c] + w[label[r], c];  step += 1
/// with x: f32[R, C], label: i64[R], w: f32[V, C] stored transposed, k: constant f32[C], step: i64.
#pragma once
#include "runtime/trellis.h"
#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace fixture {

inline constexpr int64_t R = 37, C = 21, V = 10, V_padded = 16;

inline void scale_kernel(void *const *args, int64_t begin, int64_t end) {
  auto *x = static_cast<const float *>(args[0]), *k = static_cast<const float *>(args[1]);
  auto *t = static_cast<float *>(args[2]);
  for (int64_t i = begin * C; i < end * C; ++i) t[i] = x[i] * k[i % C];
}

inline void gather_kernel(void *const *args, int64_t begin, int64_t end) {
  auto *t = static_cast<const float *>(args[0]), *w = static_cast<const float *>(args[1]);
  auto *label = static_cast<const int64_t *>(args[2]);
  auto *y = static_cast<float *>(args[3]);
  for (int64_t r = begin; r < end; ++r)
    for (int64_t c = 0; c < C; ++c) y[r * C + c] = t[r * C + c] + w[c * V_padded + label[r]];
}

inline void step_kernel(void *const *args, int64_t, int64_t) { ++*static_cast<int64_t *>(args[0]); }

struct Program : trellis_program {
  std::vector<int64_t> x_dims{R, C}, label_dims{R}, w_dims{V, C}, k_dims{C};
  std::vector<trellis_layout_term> w_layout{{0, 0, 1, 0, 1}, {1, 0, 1, 0, V_padded}};
  std::vector<trellis_tensor_info> in, out, state, constant;
  std::vector<float> storage = std::vector<float>(C + 16); // holds k, 64-byte aligned
  std::vector<const void *> constant_pointers;
  std::vector<trellis_slot> slot_list;
  std::vector<uint32_t> scale_args{0, 1, 2}, gather_args{2, 3, 4, 5}, step_args{6};
  std::vector<trellis_call> call_list;
  std::vector<trellis_index_check> checks;

  Program() : trellis_program{} {
    in = {{"x", TRELLIS_F32, 2, x_dims.data(), R * C * 4, nullptr, 0, 0},
          {"label", TRELLIS_I64, 1, label_dims.data(), R * 8, nullptr, 0, 0}};
    out = {{"y", TRELLIS_F32, 2, x_dims.data(), R * C * 4, nullptr, 0, 0}};
    state = {{"w", TRELLIS_F32, 2, w_dims.data(), C * V_padded * 4, w_layout.data(), 2, 1},
             {"step", TRELLIS_I64, 0, nullptr, 8, nullptr, 0, 0}};
    constant = {{"k", TRELLIS_F32, 1, k_dims.data(), C * 4, nullptr, 0, 0}};
    constant_pointers = {k()};
    for (int64_t c = 0; c < C; ++c) k()[c] = 0.5f * static_cast<float>(c);
    slot_list = {{TRELLIS_SLOT_INPUT, 0, 0, R * C * 4},  {TRELLIS_SLOT_CONSTANT, 0, 0, C * 4},
                 {TRELLIS_SLOT_ARENA, 0, 64, R * C * 4}, {TRELLIS_SLOT_STATE, 0, 0, C * V_padded * 4},
                 {TRELLIS_SLOT_INPUT, 1, 0, R * 8},      {TRELLIS_SLOT_OUTPUT, 0, 0, R * C * 4},
                 {TRELLIS_SLOT_STATE, 1, 0, 8}};
    call_list = {{scale_kernel, "scale", scale_args.data(), 3, R, 1, TRELLIS_CALL_KERNEL, 0, 0, 0},
                 {gather_kernel, "gather", gather_args.data(), 4, R, 2, TRELLIS_CALL_KERNEL, 0, 0, 0},
                 {step_kernel, "step", step_args.data(), 1, 1, 1, TRELLIS_CALL_KERNEL, 0, 0, 0}};
    checks = {{1, 0, V}};
    version = TRELLIS_PROGRAM_VERSION;
    name = "fixture";
    inputs = in.data(), outputs = out.data(), states = state.data(), constants = constant.data();
    input_count = 2, output_count = 1, state_count = 2, constant_count = 1;
    constant_data = constant_pointers.data();
    slots = slot_list.data(), slot_count = 7;
    calls = call_list.data(), call_count = 3;
    index_checks = checks.data(), index_check_count = 1;
    arena_bytes = 64 + (R * C * 4 + 63) / 64 * 64;
  }
  Program(const Program &) = delete;
  float *k() {
    auto at = reinterpret_cast<uintptr_t>(storage.data());
    return reinterpret_cast<float *>((at + 63) / 64 * 64);
  }
};

/// A program of one call of one kernel that takes no arguments.
struct OneCall : trellis_program {
  trellis_call call;
  OneCall(trellis_kernel kernel, int64_t trip, int64_t grain = 1)
      : trellis_program{}, call{kernel, "one", nullptr, 0, trip, grain, TRELLIS_CALL_KERNEL, 0, 0, 0} {
    version = TRELLIS_PROGRAM_VERSION;
    name = "one";
    calls = &call, call_count = 1;
  }
  OneCall(const OneCall &) = delete;
};

struct Destroy {
  void operator()(trellis_context *context) const { trellis_context_destroy(context); }
};
using Context = std::unique_ptr<trellis_context, Destroy>;

inline Context create(const trellis_program &program, int threads, std::string *error = nullptr) {
  char why[512] = "";
  trellis_context *context = nullptr;
  trellis_status status = trellis_context_create(&program, threads, &context, why, sizeof why);
  if (error != nullptr) *error = why;
  if ((status == TRELLIS_OK) != (context != nullptr)) abort();
  return Context(context);
}

/// Data for one call of the fixture program, and what the call should give.
struct Data {
  std::vector<float> x = std::vector<float>(R * C), w = std::vector<float>(V * C), y = std::vector<float>(R * C, NAN);
  std::vector<int64_t> label = std::vector<int64_t>(R);
  int64_t x_dims[2] = {R, C}, w_dims[2] = {V, C}, label_dims[1] = {R};
  trellis_tensor inputs[2], output, w_tensor;

  explicit Data(int seed = 0) {
    for (int64_t i = 0; i < R * C; ++i) x[i] = static_cast<float>((i * 7 + seed) % 13) - 6;
    for (int64_t i = 0; i < V * C; ++i) w[i] = static_cast<float>((i * 5 + seed) % 11) / 8;
    for (int64_t r = 0; r < R; ++r) label[r] = (r * 3 + seed) % V;
    inputs[0] = {x.data(), TRELLIS_F32, 2, x_dims};
    inputs[1] = {label.data(), TRELLIS_I64, 1, label_dims};
    output = {y.data(), TRELLIS_F32, 2, x_dims};
    w_tensor = {w.data(), TRELLIS_F32, 2, w_dims};
  }
  Data(const Data &) = delete;
  // Every value is a small multiple of 1/8, so the arithmetic is exact.
  std::vector<float> expected() const {
    std::vector<float> e(R * C);
    for (int64_t r = 0; r < R; ++r)
      for (int64_t c = 0; c < C; ++c) e[r * C + c] = x[r * C + c] * 0.5f * static_cast<float>(c) + w[label[r] * C + c];
    return e;
  }
  trellis_status run(trellis_context *context) { return trellis_run(context, inputs, 2, &output, 1); }
};

} // namespace fixture

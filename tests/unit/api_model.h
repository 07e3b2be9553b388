// A model by the C interface, destroyed at its end, and tensors over vectors.
#pragma once
#include "compiler/api/trellis_compiler.h"
#include <cstdlib>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace trellis::testing {

struct DestroyModel {
  void operator()(trellis_model *m) const { trellis_model_destroy(m); }
};
using ModelPtr = std::unique_ptr<trellis_model, DestroyModel>;

inline ModelPtr parse_model(const char *text, const char *name = "test.trl") {
  char why[1024] = "";
  trellis_model *m = nullptr;
  EXPECT_EQ(trellis_model_parse(text, name, &m, why, sizeof why), TRELLIS_OK) << why;
  return ModelPtr(m);
}

/// A named tensor that owns its numbers.
template <class T> struct Named {
  Named(std::string name, std::vector<int64_t> dims, std::vector<T> values)
      : name(std::move(name)), dims(std::move(dims)), values(std::move(values)) {}
  operator trellis_named_tensor() { return {name.c_str(), tensor()}; }
  trellis_tensor tensor() {
    constexpr int32_t dtype = std::is_same_v<T, float>    ? TRELLIS_F32
                              : std::is_same_v<T, double> ? TRELLIS_F64
                                                          : TRELLIS_I64;
    return {values.data(), dtype, int32_t(dims.size()), dims.data()};
  }
  std::string name;
  std::vector<int64_t> dims;
  std::vector<T> values;
};
using Floats = Named<float>;

/// A place for one file, in a new folder.
inline std::string temporary(const std::string &name) {
  std::string folder = ::testing::TempDir() + "trellis_api_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder + "/" + name;
}

/// The status, and that the model's text has `part`.
#define EXPECT_REFUSED(model, call, expected, part)                                                                    \
  do {                                                                                                                 \
    EXPECT_EQ(call, expected) << trellis_model_error((model).get());                                                   \
    EXPECT_NE(std::string(trellis_model_error((model).get())).find(part), std::string::npos)                           \
        << trellis_model_error((model).get());                                                                         \
  } while (0)
#define EXPECT_OK(model, call) EXPECT_EQ(call, TRELLIS_OK) << trellis_model_error((model).get())

/// y = w x for one number a sample.
inline const char *const kScale = R"(trellis 1
graph @scale(%x: f32[N, 1]) {
  param %w : f32[] init(constant(2))
  %y = mul %x, %w
  return %y
}
)";

/// y = x w + b with a counter of its calls.
inline const char *const kLinear = R"(trellis 1
graph @linear(%x: f32[N, 2]) {
  param %w : f32[2, 3] init(one)
  param %b : f32[3] init(zero)
  state %calls : i64[] init(zero)
  %p = dot %x, %w
  %y = add %p, %b
  %next = add %calls, 1
  update %calls, %next
  return %y
}
)";

} // namespace trellis::testing

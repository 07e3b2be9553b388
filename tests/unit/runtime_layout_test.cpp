// Physical layouts, element by element against the definition in runtime/program.h.
#include "runtime/layout.h"
#include <cstring>
#include <gtest/gtest.h>
#include <vector>

using namespace trellis::runtime;

namespace {

using Term = trellis_layout_term;

/// A layout and how many elements its storage has.
struct Case {
  std::vector<int64_t> dims;
  std::vector<Term> terms;
  int64_t physical;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  // Transposed: sizes below, at and above tiles, and rows padded.
  for (int64_t n : {1, 3, 17, 32, 65})
    for (int64_t m : {1, 7, 33, 64}) {
      all.push_back({{n, m}, {{0, 0, 1, 0, 1}, {1, 0, 1, 0, n}}, n * m});
      all.push_back({{n, m}, {{0, 0, 1, 0, 1}, {1, 0, 1, 0, n + 5}}, (n + 5) * m});
      // Panels [m / 16][n][16] of a dot's right operand, the last one padded.
      all.push_back({{n, m}, {{1, 0, 16, 0, 16 * n}, {0, 0, 1, 0, 16}, {1, 0, 1, 16, 1}}, (m + 15) / 16 * 16 * n});
    }
  // Convolution weights [o][i][h][w] in panels [o / 16][h][w][i][16].
  for (int64_t o : {6, 16, 35})
    for (int64_t i : {1, 3}) {
      int64_t h = 3, w = 5;
      all.push_back({{o, i, h, w},
                     {{0, 0, 16, 0, 16 * i * w * h},
                      {2, 0, 1, 0, 16 * i * w},
                      {3, 0, 1, 0, 16 * i},
                      {1, 0, 1, 0, 16},
                      {0, 0, 1, 16, 1}},
                     (o + 15) / 16 * 16 * i * w * h});
    }
  // Batch innermost: [n / 8][c][8].
  all.push_back({{19, 4}, {{0, 0, 8, 0, 32}, {1, 0, 1, 0, 8}, {0, 0, 1, 8, 1}}, 96});
  // Two levels of blocks of one dim.
  all.push_back({{70}, {{0, 0, 32, 0, 32}, {0, 0, 1, 4, 8}, {0, 0, 4, 8, 1}}, 96});
  all.push_back({{5, 0, 3}, {{0, 0, 1, 0, 1}}, 16});
  all.push_back({{}, {}, 4});
  return all;
}

template <class T> void check(const Case &c, int32_t dtype) {
  auto dims = c.dims;
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  static const Term none{};
  trellis_tensor_info info{"t",
                           dtype,
                           static_cast<int32_t>(dims.size()),
                           dims.data(),
                           c.physical * int64_t{sizeof(T)},
                           c.terms.empty() ? &none : c.terms.data(),
                           static_cast<int32_t>(c.terms.size()),
                           0};
  ASSERT_TRUE(layout_fits(info));

  std::vector<T> dense(count + 1), expected(c.physical), physical(c.physical, T(77)), back(count + 1, T(99));
  for (int64_t flat = 0; flat < count; ++flat) {
    dense[flat] = static_cast<T>(flat * 31 + 1);
    std::vector<int64_t> index(dims.size());
    int64_t rest = flat;
    for (size_t d = dims.size(); d-- > 0;) index[d] = rest % dims[d], rest /= dims[d];
    int64_t place = 0;
    for (const Term &t : c.terms) {
      int64_t q = index[t.dim] / t.div;
      place += (t.mod ? q % t.mod : q) * t.stride;
    }
    expected.at(place) = dense[flat];
  }
  dense[count] = back[count] = T(55); // neither read nor written
  ASSERT_TRUE(layout_pack(info, physical.data(), dense.data()));
  EXPECT_EQ(physical, expected);
  ASSERT_TRUE(layout_unpack(info, back.data(), physical.data()));
  EXPECT_EQ(back, dense);
}

TEST(RuntimeLayout, PackAndUnpackFollowTheDefinition) {
  for (const Case &c : cases()) {
    SCOPED_TRACE(testing::PrintToString(c.dims));
    check<uint8_t>(c, TRELLIS_BOOL);
    check<uint16_t>(c, TRELLIS_BF16);
    check<uint32_t>(c, TRELLIS_F32);
    check<uint64_t>(c, TRELLIS_I64);
  }
}

TEST(RuntimeLayout, RowMajorIsACopyWithPadding) {
  int64_t dims[] = {3, 2};
  trellis_tensor_info info{"t", TRELLIS_F32, 2, dims, 32, nullptr, 0, 0};
  std::vector<float> dense{1, 2, 3, 4, 5, 6}, physical(8, 9.0f), back(6);
  ASSERT_TRUE(layout_pack(info, physical.data(), dense.data()));
  EXPECT_EQ(physical, (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
  ASSERT_TRUE(layout_unpack(info, back.data(), physical.data()));
  EXPECT_EQ(back, dense);
}

TEST(RuntimeLayout, SizesThatOverflowAreRefused) {
  int64_t huge[] = {int64_t{1} << 40, int64_t{1} << 40}, empty[] = {int64_t{1} << 40, 0, int64_t{1} << 40};
  EXPECT_EQ(element_count(2, huge), -1);
  trellis_tensor_info info{"t", TRELLIS_F32, 2, huge, INT64_MAX, nullptr, 0, 0};
  EXPECT_FALSE(layout_fits(info));
  EXPECT_EQ(element_count(2, empty), 0);
  int64_t one[] = {int64_t{1} << 40};
  Term term{0, 0, 1, 0, int64_t{1} << 30};
  trellis_tensor_info wide{"t", TRELLIS_F32, 1, one, INT64_MAX, &term, 1, 0};
  EXPECT_FALSE(layout_fits(wide));
}

TEST(RuntimeLayout, EveryDtypeHasItsSizeAndName) {
  const struct {
    int32_t dtype;
    int64_t bytes;
    const char *name;
  } table[] = {{TRELLIS_F32, 4, "f32"},  {TRELLIS_F64, 8, "f64"}, {TRELLIS_F16, 2, "f16"}, {TRELLIS_BF16, 2, "bf16"},
               {TRELLIS_I8, 1, "i8"},    {TRELLIS_I16, 2, "i16"}, {TRELLIS_I32, 4, "i32"}, {TRELLIS_I64, 8, "i64"},
               {TRELLIS_U8, 1, "u8"},    {TRELLIS_U16, 2, "u16"}, {TRELLIS_U32, 4, "u32"}, {TRELLIS_U64, 8, "u64"},
               {TRELLIS_BOOL, 1, "bool"}};
  for (const auto &row : table) {
    EXPECT_EQ(dtype_bytes(row.dtype), row.bytes);
    EXPECT_STREQ(dtype_name(row.dtype), row.name);
  }
  EXPECT_EQ(dtype_bytes(13), 0);
  EXPECT_EQ(dtype_bytes(-1), 0);
}

} // namespace

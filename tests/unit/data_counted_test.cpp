#include "compiler/data/counted.h"
#include <gtest/gtest.h>

namespace trellis {

static Tensor numbered(std::vector<int64_t> dims) {
  Tensor t(DType::i64, std::move(dims));
  for (int64_t i = 0; i < t.size(); ++i) t.set_int(i, i);
  return t;
}

TEST(DataCounted, FirstElementsAlongAnAxis) {
  for (int64_t n : {0, 1, 3}) {
    Tensor t = first_along(numbered({2, 3, 2}), 1, n);
    ASSERT_EQ(t.dims(), (std::vector<int64_t>{2, n, 2}));
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t j = 0; j < n * 2; ++j) EXPECT_EQ(t.get_int(i * n * 2 + j), i * 6 + j);
  }
}

TEST(DataCounted, OutputsAreCutAndCountsTakenAway) {
  std::vector<NamedTensor> results{
      {"y", numbered({4})}, {"z", numbered({4})}, {"y.count", Tensor::scalar_int(DType::i64, 3)}};
  cut_to_counts(results, {{"y", 0, "y.count"}, {"absent", 0, "absent.count"}});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].tensor.dims(), std::vector<int64_t>{3});
  EXPECT_EQ(results[1].tensor.dims(), std::vector<int64_t>{4});
}

} // namespace trellis

#include "compiler/data/digits.h"
#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <vector>

namespace trellis {

namespace {
constexpr int kPixels = 28 * 28;
std::span<const float> image(const Dataset &d, int64_t i) {
  return d.inputs.as<float>().subspan(size_t(i) * kPixels, kPixels);
}
} // namespace

TEST(Digits, SamplesAreFunctionsOfSeedAndIndex) {
  Dataset few = make_digits(5, 42), more = make_digits(20, 42), other = make_digits(5, 43);
  EXPECT_EQ(few.inputs.dims(), (std::vector<int64_t>{5, 1, 28, 28}));
  EXPECT_EQ(few.classes, 10);
  for (int64_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(std::ranges::equal(image(few, i), image(more, i)));
    EXPECT_FALSE(std::ranges::equal(image(few, i), image(other, i)));
    EXPECT_EQ(few.targets.get_int(i), more.targets.get_int(i));
  }
  EXPECT_EQ(make_digits(0, 1).size(), 0);
}

TEST(Digits, AreGreyBytesWithInkInsideTheFrame) {
  Dataset d = make_digits(500, 1);
  std::array<int, 10> counts{};
  for (int64_t i = 0; i < d.size(); ++i) {
    ++counts.at(size_t(d.targets.get_int(i)));
    double ink = 0, frame = 0;
    for (int k = 0; k < kPixels; ++k) {
      float v = image(d, i)[size_t(k)];
      ASSERT_TRUE(v >= 0 && v <= 1 && v == std::round(v * 255) / 255.0f);
      int x = k % 28, y = k / 28;
      (x == 0 || y == 0 || x == 27 || y == 27 ? frame : ink) += v;
    }
    EXPECT_GT(ink, 15) << i;
    EXPECT_LT(frame / 108, 0.12) << i; // noise, no stroke along it
  }
  for (int c : counts) EXPECT_NEAR(c, 50, 4 * std::sqrt(50));
}

TEST(Digits, AreATaskThatIsNeitherTrivialNorHopeless) {
  Dataset train = make_digits(1000, 1), test = make_digits(400, 2);
  // Nearest mean: a linear classifier. Nearest neighbour: what memory alone gives.
  std::vector<double> mean(10 * kPixels);
  std::array<int, 10> counts{};
  for (int64_t i = 0; i < train.size(); ++i) {
    size_t c = size_t(train.targets.get_int(i));
    ++counts[c];
    for (size_t k = 0; k < kPixels; ++k) mean[c * kPixels + k] += image(train, i)[k];
  }
  int by_mean = 0, by_neighbour = 0;
  for (int64_t i = 0; i < test.size(); ++i) {
    double best = 1e30;
    int64_t choice = -1;
    for (size_t c = 0; c < 10; ++c) {
      double d = 0;
      for (size_t k = 0; k < kPixels; ++k) d += std::pow(mean[c * kPixels + k] / counts[c] - image(test, i)[k], 2);
      if (d < best) best = d, choice = int64_t(c);
    }
    by_mean += choice == test.targets.get_int(i);
    float nearest = 1e30f;
    for (int64_t j = 0; j < train.size(); ++j) {
      float d = 0;
      for (size_t k = 0; k < kPixels; ++k) {
        float e = image(train, j)[k] - image(test, i)[k];
        d += e * e;
      }
      if (d < nearest) nearest = d, choice = train.targets.get_int(j);
    }
    by_neighbour += choice == test.targets.get_int(i);
  }
  EXPECT_GT(by_mean, 200); // of 400
  EXPECT_LT(by_mean, 360);
  EXPECT_GT(by_neighbour, 320);
  EXPECT_LT(by_neighbour, 396);
}

TEST(Digits, HaveTheSameBytesOnEveryMachine) {
  // FNV-1a over the bytes of a thousand samples: a checkpoint of the built-in data is comparable between
  // machines only while this number stays.
  Dataset d = make_digits(1000, 7);
  uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3; };
  for (float v : d.inputs.as<float>()) mix(uint8_t(std::lround(v * 255)));
  for (int64_t t : d.targets.as<int64_t>()) mix(uint8_t(t));
  EXPECT_EQ(hash, 0x824ca48a452cf8c0u) << std::hex << hash;
}

} // namespace trellis

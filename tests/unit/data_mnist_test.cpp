#include "compiler/data/mnist.h"
#include "data_test_files.h"

namespace trellis {
using namespace testing;

namespace {

std::string images(int count, const std::string &pixels) {
  return std::string("\0\0\x08\x03\0\0\0", 7) + char(count) + std::string("\0\0\0\2\0\0\0\2", 8) + pixels;
}
std::string labels(const std::string &values) {
  return std::string("\0\0\x08\x01\0\0\0", 7) + char(values.size()) + values;
}

void put_all(const TestFolder &f) {
  f.put("train-images-idx3-ubyte", images(2, std::string("\0\xff\x33\1\2\3\4\5", 8)));
  f.put("train-labels-idx1-ubyte", labels("\7\2"));
  f.put("t10k-images-idx3-ubyte", images(1, "abcd"));
  f.put("t10k-labels-idx1-ubyte", labels("\1"));
}

} // namespace

TEST(Mnist, LoadsAFolder) {
  TestFolder f;
  put_all(f);
  auto [train, test] = load_mnist(f / "");
  EXPECT_EQ(train.inputs.dims(), (std::vector<int64_t>{2, 1, 2, 2}));
  EXPECT_EQ(train.inputs.get(1), 1);
  EXPECT_EQ(train.inputs.get(2), double(51 / 255.0f));
  EXPECT_EQ(train.targets.dtype(), DType::i64);
  EXPECT_EQ(train.targets.get_int(0), 7);
  EXPECT_EQ(train.classes, 10);
  EXPECT_EQ(train.class_names[3], "3");
  EXPECT_EQ(test.size(), 1);
  EXPECT_TRUE(test.where.str().ends_with("/t10k-images-idx3-ubyte")) << test.where.str();
}

TEST(Mnist, ErrorsNameTheFile) {
  TestFolder f;
  expect_in(": error: neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz is in this folder",
            error_of([&] { load_mnist(f / ""); }));
  put_all(f);
  f.put("train-labels-idx1-ubyte", labels("\7\2\3"));
  expect_in("train-labels-idx1-ubyte: error: holds u8[3], expected 2 labels", error_of([&] { load_mnist(f / ""); }));
  f.put("train-labels-idx1-ubyte", labels("\7\x0a"));
  expect_in("label 1 is 10, expected 0 to 9", error_of([&] { load_mnist(f / ""); }));
  f.put("train-labels-idx1-ubyte", images(1, "abcd"));
  expect_in("expected u8 labels [count]", error_of([&] { load_mnist(f / ""); }));
  f.put("train-images-idx3-ubyte", labels("ab"));
  expect_in("train-images-idx3-ubyte: error: holds u8[2], expected u8 images", error_of([&] { load_mnist(f / ""); }));
}

TEST(Mnist, TheRealFilesHaveTheirPublishedSizes) {
  if (test_data().empty()) GTEST_SKIP() << "no test data";
  auto [train, test] = load_mnist(test_data() + "/data/mnist");
  EXPECT_EQ(train.inputs.dims(), (std::vector<int64_t>{60000, 1, 28, 28}));
  EXPECT_EQ(test.inputs.dims(), (std::vector<int64_t>{10000, 1, 28, 28}));
  // The first labels and the pixels' mean, 0.1307, are quoted wherever MNIST is normalised.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(train.targets.get_int(i), (std::vector<int64_t>{5, 0, 4, 1, 9})[size_t(i)]);
  double sum = 0;
  for (float v : train.inputs.as<float>()) sum += v;
  EXPECT_NEAR(sum / double(train.inputs.size()), 0.1307, 5e-5);
}

} // namespace trellis

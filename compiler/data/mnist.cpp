#include "compiler/data/mnist.h"
#include "compiler/data/idx.h"
#include "compiler/data/input.h"
#include <array>
#include <fmt/format.h>
#include <unistd.h>

namespace trellis {

static constexpr int kClasses = 10;

static std::string existing(const std::string &folder, const std::string &name) {
  for (std::string suffix : {"", ".gz"})
    if (std::string path = folder + "/" + name + suffix; ::access(path.c_str(), F_OK) == 0) return path;
  throw CompileError(file_location(folder), fmt::format("neither {} nor {}.gz is in this folder", name, name));
}

static Dataset load_part(const std::string &folder, const std::string &part) {
  const std::string image_path = existing(folder, part + "-images-idx3-ubyte");
  const std::string label_path = existing(folder, part + "-labels-idx1-ubyte");
  Tensor images = read_idx(image_path), labels = read_idx(label_path);
  auto expect = [](bool ok, const std::string &path, const Tensor &t, const std::string &what) {
    if (!ok)
      throw CompileError(file_location(path),
                         fmt::format("holds {}[{}], expected {}", name(t.dtype()), dims_text(t.dims()), what));
  };
  expect(images.dtype() == DType::u8 && images.rank() == 3, image_path, images, "u8 images [count x rows x columns]");
  expect(labels.dtype() == DType::u8 && labels.rank() == 1, label_path, labels, "u8 labels [count]");
  const int64_t n = images.dims()[0];
  expect(labels.size() == n, label_path, labels, fmt::format("{} labels, one for each image of {}", n, image_path));

  Dataset out{.classes = kClasses, .where = file_location(image_path)};
  for (int i = 0; i < kClasses; ++i) out.class_names.push_back(std::to_string(i));
  std::array<float, 256> scaled;
  for (int i = 0; i < 256; ++i) scaled[size_t(i)] = float(i) / 255.0f;
  out.inputs = allocate(DType::f32, {n, 1, images.dims()[1], images.dims()[2]}, file_location(image_path));
  std::span<const uint8_t> from = std::as_const(images).as<uint8_t>();
  std::span<float> to = out.inputs.as<float>();
  for (size_t i = 0; i < from.size(); ++i) to[i] = scaled[from[i]];
  out.targets = Tensor(DType::i64, {n});
  for (int64_t i = 0; i < n; ++i) {
    int64_t label = labels.get_int(i);
    if (label >= kClasses)
      throw CompileError(file_location(label_path),
                         fmt::format("label {} is {}, expected 0 to {}", i, label, kClasses - 1));
    out.targets.set_int(i, label);
  }
  return out;
}

TrainTest load_mnist(const std::string &folder) { return {load_part(folder, "train"), load_part(folder, "t10k")}; }

} // namespace trellis

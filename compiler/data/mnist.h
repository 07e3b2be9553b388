// MNIST and its relatives of the same four files (Fashion-MNIST, KMNIST).
#pragma once
#include "compiler/data/dataset.h"
#include <string>

namespace trellis {

struct TrainTest {
  Dataset train, test;
};

/// train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., each plain or with .gz, from a folder.
/// Inputs f32 [n, 1, rows, columns] = byte / 255, targets i64 [n] of ten classes.
TrainTest load_mnist(const std::string &folder);

} // namespace trellis

// IDX files, the format of MNIST: a dense array of one of six types, big endian, gzipped or not.
#pragma once
#include "ir/tensor.h"
#include <string>

namespace trellis {

/// u8, i8, i16, i32, f32 or f64, as the file says. Gzip is seen by its content, not by the name.
Tensor read_idx(const std::string &path);

} // namespace trellis

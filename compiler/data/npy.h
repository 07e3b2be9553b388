// NumPy's .npy files: one dense array behind a short text header.
//
// Read: format versions 1 to 3, C and Fortran order (stored row-major here), either byte order, every dtype
// that both sides have. Written: version 1, C order, little endian. NumPy has no bfloat16: writing one is
// refused.
#pragma once
#include "ir/diag.h"
#include "ir/tensor.h"
#include <functional>
#include <string>

namespace trellis {

Tensor read_npy(const std::string &path);
void write_npy(const std::string &path, const Tensor &tensor);

/// Reads up to `bytes` bytes and says how many; fewer only at the end. Throws on a read error.
using ByteSource = std::function<size_t(void *to, size_t bytes)>;
/// The array in `source`, which holds `total` bytes in all; nothing larger than `total` is allocated.
Tensor read_npy(const ByteSource &source, uint64_t total, const Location &where);
/// What stands before the data in a file of this tensor; a CompileError at `where` for a dtype that NumPy
/// lacks.
std::string npy_header(const Tensor &tensor, const Location &where);

} // namespace trellis

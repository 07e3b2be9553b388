/// Conversions between dense row-major data, which users see, and the physical layouts of state and
/// constants.
#pragma once
#include "runtime/program.h"
#include <stddef.h>

namespace trellis::runtime {

/// Bytes of an element; 0: no such dtype.
int64_t dtype_bytes(int32_t dtype);
const char *dtype_name(int32_t dtype);
/// Elements of a tensor; -1: a dim is negative or the product does not fit.
int64_t element_count(int32_t rank, const int64_t *dims);

/// Whether the layout's terms are well formed and every element lies inside `info.bytes`.
bool layout_fits(const trellis_tensor_info &info);

/// Writes a dense tensor in its physical layout; slots that hold no element become zero. False: out of
/// memory.
bool layout_pack(const trellis_tensor_info &info, void *physical, const void *dense);
/// The inverse of layout_pack.
bool layout_unpack(const trellis_tensor_info &info, void *dense, const void *physical);

} // namespace trellis::runtime

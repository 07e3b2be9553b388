#include "runtime/layout.h"
#include <stdlib.h>
#include <string.h>

namespace trellis::runtime {
namespace {

// Each term of a layout reads one index, so the place of element (i0, i1, ...) is a sum of functions of one
// index each: place = f0[i0] + f1[i1] + ... The functions are tabulated once, and copying is additions.
struct Plan {
  int rank;
  const int64_t *dims;
  int64_t *memory = nullptr; // the tables, then the counters of the outer loops
  int64_t *table(int dim) const {
    int64_t *at = memory;
    for (int d = 0; d < dim; ++d) at += dims[d];
    return at;
  }
  int64_t *counters() const { return table(rank); }

  explicit Plan(const trellis_tensor_info &info) : rank(info.rank), dims(info.dims) {
    size_t size = static_cast<size_t>(rank);
    for (int d = 0; d < rank; ++d) size += static_cast<size_t>(dims[d]);
    memory = static_cast<int64_t *>(calloc(size, sizeof(int64_t)));
    if (memory == nullptr) return;
    for (int t = 0; t < info.layout_count; ++t) {
      const trellis_layout_term &term = info.layout[t];
      int64_t *f = table(term.dim);
      for (int64_t i = 0; i < dims[term.dim]; ++i) {
        int64_t q = i / term.div;
        f[i] += (term.mod != 0 ? q % term.mod : q) * term.stride;
      }
    }
  }
  ~Plan() { free(memory); }
  Plan(const Plan &) = delete;
  Plan &operator=(const Plan &) = delete;
};

/// Calls move(place, dense index) for every element. The two inner loops are the last dim, which is
/// contiguous in the dense data, and of the others the one with the closest neighbours in the physical data,
/// in tiles of cache lines.
template <class Move> void for_each_element(const Plan &plan, Move move) {
  int last = plan.rank - 1, other = -1;
  const int64_t *last_table = plan.table(last);
  int64_t closest = INT64_MAX;
  for (int d = 0; d < last; ++d) {
    if (plan.dims[d] < 2) continue;
    int64_t step = plan.table(d)[1] - plan.table(d)[0];
    if (step > 0 && step < closest) closest = step, other = d;
  }

  static const int64_t zero = 0;
  const int64_t *other_table = other >= 0 ? plan.table(other) : &zero;
  int64_t other_dim = other >= 0 ? plan.dims[other] : 1, last_dim = plan.dims[last];
  constexpr int64_t tile = 16;
  int64_t other_stride = 1;
  for (int d = plan.rank; d-- > other + 1;) other_stride *= plan.dims[d];

  int64_t *counters = plan.counters();
  for (;;) {
    int64_t place = 0, dense = 0;
    for (int d = 0; d <= last; ++d) {
      bool inner = d == last || d == other;
      dense = dense * plan.dims[d] + (inner ? 0 : counters[d]);
      if (!inner) place += plan.table(d)[counters[d]];
    }
    for (int64_t j0 = 0; j0 < other_dim; j0 += tile)
      for (int64_t i0 = 0; i0 < last_dim; i0 += tile) {
        int64_t j1 = j0 + tile < other_dim ? j0 + tile : other_dim;
        int64_t i1 = i0 + tile < last_dim ? i0 + tile : last_dim;
        for (int64_t j = j0; j < j1; ++j)
          for (int64_t i = i0; i < i1; ++i) move(place + other_table[j] + last_table[i], dense + j * other_stride + i);
      }
    int d = last;
    while (--d >= 0) {
      if (d == other) continue;
      if (++counters[d] < plan.dims[d]) break;
      counters[d] = 0;
    }
    if (d < 0) return;
  }
}

template <class T> void pack(const Plan &plan, void *physical, const void *dense) {
  T *to = static_cast<T *>(physical);
  const T *from = static_cast<const T *>(dense);
  for_each_element(plan, [=](int64_t place, int64_t index) { to[place] = from[index]; });
}

template <class T> void unpack(const Plan &plan, void *dense, const void *physical) {
  T *to = static_cast<T *>(dense);
  const T *from = static_cast<const T *>(physical);
  for_each_element(plan, [=](int64_t place, int64_t index) { to[index] = from[place]; });
}

size_t dense_bytes(const trellis_tensor_info &info) {
  return static_cast<size_t>(element_count(info.rank, info.dims) * dtype_bytes(info.dtype));
}

} // namespace

int64_t dtype_bytes(int32_t dtype) {
  static constexpr int8_t bytes[] = {4, 8, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
  return dtype >= TRELLIS_F32 && dtype <= TRELLIS_BOOL ? bytes[dtype] : 0;
}

const char *dtype_name(int32_t dtype) {
  static constexpr const char *names[] = {"f32", "f64", "f16", "bf16", "i8",  "i16", "i32",
                                          "i64", "u8",  "u16", "u32",  "u64", "bool"};
  return dtype >= TRELLIS_F32 && dtype <= TRELLIS_BOOL ? names[dtype] : "?";
}

int64_t element_count(int32_t rank, const int64_t *dims) {
  int64_t count = 1;
  bool empty = false;
  for (int32_t d = 0; d < rank; ++d) {
    if (dims[d] < 0) return -1;
    if (dims[d] == 0)
      empty = true;
    else if (__builtin_mul_overflow(count, dims[d], &count))
      return -1;
  }
  return empty ? 0 : count;
}

bool layout_fits(const trellis_tensor_info &info) {
  int64_t size = dtype_bytes(info.dtype), count = element_count(info.rank, info.dims), needed;
  if (size == 0 || count < 0 || info.bytes < 0) return false;
  if (info.layout == nullptr) return !__builtin_mul_overflow(count, size, &needed) && needed <= info.bytes;
  if (info.layout_count < 0) return false;
  int64_t highest = 0;
  for (int32_t t = 0; t < info.layout_count; ++t) {
    const trellis_layout_term &term = info.layout[t];
    if (term.dim < 0 || term.dim >= info.rank || term.div < 1 || term.mod < 0 || term.stride < 0) return false;
    int64_t top = info.dims[term.dim] == 0 ? 0 : (info.dims[term.dim] - 1) / term.div;
    if (term.mod != 0 && top >= term.mod) top = term.mod - 1;
    if (__builtin_mul_overflow(top, term.stride, &top) || __builtin_add_overflow(highest, top, &highest)) return false;
  }
  return count == 0 || highest < info.bytes / size;
}

bool layout_pack(const trellis_tensor_info &info, void *physical, const void *dense) {
  size_t used = dense_bytes(info), bytes = static_cast<size_t>(info.bytes);
  if (used < bytes) memset(physical, 0, bytes);
  if (used == 0) return true;
  if (info.layout == nullptr || info.rank == 0) {
    memcpy(physical, dense, used);
    return true;
  }
  Plan plan(info);
  if (plan.memory == nullptr) return false;
  switch (dtype_bytes(info.dtype)) {
  case 1: pack<uint8_t>(plan, physical, dense); break;
  case 2: pack<uint16_t>(plan, physical, dense); break;
  case 4: pack<uint32_t>(plan, physical, dense); break;
  case 8: pack<uint64_t>(plan, physical, dense); break;
  }
  return true;
}

bool layout_unpack(const trellis_tensor_info &info, void *dense, const void *physical) {
  size_t used = dense_bytes(info);
  if (used == 0) return true;
  if (info.layout == nullptr || info.rank == 0) {
    memcpy(dense, physical, used);
    return true;
  }
  Plan plan(info);
  if (plan.memory == nullptr) return false;
  switch (dtype_bytes(info.dtype)) {
  case 1: unpack<uint8_t>(plan, dense, physical); break;
  case 2: unpack<uint16_t>(plan, dense, physical); break;
  case 4: unpack<uint32_t>(plan, dense, physical); break;
  case 8: unpack<uint64_t>(plan, dense, physical); break;
  }
  return true;
}

} // namespace trellis::runtime

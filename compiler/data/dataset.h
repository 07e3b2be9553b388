// Samples with their targets, and the order in which training sees them.
#pragma once
#include "ir/diag.h"
#include "ir/tensor.h"
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trellis {

struct Dataset {
  Tensor inputs = {};                          ///< [samples, ...]
  Tensor targets = {};                         ///< i64 [samples] class ids, or floating values [samples, n]
  int classes = 0;                             ///< 0: the targets are values
  std::vector<std::string> class_names = {};   ///< one for each class
  std::vector<std::string> feature_names = {}; ///< one for each column of rank-2 inputs, or empty
  Location where = {};                         ///< the file that it was read from
  std::vector<std::string> notes = {};         ///< what the reader decided and the user should see, a line each
  int64_t size() const { return inputs.dims().empty() ? 0 : inputs.dims()[0]; }
};

/// 0 to n-1 in random order: a function of the three numbers alone, on every machine.
std::vector<uint32_t> permutation(uint32_t n, uint64_t seed, uint64_t epoch);

/// The given rows (entries of the first axis), copied to `to`, which has room for them; 0 <= row < rows.
void take_rows(const Tensor &from, std::span<const uint32_t> rows, std::byte *to);
Tensor take_rows(const Tensor &from, std::span<const uint32_t> rows);
Dataset take_rows(const Dataset &from, std::span<const uint32_t> rows);

/// Training and test part: `test_fraction` of the samples, at least one of each, chosen by `seed`; both stay
/// in order.
std::pair<Dataset, Dataset> split(const Dataset &all, double test_fraction, uint64_t seed);

/// Mean and population deviation of each column.
struct Scaling {
  std::vector<double> mean, deviation; ///< a deviation of 0 is kept as 1
};
Scaling fit_scaling(const Tensor &matrix);
/// (x - mean) / deviation, in place.
void apply_scaling(const Scaling &scaling, Tensor &matrix);

} // namespace trellis

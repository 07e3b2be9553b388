#include "compiler/data/dataset.h"
#include "compiler/data/random.h"
#include "ir/diag.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <numeric>

namespace trellis {

std::vector<uint32_t> permutation(uint32_t n, uint64_t seed, uint64_t epoch) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  Random random(seed, epoch);
  for (uint32_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]); // Fisher-Yates
  return order;
}

void take_rows(const Tensor &from, std::span<const uint32_t> rows, std::byte *to) {
  TRELLIS_CHECK(from.rank() > 0, "rows of a scalar");
  const int64_t count = from.dims()[0];
  const size_t row_bytes = count ? size_t(from.bytes() / count) : 0;
  if (row_bytes == 0) return;
  for (uint32_t row : rows) {
    TRELLIS_CHECK(row < count, "the row is in the tensor");
    std::memcpy(to, from.data() + row * row_bytes, row_bytes);
    to += row_bytes;
  }
}

Tensor take_rows(const Tensor &from, std::span<const uint32_t> rows) {
  std::vector<int64_t> dims = from.dims();
  dims.at(0) = int64_t(rows.size());
  Tensor out(from.dtype(), std::move(dims));
  take_rows(from, rows, out.data());
  return out;
}

Dataset take_rows(const Dataset &from, std::span<const uint32_t> rows) {
  Dataset out = from;
  out.inputs = take_rows(from.inputs, rows);
  out.targets = take_rows(from.targets, rows);
  return out;
}

std::pair<Dataset, Dataset> split(const Dataset &all, double test_fraction, uint64_t seed) {
  const int64_t n = all.size();
  if (n < 2) throw CompileError(all.where, fmt::format("cannot split {} sample(s) into a training and a test part", n));
  if (!(test_fraction > 0 && test_fraction < 1))
    throw CompileError(
        all.where, fmt::format("the test part is {} of the samples; expected a number between 0 and 1", test_fraction));
  std::vector<uint32_t> order = permutation(uint32_t(n), seed, 0);
  auto middle = order.begin() + std::clamp(std::llround(double(n) * test_fraction), 1LL, (long long)n - 1);
  std::sort(order.begin(), middle);
  std::sort(middle, order.end());
  return {take_rows(all, {middle, order.end()}), take_rows(all, {order.begin(), middle})};
}

Scaling fit_scaling(const Tensor &matrix) {
  TRELLIS_CHECK(matrix.rank() == 2 && is_float(matrix.dtype()), "columns are scaled of a floating matrix");
  const int64_t rows = matrix.dims()[0], columns = matrix.dims()[1];
  Scaling s{std::vector<double>(size_t(columns), 0.0), std::vector<double>(size_t(columns), 1.0)};
  for (int64_t c = 0; c < columns && rows; ++c) {
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < rows; ++r) sum += matrix.get(r * columns + c);
    const double mean = sum / double(rows);
    for (int64_t r = 0; r < rows; ++r) {
      double d = matrix.get(r * columns + c) - mean;
      squares += d * d;
    }
    s.mean[size_t(c)] = mean;
    if (squares > 0) s.deviation[size_t(c)] = std::sqrt(squares / double(rows));
  }
  return s;
}

void apply_scaling(const Scaling &scaling, Tensor &matrix) {
  TRELLIS_CHECK(matrix.rank() == 2 && matrix.dims()[1] == int64_t(scaling.mean.size()), "a scaling of as many columns");
  const int64_t columns = matrix.dims()[1];
  for (int64_t i = 0; i < matrix.size(); ++i) {
    const size_t c = size_t(i % columns);
    matrix.set(i, (matrix.get(i) - scaling.mean[c]) / scaling.deviation[c]);
  }
}

} // namespace trellis

#include "compiler/data/counted.h"
#include <algorithm>
#include <cstring>

namespace trellis {

Tensor first_along(const Tensor &t, int axis, int64_t count) {
  std::vector<int64_t> dims = t.dims();
  size_t inner = size_t(size_of(t.dtype())), outer = 1;
  for (size_t k = 0; k < dims.size(); ++k) (int(k) < axis ? outer : inner) *= k == size_t(axis) ? 1 : size_t(dims[k]);
  size_t from = inner * size_t(dims[size_t(axis)]), to = inner * size_t(count);
  dims[size_t(axis)] = count;
  Tensor out(t.dtype(), dims);
  for (size_t i = 0; i < outer && to; ++i) std::memcpy(out.data() + i * to, t.data() + i * from, to);
  return out;
}

void cut_to_counts(std::vector<NamedTensor> &results, const std::vector<CountedOutput> &counted) {
  for (const CountedOutput &c : counted) {
    const Tensor *count = find(results, c.count);
    if (!count) continue;
    for (NamedTensor &r : results)
      if (r.name == c.output) r.tensor = first_along(r.tensor, c.axis, count->get_int(0));
  }
  std::erase_if(results, [&](const NamedTensor &r) {
    return std::any_of(counted.begin(), counted.end(), [&](const CountedOutput &c) { return c.count == r.name; });
  });
}

} // namespace trellis

#include "runtime/text.h"
#include "runtime/layout.h"
#include <inttypes.h>

namespace trellis::runtime {

void Text::add_type(int32_t dtype, int32_t rank, const int64_t *dims) {
  add("%s", dtype_name(dtype));
  if (rank <= 0) return;
  for (int32_t d = 0; d < rank; ++d) add("%s%" PRId64, d == 0 ? "[" : ", ", dims[d]);
  add("]");
}

} // namespace trellis::runtime

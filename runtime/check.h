/// What callers hand over is compared with the program; messages name the tensor and say what it should be.
#pragma once
#include "runtime/text.h"
#include "runtime/trellis.h"

namespace trellis::runtime {

/// Whether a program is one that this runtime can run: format version, every slot and argument in range,
/// sizes.
trellis_status check_program(const trellis_program *program, Text &error);

/// One tensor of a caller against the program: dtype, rank, dims, null, alignment. `role` is "input",
/// "output", "state".
trellis_status check_tensor(const char *role, const trellis_tensor_info &info, const trellis_tensor &given,
                            Text &error);

/// Everything about a call: counts, each tensor, outputs apart from all else, indices in range.
trellis_status check_call(const trellis_program &program, const trellis_tensor *inputs, uint32_t input_count,
                          const trellis_tensor *outputs, uint32_t output_count, Text &error);

} // namespace trellis::runtime

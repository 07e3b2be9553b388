// What schedules need to know of the machine. Nominal figures of a named target, never read from the machine, so that
// a schedule, and with it every bit of a result, is a function of shapes and the target's name.
#pragma once
#include <cstdint>

namespace trellis {

struct Machine {
  int vector_bytes = 16;
  bool fma = false;   ///< fused multiply-add in hardware
  int registers = 16; ///< vector registers
  int64_t l1_bytes = 32 << 10, l2_bytes = 512 << 10;
  int lanes(int element_bytes) const { return vector_bytes / element_bytes; }
};

} // namespace trellis

/// A message in a buffer of fixed size: formatting that never allocates.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

namespace trellis::runtime {

class Text {
public:
  Text(char *buffer, size_t size) : buffer(buffer), size(size) {
    if (size > 0) buffer[0] = 0;
  }
  /// Appends; what does not fit is cut off.
  __attribute__((format(printf, 2, 3))) void add(const char *format, ...) {
    if (used + 1 >= size) return;
    va_list list;
    va_start(list, format);
    int written = vsnprintf(buffer + used, size - used, format, list);
    va_end(list);
    if (written > 0) used += static_cast<size_t>(written);
    if (used >= size) used = size - 1;
  }
  /// Appends e.g. f32[64, 784].
  void add_type(int32_t dtype, int32_t rank, const int64_t *dims);

private:
  char *buffer;
  size_t size;
  size_t used = 0;
};

} // namespace trellis::runtime

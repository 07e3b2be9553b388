#include "compiler/onnx/windows.h"
#include <algorithm>
#include <fmt/format.h>

namespace trellis::onnx {

Windows windows_of(const Step &s, Value x, Ints size) {
  s.require(x.rank() >= 3, fmt::format("needs axes behind the channels, but has {}", x.type().str()));
  size_t n = size_t(x.rank()) - 2;
  s.require(size.size() == n, fmt::format("the kernel has {} axes, but {} has {}", size.size(), x.type().str(), n));
  Windows w{size, s.ints("strides", Ints(n, 1)), s.ints("dilations", Ints(n, 1)), Ints(n, 0), Ints(n, 0), Ints(n, 0)};
  Ints pads = s.ints("pads", Ints(2 * n, 0));
  s.require(w.stride.size() == n && w.dilation.size() == n && pads.size() == 2 * n,
            "strides, dilations or pads do not fit the kernel");
  std::string automatic = s.s("auto_pad", "NOTSET");
  constexpr int64_t kMost = int64_t(1) << 24;
  for (size_t k = 0; k < n; ++k) {
    s.require(size[k] > 0 && w.stride[k] > 0 && w.dilation[k] > 0, "kernel, strides and dilations must be positive");
    s.require(size[k] < kMost && w.stride[k] < kMost && w.dilation[k] < kMost,
              "kernel, strides or dilations are too large");
    int64_t in = x.shape()[k + 2];
    if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER") {
      int64_t out = (in + w.stride[k] - 1) / w.stride[k],
              total = std::max<int64_t>((out - 1) * w.stride[k] + w.span(k) - in, 0);
      w.lo[k] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2, w.hi[k] = total - w.lo[k];
    } else if (automatic != "VALID")
      w.lo[k] = pads[k], w.hi[k] = pads[k + n];
    s.require(std::abs(w.lo[k]) < kMost && std::abs(w.hi[k]) < kMost, "the padding is too large");
    if (s.i("ceil_mode", 0)) {
      int64_t room = in + w.lo[k] + w.hi[k] - w.span(k),
              out = std::max<int64_t>((room + w.stride[k] - 1) / w.stride[k], 0) + 1;
      if ((out - 1) * w.stride[k] >= in + w.lo[k]) --out; // a window that begins in the padding
      w.extra[k] = (out - 1) * w.stride[k] + w.span(k) - in - w.lo[k] - w.hi[k];
    }
  }
  return w;
}

} // namespace trellis::onnx

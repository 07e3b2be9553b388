#include "tests/bench/kernels.h"
#include <fmt/format.h>

namespace trellis::bench {

static std::string graph(const std::string &inputs, const std::string &body) {
  return fmt::format("trellis 1\ngraph @kernel({}) {{\n{}\n}}\n", inputs, body);
}

static KernelBench dot(int m, int n, int k) {
  return {fmt::format("dot/{}x{}x{}", m, n, k),
          graph(fmt::format("%x: f32[{}, {}]", m, k),
                fmt::format("  param %w : f32[{}, {}] init(normal(1))\n  %y = dot %x, %w\n  return %y", k, n))};
}

static KernelBench conv(int size, int in, int out, int kernel, int stride) {
  int pad = kernel / 2;
  return {fmt::format("conv/{0}x{0}x{1}to{2}_{3}x{3}s{4}", size, in, out, kernel, stride),
          graph(fmt::format("%x: f32[1, {0}, {1}, {1}]", in, size),
                fmt::format("  param %w : f32[{0}, {1}, {2}, {2}] init(he_normal)\n"
                            "  %y = conv %x, %w, lo=[{3}, {3}], hi=[{3}, {3}], stride=[{4}, {4}]\n  return %y",
                            out, in, kernel, pad, stride))};
}

std::vector<KernelBench> contractions() {
  return {dot(64, 512, 784),        dot(128, 1536, 384),     dot(196, 1024, 256),
          dot(1024, 1024, 1024),    conv(56, 64, 64, 3, 1),  conv(28, 128, 128, 3, 1),
          conv(14, 256, 256, 3, 1), conv(7, 512, 512, 3, 1), conv(224, 3, 64, 7, 2)};
}

static KernelBench unary(const std::string &name, const std::string &type, const std::string &op) {
  return {name, graph("%x: f32" + type, fmt::format("  %y = {}\n  return %y", op))};
}

// Adam's update of 512 x 784 parameters, from the gradient.
static const char *const kAdam = R"(  param %p : f32[512, 784] init(zero)
  state %m : f32[512, 784] init(zero)
  state %v : f32[512, 784] init(zero)
  %m0 = mul %m, 0.9
  %m1 = mul %g, 0.1
  %m2 = add %m0, %m1
  %gg = mul %g, %g
  %v0 = mul %v, 0.999
  %v1 = mul %gg, 0.001
  %v2 = add %v0, %v1
  %root = sqrt %v2
  %low = add %root, 1e-08
  %d = div %m2, %low
  %s = mul %d, 0.001
  %p2 = sub %p, %s
  update %p, %p2
  update %m, %m2
  update %v, %v2
  return)";

std::vector<KernelBench> others() {
  return {unary("elementwise/gelu_768x512", "[768, 512]", "gelu %x"),
          unary("elementwise/exp_768x512", "[768, 512]", "exp %x"),
          {"elementwise/adam_512x784", graph("%g: f32[512, 784]", kAdam)},
          unary("reduce/rows_1024x1024", "[1024, 1024]", "reduce %x, kind=sum, axes=[1]"),
          unary("reduce/columns_1024x1024", "[1024, 1024]", "reduce %x, kind=sum, axes=[0]"),
          unary("softmax/768x512", "[768, 512]", "softmax %x"),
          {"layer_norm/768x128",
           graph("%x: f32[768, 128]", "  param %w : f32[128] init(one)\n  param %b : f32[128] init(zero)\n"
                                      "  %y = layer_norm %x, %w, %b\n  return %y")}};
}

} // namespace trellis::bench

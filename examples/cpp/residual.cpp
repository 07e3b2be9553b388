// What a model may be made of: residual blocks, clones, branches, a layer of one's own, parameters that are
// shared. Prints the parameters, then the graph.
#include "compiler/frontend/layers.h"
#include "compiler/frontend/state.h"
#include "ir/print.h"
#include <cstdio>

using namespace trellis::nn;

int main() {
  // A layer of one's own: a gain for each feature.
  Layer scale("Scale", [](Build &b, Value x) { return x * b.param("gain", {x.dtype(), {x.shape().back()}}, "one"); });
  // Pre-norm block; three clones have parameters of their own.
  Layer block = residual(LayerNorm() >> Dense(128) >> GELU() >> Dropout(0.1) >> Dense(64) >> scale);
  // A handle that is used twice is one layer with one set of parameters.
  Layer tied = Dense(64).named("tied");
  auto model = Dense(64).named("in") >> clone(block, 3).named("blocks") >> tied >> SiLU() >> tied >>
               concatenate({Dense(8) >> Tanh(), Dense(8) >> Sigmoid()}).named("heads") >> Dense(10).named("out");

  auto graph = build_graph(model, {DType::f32, {Dim::symbol("N"), 32}}, "residual");
  int64_t total = 0;
  for (Value p : trellis::inputs_of_role(*graph, "param")) {
    std::printf("%-28s %s\n", std::string(trellis::name_of_input(p)).c_str(), p.type().str().c_str());
    total += p.type().size();
  }
  std::printf("%lld parameters\n\n%s", static_cast<long long>(total), trellis::print(*graph).c_str());
}

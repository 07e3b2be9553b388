#include "compiler/compile.h"
#include "compiler/loops/plan.h"

namespace trellis {

std::vector<std::string> lowering_passes() {
  return {"simplify", "decompose", "simplify", "fold", "pad_conv", "legalize", "simplify", "fold", "dce"};
}

Program lower_program(const Graph &g, const CompileOptions &options) {
  GraphPtr legal = rebuild(g, [](const Node &) { return Values{}; });
  run_passes(legal, lowering_passes(), options.passes);
  Fusion fusion = fuse(*legal, options.fuse);
  return plan_program(*legal, fusion, make_target(options.target));
}

std::shared_ptr<const Executable> compile(const Graph &g, const CompileOptions &options) {
  return Executable::compile(lower_program(g, options), make_target(options.target), options.threads);
}

} // namespace trellis

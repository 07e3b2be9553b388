#include "compiler/compile.h"
#include "compiler/loops/plan.h"
#include "passes/legalize.h"

namespace trellis {

std::vector<std::string> lowering_passes(const Target &t) {
  std::string legalize = t.fma ? "legalize" : "legalize(no_fma, no_rounding, no_half)";
  return {"raise", "decompose", "simplify", "pad_conv", legalize, "simplify(exact)", "dce"};
}

GraphPtr legal_graph(const Graph &g, const CompileOptions &options) {
  PassOptions passes = options.passes;
  passes.keep = [keep = options.passes.keep](const Node &n) { return legalizes(n) || (keep && keep(n)); };
  GraphPtr legal = rebuild(g, [](const Node &) { return Values{}; });
  run_passes(legal, lowering_passes(make_target(options.target)), passes);
  return legal;
}

Program lower_program(const Graph &g, const CompileOptions &options) {
  GraphPtr legal = legal_graph(g, options);
  return plan_program(*legal, fuse(*legal, options.fuse), make_target(options.target), options.fuse);
}

std::shared_ptr<const Executable> compile(const Graph &g, const CompileOptions &options) {
  return Executable::compile(lower_program(g, options), make_target(options.target), options.threads);
}

} // namespace trellis

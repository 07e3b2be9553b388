#include "compiler/llvm/object.h"
#include "ir/diag.h"
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/Instrumentation/AddressSanitizer.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Utils/Mem2Reg.h>

namespace trellis {

using namespace llvm;

namespace {
/// The analyses of the new pass manager, wired up.
struct Analyses {
  explicit Analyses(TargetMachine *machine) {
    PassBuilder builder(machine);
    builder.registerModuleAnalyses(modules), builder.registerCGSCCAnalyses(cgscc);
    builder.registerFunctionAnalyses(functions), builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, cgscc, modules);
  }
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager cgscc;
  ModuleAnalysisManager modules;
};
} // namespace

void optimize(llvm::Module &m, TargetMachine &machine) {
  Analyses analyses(&machine);
  FunctionPassManager fpm;
  fpm.addPass(PromotePass());
  fpm.addPass(EarlyCSEPass(true));
  fpm.addPass(createFunctionToLoopPassAdaptor(LICMPass(LICMOptions()), true));
  ModulePassManager mpm;
  mpm.addPass(createModuleToFunctionPassAdaptor(std::move(fpm)));
  mpm.run(m, analyses.modules);
}

void check_addresses(llvm::Module &m) {
  for (llvm::Function &f : m)
    if (!f.isDeclaration()) f.addFnAttr(Attribute::SanitizeAddress);
  Analyses analyses(nullptr);
  ModulePassManager mpm;
  mpm.addPass(AddressSanitizerPass(AddressSanitizerOptions(), false, false));
  mpm.run(m, analyses.modules);
}

static std::string generate(llvm::Module &m, TargetMachine &machine, CodeGenFileType type) {
  SmallVector<char, 0> bytes;
  raw_svector_ostream out(bytes);
  legacy::PassManager pm;
  bool failed = machine.addPassesToEmitFile(pm, out, nullptr, type);
  TRELLIS_CHECK(!failed, "the target cannot write this kind of file");
  pm.run(m);
  return std::string(bytes.begin(), bytes.end());
}

std::string make_object(llvm::Module &m, TargetMachine &machine) {
  return generate(m, machine, CodeGenFileType::ObjectFile);
}
std::string make_assembly(llvm::Module &m, TargetMachine &machine) {
  return generate(m, machine, CodeGenFileType::AssemblyFile);
}

} // namespace trellis

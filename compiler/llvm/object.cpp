#include "compiler/llvm/object.h"
#include "ir/diag.h"
#include <fmt/format.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Utils/Mem2Reg.h>

namespace trellis {

using namespace llvm;

void optimize(llvm::Module &m, TargetMachine &machine) {
  PassBuilder builder(&machine);
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager cgscc;
  ModuleAnalysisManager modules;
  builder.registerModuleAnalyses(modules), builder.registerCGSCCAnalyses(cgscc), builder.registerFunctionAnalyses(functions), builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, cgscc, modules);
  FunctionPassManager fpm;
  fpm.addPass(PromotePass());
  fpm.addPass(EarlyCSEPass(true));
  fpm.addPass(createFunctionToLoopPassAdaptor(LICMPass(LICMOptions()), true));
  ModulePassManager mpm;
  mpm.addPass(createModuleToFunctionPassAdaptor(std::move(fpm)));
  mpm.run(m, modules);
}

static SmallVector<char, 0> generate(llvm::Module &m, TargetMachine &machine, CodeGenFileType type) {
  SmallVector<char, 0> bytes;
  raw_svector_ostream out(bytes);
  legacy::PassManager pm;
  bool failed = machine.addPassesToEmitFile(pm, out, nullptr, type);
  TRELLIS_CHECK(!failed, "the target cannot write this kind of file");
  pm.run(m);
  return bytes;
}

std::unique_ptr<MemoryBuffer> make_object(llvm::Module &m, TargetMachine &machine) {
  return std::make_unique<SmallVectorMemoryBuffer>(generate(m, machine, CodeGenFileType::ObjectFile), m.getModuleIdentifier(), false);
}
std::string make_assembly(llvm::Module &m, TargetMachine &machine) {
  auto bytes = generate(m, machine, CodeGenFileType::AssemblyFile);
  return std::string(bytes.begin(), bytes.end());
}

struct LinkedCode::Impl {
  std::unique_ptr<orc::LLJIT> jit;
};

static void must(llvm::Error e) {
  if (e) throw CompileError(fmt::format("linking in process failed: {}", toString(std::move(e))));
}

LinkedCode::LinkedCode(std::vector<std::unique_ptr<MemoryBuffer>> objects) : impl_(std::make_unique<Impl>()) {
  auto jit = orc::LLJITBuilder().create();
  must(jit.takeError());
  impl_->jit = std::move(*jit);
  for (auto &o : objects) must(impl_->jit->addObjectFile(std::move(o)));
}
LinkedCode::~LinkedCode() = default;
LinkedCode::LinkedCode(LinkedCode &&) noexcept = default;

void *LinkedCode::symbol(const std::string &name) const {
  auto address = impl_->jit->lookup(name);
  must(address.takeError());
  return address->toPtr<void *>();
}

} // namespace trellis

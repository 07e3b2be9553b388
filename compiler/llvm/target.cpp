#include "compiler/llvm/target.h"
#include "ir/diag.h"
#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <mutex>
#include <utility>

namespace trellis {

static void initialize() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo(), LLVMInitializeX86Target(), LLVMInitializeX86TargetMC(),
        LLVMInitializeX86AsmPrinter(), LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo(), LLVMInitializeAArch64Target(), LLVMInitializeAArch64TargetMC(),
        LLVMInitializeAArch64AsmPrinter(), LLVMInitializeAArch64AsmParser();
  });
}

static Target x86(std::string cpu) {
  Target t;
  t.triple = "x86_64-unknown-linux-gnu", t.cpu = std::move(cpu);
  return t;
}

static Target with_avx2(Target t) {
  t.vector_bytes = 32, t.fma = true;
  return t;
}
static Target with_avx512(Target t) {
  t.vector_bytes = 64, t.fma = true, t.registers = 32;
  return t;
}

Target make_target(const std::string &name) {
  Target t;
  if (name == "x86-64")
    t = x86("x86-64"), t.rounds = t.halves = false;
  else if (name == "x86-64-v3")
    t = with_avx2(x86("x86-64-v3"));
  else if (name == "x86-64-v4")
    t = with_avx512(x86("x86-64-v4"));
  else if (name == "aarch64")
    t.triple = "aarch64-unknown-linux-gnu", t.cpu = "generic", t.fma = true, t.registers = 32;
  else if (name == "host") {
    t.triple = llvm::sys::getDefaultTargetTriple(), t.cpu = llvm::sys::getHostCPUName().str();
    auto features = llvm::sys::getHostCPUFeatures();
    for (auto &f : features)
      t.features += (t.features.empty() ? "" : ",") + std::string(f.second ? "+" : "-") + f.first().str();
    if (features.lookup("avx512f") && features.lookup("avx512vl") && features.lookup("avx512bw") &&
        features.lookup("avx512dq"))
      t = with_avx512(t);
    else if (features.lookup("avx2") && features.lookup("fma"))
      t = with_avx2(t);
    else if (t.triple.rfind("aarch64", 0) == 0)
      t.fma = true, t.registers = 32;
    if (t.triple.rfind("x86_64", 0) == 0) t.rounds = features.lookup("sse4.1"), t.halves = features.lookup("f16c");
  } else
    throw CompileError(fmt::format("unknown target '{}': give host, x86-64, x86-64-v3, x86-64-v4 or aarch64", name));
  t.name = name;
  return t;
}

bool is_this_architecture(const Target &t) {
#if defined(__x86_64__)
  return t.triple.starts_with("x86_64");
#elif defined(__aarch64__)
  return t.triple.starts_with("aarch64");
#else
  return t.name == "host";
#endif
}

void require_runs_here(const Target &t) {
  if (t.name == "host") return;
  auto features = llvm::sys::getHostCPUFeatures();
  std::string missing;
  if (!is_this_architecture(t)) missing = "is of another architecture";
  for (auto [vector_bytes, name] : {std::pair(32, "avx2"),
                                    {32, "fma"},
                                    {32, "bmi"},
                                    {32, "bmi2"},
                                    {32, "f16c"},
                                    {32, "lzcnt"},
                                    {32, "movbe"},
                                    {64, "avx512f"},
                                    {64, "avx512bw"},
                                    {64, "avx512cd"},
                                    {64, "avx512dq"},
                                    {64, "avx512vl"}})
    if (missing.empty() && t.vector_bytes >= vector_bytes && !features.lookup(name))
      missing = fmt::format("has no {}", name);
  if (!missing.empty())
    throw CompileError(fmt::format("target '{}': this machine {} and cannot run its code; leave --target out, "
                                   "or use `compile` to make files for it",
                                   t.name, missing));
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target &t) {
  initialize();
  std::string error;
  const llvm::Target *target = llvm::TargetRegistry::lookupTarget(t.triple, error);
  if (!target) throw CompileError(fmt::format("target '{}': {}", t.triple, error));
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      t.triple, t.cpu, t.features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
}

} // namespace trellis

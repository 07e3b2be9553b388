#include "compiler/llvm/linked_code.h"
#include "ir/diag.h"
#include <dlfcn.h>
#include <fmt/format.h>
#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>

namespace trellis {

using namespace llvm;

// The layer and the memory of one program, without what LLJIT adds (compilers, platforms, process symbols).
struct LinkedCode::Impl {
  std::unique_ptr<orc::ExecutionSession> session;
  std::unique_ptr<orc::ObjectLinkingLayer> layer;
  orc::JITDylib *code = nullptr;
  ~Impl() {
    if (auto e = session->endSession()) consumeError(std::move(e));
  }
};

static void must(llvm::Error e) {
  if (e) throw CompileError(fmt::format("linking in process failed: {}", toString(std::move(e))));
}

using Named = std::pair<std::string, const void *>;

static const std::vector<Named> &library_functions() {
  static const std::vector<Named> all = [] {
    std::vector<Named> found;
    for (const char *name : {
#define SYMBOL(name) #name,
#include "runtime/symbols.def"
#undef SYMBOL
         }) {
      void *address = dlsym(RTLD_DEFAULT, name);
      TRELLIS_CHECK(address, fmt::format("the C library has no {}", name));
      found.emplace_back(name, address);
    }
    return found;
  }();
  return all;
}

LinkedCode::LinkedCode(std::span<const std::string> objects,
                       std::span<const std::pair<std::string, const void *>> absolute)
    : impl_(std::make_unique<Impl>()) {
  auto control = orc::SelfExecutorProcessControl::Create();
  must(control.takeError());
  impl_->session = std::make_unique<orc::ExecutionSession>(std::move(*control));
  auto &session = *impl_->session;
  impl_->layer = std::make_unique<orc::ObjectLinkingLayer>(session);
  impl_->code = &session.createBareJITDylib("code");

  orc::SymbolMap known;
  auto add = [&](const std::string &name, const void *address) {
    known[session.intern(name)] = {orc::ExecutorAddr::fromPtr(address), JITSymbolFlags::Exported};
  };
  for (auto &[name, address] : library_functions()) add(name, address);
  for (auto &[name, address] : absolute) add(name, address);
  must(impl_->code->define(orc::absoluteSymbols(std::move(known))));
#ifdef TRELLIS_ADDRESS_SANITIZER
  auto checks = orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      '\0', [](const orc::SymbolStringPtr &name) { return (*name).starts_with("__asan_"); });
  must(checks.takeError());
  impl_->code->addGenerator(std::move(*checks));
#endif
  for (size_t i = 0; i < objects.size(); ++i) // named, since constructors that a sanitizer adds are told apart by that
    must(impl_->layer->add(*impl_->code, MemoryBuffer::getMemBufferCopy(objects[i], fmt::format("object{}", i))));
}
LinkedCode::~LinkedCode() = default;
LinkedCode::LinkedCode(LinkedCode &&) noexcept = default;

void *LinkedCode::symbol(const std::string &name) const {
  auto order = orc::makeJITDylibSearchOrder({impl_->code},
                                            orc::JITDylibLookupFlags::MatchAllSymbols); // hidden ones too
  auto found = impl_->session->lookup(order, impl_->session->intern(name));
  must(found.takeError());
  return found->getAddress().toPtr<void *>();
}

} // namespace trellis

/// Object code linked into this process. No LLVM header is needed to include this.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trellis {

/// Unloaded when destroyed. Besides what the objects define they may use `absolute` symbols and the functions
/// of runtime/symbols.def, nothing else.
class LinkedCode {
public:
  LinkedCode(std::span<const std::string> objects, std::span<const std::pair<std::string, const void *>> absolute = {});
  ~LinkedCode();
  LinkedCode(LinkedCode &&) noexcept;
  /// Address of a symbol; absent is an internal error.
  void *symbol(const std::string &name) const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace trellis

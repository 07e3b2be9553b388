/// Object files into one object or a shared library, by the linker that is part of this program: nothing else
/// need be installed. No LLVM header is needed to include this.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace trellis {

/// A file that is only in memory, with a path by which the linker can open it.
class MemoryFile {
public:
  explicit MemoryFile(const char *name);
  MemoryFile(const char *name, std::string_view bytes) : MemoryFile(name) { write(bytes.data(), bytes.size()); }
  ~MemoryFile();
  MemoryFile(MemoryFile &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  void write(const void *from, size_t bytes);
  std::string path() const;

private:
  int fd_;
};

/// Takes the linker's output in pieces, and what errors call it. May throw; nothing more is written then.
struct LinkOutput {
  std::function<void(const void *, size_t)> write;
  std::string shown;
};

/// One relocatable object of all.
void link_object(const LinkOutput &output, std::span<const std::string> inputs);

/// A shared library that exports the symbols that begin with `prefix`. Shared libraries among the inputs are
/// needed by it where it uses them; nothing may be left undefined.
void link_shared_library(const LinkOutput &output, std::span<const std::string> inputs, const std::string &soname,
                         const std::string &prefix);

/// The object with `prefix` before the name of every symbol that it defines for others, so that several
/// copies of it can be linked into one program.
std::string prefix_definitions(std::string_view object, const std::string &prefix);

} // namespace trellis

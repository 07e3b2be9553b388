#include "compiler/llvm/link.h"
#include "compiler/data/file_size_signal.h"
#include "ir/diag.h"
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <fmt/format.h>
#include <lld/Common/Driver.h>
#include <llvm/ObjCopy/ConfigManager.h>
#include <llvm/ObjCopy/ObjCopy.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/StringSaver.h>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

LLD_HAS_DRIVER(elf)

namespace trellis {

using namespace llvm;

MemoryFile::MemoryFile(const char *name) : fd_(memfd_create(name, MFD_CLOEXEC)) {
  if (fd_ < 0) throw CompileError(fmt::format("cannot make a file in memory: {}", std::strerror(errno)));
}
MemoryFile::~MemoryFile() {
  if (fd_ >= 0) ::close(fd_);
}
void MemoryFile::write(const void *from, size_t bytes) {
  FileSizeSignalHeld held; // the limit on file sizes holds for memory too
  const char *p = static_cast<const char *>(from);
  while (bytes) {
    ssize_t n = ::write(fd_, p, std::min(bytes, size_t(1) << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw CompileError(fmt::format("cannot write a file in memory: {}", std::strerror(errno)));
    p += n, bytes -= size_t(n);
  }
}
std::string MemoryFile::path() const { return fmt::format("/proc/self/fd/{}", fd_); }

/// What the linker writes, on its way to where it belongs. The linker itself could neither tell nor survive a
/// full disk: it maps its output, and ends the process where a write fails.
class OutputPipe {
public:
  explicit OutputPipe(const LinkOutput &to) {
    if (::pipe2(fds_, O_CLOEXEC) < 0) throw CompileError(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
    reader_ = std::thread([this, &to] { drain(to); });
  }
  ~OutputPipe() { close(); }
  std::string path() const { return fmt::format("/proc/self/fd/{}", fds_[1]); }
  /// Waits for the last piece; throws what `write` threw.
  void finish() {
    close();
    if (problem_) std::rethrow_exception(problem_);
  }

private:
  // Reads to the end also behind a failed write: the linker would wait for ever, or end the process.
  void drain(const LinkOutput &to) {
    std::vector<char> piece(1 << 16);
    for (ssize_t n; (n = ::read(fds_[0], piece.data(), piece.size())) > 0 || (n < 0 && errno == EINTR);)
      if (n > 0 && !problem_) try {
          to.write(piece.data(), size_t(n));
        } catch (...) { problem_ = std::current_exception(); }
  }
  void close() {
    if (!reader_.joinable()) return;
    ::close(fds_[1]);
    reader_.join();
    ::close(fds_[0]);
  }

  int fds_[2];
  std::exception_ptr problem_;
  std::thread reader_;
};

static void link(const LinkOutput &output, const std::vector<std::string> &args) {
  static std::mutex one_at_a_time; // the linker keeps its state in globals
  std::lock_guard lock(one_at_a_time);
  OutputPipe pipe(output);
  std::string path = pipe.path();
  std::vector<const char *> argv{"ld.lld", "-o", path.c_str(), "--threads=1"};
  for (const std::string &a : args) argv.push_back(a.c_str());
  std::string text;
  raw_string_ostream errors(text);
  lld::Result r = lld::lldMain(argv, nulls(), errors, {{lld::Gnu, &lld::elf::link}});
  if (r.retCode == 0) return pipe.finish();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (size_t at; (at = text.find(path)) != std::string::npos;) text.replace(at, path.size(), output.shown);
  throw CompileError(fmt::format("cannot write '{}': {}", output.shown, text));
}

void link_object(const LinkOutput &output, std::span<const std::string> inputs) {
  std::vector<std::string> args{"-r"};
  args.insert(args.end(), inputs.begin(), inputs.end());
  link(output, args);
}

void link_shared_library(const LinkOutput &output, std::span<const std::string> inputs, const std::string &soname,
                         const std::string &prefix) {
  MemoryFile script("exports", fmt::format("{{ global: {}*; local: *; }};", prefix));
  std::vector<std::string> args{"-shared",
                                "-Bsymbolic",
                                "-z",
                                "defs",
                                "-z",
                                "now",
                                "-z",
                                "relro",
                                "--as-needed",
                                "--hash-style=gnu",
                                "--eh-frame-hdr",
                                "-soname",
                                soname,
                                "--version-script=" + script.path()};
  args.insert(args.end(), inputs.begin(), inputs.end());
  link(output, args);
}

static void must(llvm::Error e) {
  if (e) throw CompileError(fmt::format("cannot read the embedded runtime: {}", toString(std::move(e))));
}

std::string prefix_definitions(std::string_view object, const std::string &prefix) {
  auto file = object::ObjectFile::createELFObjectFile(MemoryBufferRef(StringRef(object), "runtime"));
  must(file.takeError());
  objcopy::ConfigManager config;
  BumpPtrAllocator names;
  StringSaver saver(names);
  for (const object::SymbolRef &s : (*file)->symbols()) {
    auto flags = s.getFlags();
    must(flags.takeError());
    if (!(*flags & object::SymbolRef::SF_Global) || (*flags & object::SymbolRef::SF_Undefined)) continue;
    auto name = s.getName();
    must(name.takeError());
    config.Common.SymbolsToRename[*name] = saver.save(prefix + name->str());
  }
  std::string bytes;
  raw_string_ostream out(bytes);
  must(objcopy::executeObjcopyOnBinary(config, **file, out));
  return bytes;
}

} // namespace trellis

#include "compiler/data/atomic_file.h"
#include "compiler/data/file_size_signal.h"
#include "compiler/data/input.h"
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trellis {

namespace {

std::string folder_of(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// The file that `path` leads to, also where the last link's target does not exist yet.
std::string resolve_links(std::string path) {
  char buffer[PATH_MAX];
  for (int i = 0; i < 40; ++i) {
    ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
    if (n <= 0 || n == ssize_t(sizeof buffer)) break;
    std::string next(buffer, size_t(n));
    path = next[0] == '/' ? next : folder_of(path) + "/" + next;
  }
  return path;
}

} // namespace

AtomicFile::AtomicFile(std::string path, bool executable) : path_(std::move(path)) {
  if (path_.empty()) throw CompileError("cannot write: the file name is empty");
  if (path_ == "-") // verbs that write text to standard output never come here
    throw CompileError("cannot write this to standard output ('-'): name a file (./- is one of that name)");
  struct stat info{};
  bool exists = ::stat(path_.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) fail("write", errno);
  if (exists && S_ISDIR(info.st_mode)) fail("write", EISDIR);
  if (exists && !S_ISREG(info.st_mode)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail("open", errno);
    seekable_ = ::lseek(fd_, 0, SEEK_CUR) >= 0;
    return;
  }
  if (exists && ::access(path_.c_str(), W_OK) < 0) fail("write", errno);
  target_ = resolve_links(path_);
  // A short name of its own: a suffix could push a long file name past the limit.
  static std::atomic<unsigned> counter;
  do {
    temporary_ = fmt::format("{}/.trellis-{}-{}.tmp", folder_of(target_), ::getpid(), counter++);
    fd_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, executable ? 0777 : 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) fail("create a file in its folder", errno);
  if (exists) (void)!::fchmod(fd_, info.st_mode & 0777);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::fail(std::string_view action, int error) const {
  throw CompileError(file_location(path_), fmt::format("cannot {}: {}", action, std::strerror(error)));
}

void AtomicFile::write(const void *from, size_t bytes) {
  TRELLIS_CHECK(fd_ >= 0, "write to an output that was committed");
  FileSizeSignalHeld held;
  const char *p = static_cast<const char *>(from);
  while (bytes) {
    size_t piece = std::min(bytes, size_t(1) << 30);
    ssize_t n = seekable_ ? ::pwrite(fd_, p, piece, off_t(position_)) : ::write(fd_, p, piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("write", n < 0 ? errno : ENOSPC);
    p += n, bytes -= size_t(n), position_ += uint64_t(n);
  }
}

void AtomicFile::commit() {
  if (temporary_.empty()) {
    int closed = ::close(fd_);
    fd_ = -1;
    if (closed < 0) fail("write", errno);
    return;
  }
  if (::fsync(fd_) < 0 && errno != EINVAL) fail("write", errno);
  int closed = ::close(fd_);
  fd_ = -1;
  if (closed < 0) fail("write", errno);
  if (::rename(temporary_.c_str(), target_.c_str()) < 0) fail("rename the temporary file", errno);
  temporary_.clear();
  // The new file stands; only a power cut within seconds could still undo the rename, so failing here would
  // mislead.
  int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) ::fsync(folder), ::close(folder);
}

void write_file(const std::string &path, std::string_view bytes) {
  AtomicFile out(path);
  out.write(bytes);
  out.commit();
}

} // namespace trellis

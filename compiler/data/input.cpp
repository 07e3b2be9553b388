#include "compiler/data/input.h"
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <new>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace trellis {

Location file_location(std::string_view path, std::string node) {
  return {.file = std::make_shared<const std::string>(path), .node = std::move(node)};
}

std::string quote_name(std::string_view text) {
  constexpr size_t kLongest = 100;
  std::string out = "'";
  for (char c : text.substr(0, kLongest))
    if (uint8_t(c) < 0x20 || uint8_t(c) == 0x7f)
      out += fmt::format("\\x{:02x}", uint8_t(c));
    else
      out += c;
  return out + (text.size() > kLongest ? "...'" : "'");
}

std::string dims_text(std::span<const int64_t> dims) {
  return dims.empty() ? "scalar" : fmt::format("{}", fmt::join(dims.begin(), dims.end(), " x "));
}

std::optional<int64_t> checked_bytes(DType dtype, std::span<const int64_t> dims) {
  constexpr int64_t kLimit = int64_t(1) << 56;
  int64_t product = size_of(dtype);
  bool empty = false;
  for (int64_t d : dims) {
    if (d < 0) return std::nullopt;
    if (d == 0)
      empty = true;
    else if (product > kLimit / d)
      return std::nullopt;
    else
      product *= d;
  }
  return empty ? 0 : product;
}

Tensor allocate(DType dtype, const std::vector<int64_t> &dims, const Location &where) {
  try {
    return Tensor(dtype, dims);
  } catch (const std::bad_alloc &) {
    throw CompileError(where, fmt::format("no memory for {}[{}]: {} bytes", name(dtype), dims_text(dims),
                                          checked_bytes(dtype, dims).value_or(0)));
  }
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without a writer must not block
  struct stat info{};
  std::string problem;
  if (fd_ < 0)
    problem = fmt::format("cannot open: {}", std::strerror(errno));
  else if (::fstat(fd_, &info) < 0)
    problem = fmt::format("cannot read: {}", std::strerror(errno));
  else if (!S_ISREG(info.st_mode))
    problem = S_ISDIR(info.st_mode) ? "is a folder, expected a file" : "is not a regular file";
  if (!problem.empty()) {
    if (fd_ >= 0) ::close(fd_);
    throw CompileError(file_location(path_), problem);
  }
  size_ = uint64_t(info.st_size);
}

InputFile::~InputFile() { ::close(fd_); }

size_t InputFile::read(void *to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    ssize_t n = ::read(fd_, static_cast<char *>(to) + done, std::min(bytes - done, size_t(1) << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw CompileError(file_location(path_), fmt::format("cannot read: {}", std::strerror(errno)));
    if (n == 0) break;
    done += size_t(n);
  }
  return done;
}

std::string InputFile::read_all() {
  std::string out(size_, '\0');
  out.resize(read(out.data(), out.size()));
  return out;
}

std::shared_ptr<void> InputFile::map() {
  if (size_ == 0) return nullptr;
  void *p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd_, 0);
  if (p == MAP_FAILED) throw CompileError(file_location(path_), fmt::format("cannot map: {}", std::strerror(errno)));
  return {p, [size = size_](void *q) { ::munmap(q, size); }};
}

} // namespace trellis

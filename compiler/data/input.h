// What every reader needs: an opened file, error places, and sizes that cannot overflow.
#pragma once
#include "ir/diag.h"
#include "ir/tensor.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace trellis {

/// A place in a file: the whole of it, or the part that `node` names ("member 'w'", "tensor 'b'").
Location file_location(std::string_view path, std::string node = {});

/// 'text' with control characters escaped and its end cut, for names that come from a file.
std::string quote_name(std::string_view text);

/// "60000 x 28 x 28"; "scalar" for rank 0.
std::string dims_text(std::span<const int64_t> dims);

/// Bytes of a dense tensor, or nothing where the count (or a dim) is negative or beyond 2^56, zero dims left
/// aside.
std::optional<int64_t> checked_bytes(DType dtype, std::span<const int64_t> dims);

/// A zero-filled tensor; a CompileError at `where` if memory does not suffice. `dims` passed checked_bytes.
Tensor allocate(DType dtype, const std::vector<int64_t> &dims, const Location &where);

/// A regular file opened for reading. Every failure is a CompileError that names it.
class InputFile {
public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile &) = delete;
  InputFile &operator=(const InputFile &) = delete;

  const std::string &path() const { return path_; }
  uint64_t size() const { return size_; }
  /// Up to `bytes` bytes from the current position; fewer only at the end of the file.
  size_t read(void *to, size_t bytes);
  /// The rest of the file.
  std::string read_all();
  /// The whole file, mapped privately: writes to the memory never reach the file. Null if the file is empty.
  std::shared_ptr<void> map();

private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

} // namespace trellis

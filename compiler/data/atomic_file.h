// The one way to write an output: whole or not at all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trellis {

/// Writes to a temporary file in the target's folder; `commit` makes it durable and renames it over the
/// target. Any failure is one CompileError that names the target; the old file then stays as it was and the
/// temporary one is gone. A symbolic link is followed; a device or pipe (/dev/stdout) is written in place. "-" is
/// refused: it means standard output elsewhere, and no file of that name should appear.
class AtomicFile {
public:
  /// `executable` sets the mode of a new file; an existing file's mode is kept.
  explicit AtomicFile(std::string path, bool executable = false);
  /// Without a commit, nothing happened.
  ~AtomicFile();
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  const std::string &path() const { return path_; }
  void write(const void *from, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Position of the next write.
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }
  /// Flush to disk, rename. At most once.
  void commit();

private:
  [[noreturn]] void fail(std::string_view action, int error) const;
  void discard() noexcept;

  std::string path_, target_, temporary_; ///< as given; links resolved; empty for a device
  int fd_ = -1;
  uint64_t position_ = 0;
  bool seekable_ = true;
};

/// A whole file at once.
void write_file(const std::string &path, std::string_view bytes);

} // namespace trellis

// NumPy's .npz files: a zip archive of .npy members.
//
// Read: stored or deflated members, zip64. Written: stored (or deflated), with a fixed date, so that the
// bytes depend on the contents alone. Memory: one tensor at a time, once.
#pragma once
#include "compiler/data/named_tensor.h"
#include <memory>
#include <string>
#include <vector>

namespace trellis {

/// An opened archive, to read some of its members. Errors name the file and the member.
class NpzReader {
public:
  explicit NpzReader(std::string path);
  ~NpzReader();
  NpzReader(NpzReader &&) noexcept;
  /// Member names without ".npy", in the archive's order.
  const std::vector<std::string> &names() const;
  Tensor read(size_t index) const;
  /// By name; a CompileError lists the names when there is none.
  Tensor read(const std::string &name) const;

private:
  struct State;
  std::unique_ptr<State> state_;
};

/// All members, in the archive's order.
std::vector<NamedTensor> read_npz(const std::string &path);
void write_npz(const std::string &path, std::span<const NamedTensor> tensors, bool deflate = false);

} // namespace trellis

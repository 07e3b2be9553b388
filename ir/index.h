// Integer index expressions: linear forms over loop variables, with division and remainder by constants.
//
// Canonical form: constant + sum of coefficient * atom, atoms in a fixed order, each once. An atom is a variable,
// floor(e / k) or e mod k (floored, result in [0, k)). Simplification uses the ranges of the variables:
//   (k q + r) / k = q and (k q + r) mod k = r where r lies in [0, k);   (m + e / a) / b = (a m + e) / (a b);
//   k (e / k) + e mod k = e.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trellis {

class Index;

/// A loop variable: `id` is unique in its kernel, its values are 0 .. extent - 1.
struct IndexVar {
  int id = 0;
  int64_t extent = 1;
};

struct IndexAtom {
  enum class Kind : uint8_t { var, div, mod } kind;
  IndexVar var;                     // var
  std::shared_ptr<const Index> arg; // div, mod
  int64_t k = 1;                    // div, mod: the divisor, > 0
};

struct IndexTerm {
  int64_t coef;
  std::shared_ptr<const IndexAtom> atom;
};

class Index {
public:
  Index(int64_t constant = 0) : constant_(constant) {}
  Index(IndexVar v);

  int64_t constant() const { return constant_; }
  const std::vector<IndexTerm> &terms() const { return terms_; }
  bool is_constant() const { return terms_.empty(); }
  /// Smallest and largest value over the ranges of the variables (bounds, not always reached).
  int64_t min() const;
  int64_t max() const;
  bool uses(int var_id) const;
  /// Every variable it mentions, each once.
  std::vector<IndexVar> vars() const;
  /// The coefficient of `var_id` if the index is linear in it (it stands in no div or mod).
  std::optional<int64_t> coefficient(int var_id) const;
  Index substitute(const std::function<std::optional<Index>(IndexVar)> &map) const;
  int64_t evaluate(const std::function<int64_t(int var_id)> &value) const;
  std::string str(const std::function<std::string(int var_id)> &name) const;

  friend Index operator+(const Index &a, const Index &b);
  friend Index operator-(const Index &a, const Index &b) { return a + b * -1; }
  friend Index operator*(const Index &a, int64_t k);
  /// Floored division and remainder, k > 0.
  friend Index operator/(const Index &a, int64_t k);
  friend Index operator%(const Index &a, int64_t k);
  friend bool operator==(const Index &a, const Index &b);
  /// A total order that depends on the structure alone.
  static int compare(const Index &a, const Index &b);

private:
  friend class IndexBuilder;
  int64_t constant_ = 0;
  std::vector<IndexTerm> terms_;
};

/// lo <= e < hi.
struct IndexGuard {
  Index e;
  int64_t lo, hi;
};

/// Row-major offset of `index` in a tensor of these dims.
Index linearize(const std::vector<Index> &index, const std::vector<int64_t> &dims);
/// The inverse: coordinates of a row-major offset.
std::vector<Index> delinearize(const Index &offset, const std::vector<int64_t> &dims);

} // namespace trellis

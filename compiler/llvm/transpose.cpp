#include "compiler/llvm/transpose.h"
#include "ir/diag.h"
#include <algorithm>
#include <bit>

namespace trellis {

using namespace llvm;

namespace {

// Exchanges the off-diagonal quarters of squares of 2 s: row i keeps its lanes without bit s and gets those of
// row i + s in place of the others.
void exchange(IRBuilder<> &b, std::vector<llvm::Value *> &rows, int s) {
  int n = int(rows.size());
  std::vector<int> low, high;
  for (int l = 0; l < n; ++l) low.push_back(l & s ? n + l - s : l), high.push_back(l & s ? n + l : l + s);
  for (int i = 0; i < n; ++i) {
    if (i & s) continue;
    llvm::Value *x = rows[size_t(i)], *y = rows[size_t(i + s)];
    rows[size_t(i)] = b.CreateShuffleVector(x, y, low);
    rows[size_t(i + s)] = b.CreateShuffleVector(x, y, high);
  }
}

// One round of a perfect shuffle in every group of g rows and, at once, every block of g lanes: log2 g rounds
// turn each g x g square.
void interleave(IRBuilder<> &b, std::vector<llvm::Value *> &rows, int g) {
  int n = int(rows.size());
  std::vector<int> low, high;
  for (int l = 0; l < n; ++l) {
    int block = l / g * g, at = l % g / 2, from = l % 2 ? n : 0;
    low.push_back(block + at + from), high.push_back(block + g / 2 + at + from);
  }
  std::vector<llvm::Value *> next(rows.size());
  for (int first = 0; first < n; first += g)
    for (int i = 0; i < g / 2; ++i) {
      llvm::Value *x = rows[size_t(first + i)], *y = rows[size_t(first + i + g / 2)];
      next[size_t(first + 2 * i)] = b.CreateShuffleVector(x, y, low);
      next[size_t(first + 2 * i + 1)] = b.CreateShuffleVector(x, y, high);
    }
  rows = std::move(next);
}

} // namespace

void transpose(IRBuilder<> &b, std::vector<llvm::Value *> &rows) {
  int n = int(rows.size());
  TRELLIS_CHECK(n > 0 && std::has_single_bit(unsigned(n)), "a square of a power of two is turned");
  if (n == 1) return;
  unsigned bits = cast<FixedVectorType>(rows[0]->getType())->getScalarSizeInBits();
  int group = std::clamp(int(128 / bits), 1, n);
  for (int s = n / 2; s >= group; s /= 2) exchange(b, rows, s);
  for (int g = group; g > 1; g /= 2) interleave(b, rows, group);
}

} // namespace trellis

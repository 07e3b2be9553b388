// A square of vectors turned in registers.
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <vector>

namespace trellis {

/// `rows`: n vectors of n elements, n a power of two; afterwards lane j of row i is what lane i of row j was.
/// Shuffles stay within 16 bytes but for the last log2(vector / 16 bytes) rounds: on AVX2 eight vectors of f32
/// take 24 single instructions.
void transpose(llvm::IRBuilder<> &b, std::vector<llvm::Value *> &rows);

} // namespace trellis

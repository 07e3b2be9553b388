// sin_large and cos_large: calls of libm for the elements that vector code does not reduce.
#pragma once
#include <llvm/IR/IRBuilder.h>

namespace trellis {

/// The sine or cosine of x where |x| > 2^17, an element at a time, else y. Vectors without such an element,
/// nearly all, take one test and a branch. Splits the block at the builder's place; building goes on behind.
llvm::Value *lower_large_trig(llvm::IRBuilder<> &b, bool cosine, llvm::Value *x, llvm::Value *y);

} // namespace trellis

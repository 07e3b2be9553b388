// Elements that vector code does not reach, by calls of libm: sines and cosines of large arguments, remainders of large
// quotients. Vectors without such an element, nearly all, take one test and a branch. Each splits the block at the builder's
// place; building goes on behind.
#pragma once
#include <llvm/IR/IRBuilder.h>

namespace trellis {

/// The sine or cosine of x where |x| > 2^17, else y.
llvm::Value *lower_large_trig(llvm::IRBuilder<> &b, bool cosine, llvm::Value *x, llvm::Value *y);

/// The exact remainder of x / y as C's fmod, for f32 and f64; `fma`: whether the target has the instruction.
llvm::Value *lower_float_rem(llvm::IRBuilder<> &b, bool fma, llvm::Value *x, llvm::Value *y);

} // namespace trellis

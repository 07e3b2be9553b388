// Elementwise ops of the table as LLVM instructions, for scalars and vectors alike.
#pragma once
#include "compiler/llvm/target.h"
#include "ir/op.h"
#include <llvm/IR/IRBuilder.h>

namespace trellis {

/// The LLVM type that holds an element in registers: f16 and bf16 as their 16 bits, bool as i1.
llvm::Type *compute_type(llvm::LLVMContext &c, DType t);
/// In memory: bool is a byte.
llvm::Type *storage_type(llvm::LLVMContext &c, DType t);

/// `from` is the dtype of the operands (of the second one for select), `to` of the result. Guards the edge
/// cases that LLVM leaves undefined. Arithmetic on f16 and bf16 goes through a wider type and is rounded
/// once. Throws CompileError for an op that legalize should have rewritten.
llvm::Value *lower_op(llvm::IRBuilder<> &b, const Target &t, Op op, DType from, DType to,
                      llvm::ArrayRef<llvm::Value *> x);

} // namespace trellis

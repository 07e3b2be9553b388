#include "compiler/llvm/lower_trig.h"
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

namespace trellis {

using namespace llvm;

llvm::Value *lower_large_trig(IRBuilder<> &b, bool cosine, llvm::Value *x, llvm::Value *y) {
  llvm::Type *type = x->getType(), *scalar = type->getScalarType();
  auto *vector = dyn_cast<FixedVectorType>(type);
  llvm::Value *magnitude = b.CreateUnaryIntrinsic(Intrinsic::fabs, x);
  llvm::Value *far = b.CreateFCmpOGT(magnitude, ConstantFP::get(type, 131072)); // NaN goes through y
  llvm::Value *any = vector ? b.CreateOrReduce(far) : far;

  BasicBlock *before = b.GetInsertBlock();
  Function *f = before->getParent();
  BasicBlock *after;
  if (b.GetInsertPoint() == before->end()) {
    after = BasicBlock::Create(b.getContext(), "near", f, before->getNextNode());
  } else {
    after = before->splitBasicBlock(b.GetInsertPoint(), "near");
    before->getTerminator()->eraseFromParent();
    b.SetInsertPoint(before);
  }
  BasicBlock *slow = BasicBlock::Create(b.getContext(), "far", f);
  b.CreateCondBr(any, slow, after, MDBuilder(b.getContext()).createUnlikelyBranchWeights());

  b.SetInsertPoint(slow);
  const char *name = scalar->isDoubleTy() ? (cosine ? "cos" : "sin") : (cosine ? "cosf" : "sinf");
  FunctionCallee libm = f->getParent()->getOrInsertFunction(name, scalar, scalar);
  llvm::Value *called;
  if (vector) {
    called = y;
    for (uint64_t i = 0; i < vector->getNumElements(); ++i)
      called = b.CreateInsertElement(called, b.CreateCall(libm, {b.CreateExtractElement(x, i)}), i);
    called = b.CreateSelect(far, called, y);
  } else {
    called = b.CreateCall(libm, {x});
  }
  b.CreateBr(after);

  b.SetInsertPoint(after, after->begin());
  PHINode *result = b.CreatePHI(type, 2);
  result->addIncoming(y, before), result->addIncoming(called, slow);
  b.SetInsertPoint(after, after->getFirstInsertionPt());
  return result;
}

} // namespace trellis

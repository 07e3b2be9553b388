#include "compiler/llvm/lower_far.h"
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/MDBuilder.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

namespace trellis {

using namespace llvm;

// libm's `name` of x where `far` holds, else `near`.
static llvm::Value *call_where(IRBuilder<> &b, llvm::Value *far, std::string name, ArrayRef<llvm::Value *> x,
                               llvm::Value *near) {
  llvm::Type *type = near->getType(), *scalar = type->getScalarType();
  auto *vector = dyn_cast<FixedVectorType>(type);
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
  if (scalar->isFloatTy()) name += "f";
  auto *signature = FunctionType::get(scalar, SmallVector<llvm::Type *>(x.size(), scalar), false);
  FunctionCallee libm = f->getParent()->getOrInsertFunction(name, signature);
  llvm::Value *called;
  if (vector) {
    called = near;
    for (uint64_t i = 0; i < vector->getNumElements(); ++i) {
      SmallVector<llvm::Value *> element;
      for (llvm::Value *v : x) element.push_back(b.CreateExtractElement(v, i));
      called = b.CreateInsertElement(called, b.CreateCall(libm, element), i);
    }
    called = b.CreateSelect(far, called, near);
  } else {
    called = b.CreateCall(libm, x);
  }
  b.CreateBr(after);

  b.SetInsertPoint(after, after->begin());
  PHINode *result = b.CreatePHI(type, 2);
  result->addIncoming(near, before), result->addIncoming(called, slow);
  b.SetInsertPoint(after, after->getFirstInsertionPt());
  return result;
}

llvm::Value *lower_large_trig(IRBuilder<> &b, bool cosine, llvm::Value *x, llvm::Value *y) {
  llvm::Value *magnitude = b.CreateUnaryIntrinsic(Intrinsic::fabs, x);
  llvm::Value *far = b.CreateFCmpOGT(magnitude, ConstantFP::get(x->getType(), 131072)); // NaN goes through y
  return call_where(b, far, cosine ? "cos" : "sin", {x}, y);
}

// In f64, with n the whole part of a quotient of less than 2^29. Operands of f32: the quotient lies further from a whole
// number above it than its rounding reaches, so that n is right, and n y fits 53 bits. Operands of f64: x - n y has no bit below
// y's last and is at most y, so that a fused multiply-add is exact; where rounding took the quotient up to a whole number
// y is given back.
llvm::Value *lower_float_rem(IRBuilder<> &b, bool fma, llvm::Value *x, llvm::Value *y) {
  llvm::Type *type = x->getType();
  bool wide = type->getScalarType()->isDoubleTy();
  if (wide && !fma) return b.CreateFRem(x, y);
  auto like = [&](llvm::Type *scalar) -> llvm::Type * {
    auto *v = dyn_cast<FixedVectorType>(type);
    return v ? FixedVectorType::get(scalar, v->getNumElements()) : scalar;
  };
  llvm::Type *f64 = like(b.getDoubleTy());
  auto magnitude = [&](llvm::Value *v) { return b.CreateUnaryIntrinsic(Intrinsic::fabs, v); };
  llvm::Value *p = wide ? x : b.CreateFPExt(x, f64), *d = wide ? y : b.CreateFPExt(y, f64);
  llvm::Value *q = b.CreateFDiv(p, d);
  llvm::Value *near = b.CreateAnd(b.CreateFCmpOLT(magnitude(q), ConstantFP::get(f64, 0x1p29)),
                                  b.CreateFCmpOLT(magnitude(d), ConstantFP::getInfinity(f64)));
  llvm::Value *whole = b.CreateFPToSI(b.CreateSelect(near, q, ConstantFP::get(f64, 0)), like(b.getInt32Ty()));
  llvm::Value *n = b.CreateSIToFP(whole, f64), *r;
  if (wide) {
    r = b.CreateIntrinsic(f64, Intrinsic::fma, {b.CreateFNeg(n), d, p});
    llvm::Value *sign = b.CreateBinaryIntrinsic(Intrinsic::copysign, ConstantFP::get(f64, 1), p);
    llvm::Value *over = b.CreateFCmpOLT(b.CreateFMul(sign, r), ConstantFP::get(f64, 0));
    r = b.CreateSelect(over, b.CreateFAdd(r, b.CreateBinaryIntrinsic(Intrinsic::copysign, d, p)), r);
  } else {
    r = b.CreateFPTrunc(b.CreateFSub(p, b.CreateFMul(n, d)), type);
  }
  r = b.CreateBinaryIntrinsic(Intrinsic::copysign, r, x); // of a zero, too
  return call_where(b, b.CreateNot(near), "fmod", {x, y}, r);
}

} // namespace trellis

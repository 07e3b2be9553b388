#include "compiler/llvm/lower_op.h"
#include "compiler/llvm/lower_far.h"
#include "ir/diag.h"
#include <fmt/format.h>
#include <llvm/IR/Intrinsics.h>

namespace trellis {

using namespace llvm;

llvm::Type *compute_type(LLVMContext &c, DType t) {
  switch (t) {
  case DType::f32: return llvm::Type::getFloatTy(c);
  case DType::f64: return llvm::Type::getDoubleTy(c);
  case DType::boolean: return llvm::Type::getInt1Ty(c);
  default: return llvm::Type::getIntNTy(c, unsigned(8 * size_of(t)));
  }
}
llvm::Type *storage_type(LLVMContext &c, DType t) {
  return t == DType::boolean ? llvm::Type::getInt8Ty(c) : compute_type(c, t);
}

namespace {
struct Lower {
  IRBuilder<> &b;
  const Target &target;
  DType from, to;
  ArrayRef<llvm::Value *> x;

  llvm::Type *type() const { return x.back()->getType(); }
  llvm::Type *like(llvm::Type *scalar) const {
    if (auto *v = dyn_cast<VectorType>(type())) return VectorType::get(scalar, v->getElementCount());
    return scalar;
  }
  llvm::Value *integer(int64_t v) const { return ConstantInt::get(type(), uint64_t(v), true); }
  llvm::Value *call(Intrinsic::ID id, ArrayRef<llvm::Value *> args) { return b.CreateIntrinsic(type(), id, args); }
  bool flt() const { return is_float(from); }
  bool uns() const { return is_unsigned_int(from) || from == DType::boolean; }

  // max(x, c) for a constant c that is neither NaN nor a zero of the losing sign needs one comparison.
  llvm::Value *extreme(bool greatest) {
    if (!flt())
      return call(greatest ? (uns() ? Intrinsic::umax : Intrinsic::smax) : (uns() ? Intrinsic::umin : Intrinsic::smin),
                  {x[0], x[1]});
    for (int i = 0; i < 2; ++i) {
      auto *c = dyn_cast<Constant>(x[size_t(i)]);
      auto *f = c ? dyn_cast_or_null<ConstantFP>(c->getType()->isVectorTy() ? c->getSplatValue() : c) : nullptr;
      if (!f || f->isNaN() || (f->isZero() && f->isNegative() == greatest)) continue;
      llvm::Value *v = x[size_t(1 - i)];
      return b.CreateSelect(greatest ? b.CreateFCmpOLE(v, c) : b.CreateFCmpOGE(v, c), c, v);
    }
    return call(greatest ? Intrinsic::maximum : Intrinsic::minimum, {x[0], x[1]});
  }

  // By zero is 0; INT_MIN / -1 wraps.
  llvm::Value *divide(bool remainder) {
    llvm::Value *zero = b.CreateICmpEQ(x[1], integer(0)), *d = b.CreateSelect(zero, integer(1), x[1]);
    llvm::Value *q;
    if (uns())
      q = remainder ? b.CreateURem(x[0], d) : b.CreateUDiv(x[0], d);
    else {
      llvm::Value *minus = b.CreateICmpEQ(x[1], integer(-1));
      d = b.CreateSelect(minus, integer(1), d);
      q = remainder ? b.CreateSRem(x[0], d) : b.CreateSDiv(x[0], d);
      q = remainder ? q : b.CreateSelect(minus, b.CreateNeg(x[0]), q);
    }
    return b.CreateSelect(zero, integer(0), q);
  }

  llvm::Value *shift(bool left) {
    unsigned bits = type()->getScalarSizeInBits();
    llvm::Value *wide = b.CreateICmpUGE(x[1], integer(bits)), *n = b.CreateSelect(wide, integer(0), x[1]);
    if (left) return b.CreateSelect(wide, integer(0), b.CreateShl(x[0], n));
    if (uns()) return b.CreateSelect(wide, integer(0), b.CreateLShr(x[0], n));
    return b.CreateAShr(x[0], b.CreateSelect(wide, integer(bits - 1), x[1]));
  }

  // f16 without conversion instructions. The exponent is corrected by a product with 2^112, which is exact
  // and makes subnormals normal; infinities and NaN get the largest exponent.
  llvm::Value *f16_to_float(llvm::Value *v) {
    llvm::Type *i32 = like(b.getInt32Ty()), *f32 = like(b.getFloatTy());
    llvm::Value *h = b.CreateZExt(v, i32), *magnitude = b.CreateAnd(h, 0x7FFF),
                *sign = b.CreateShl(b.CreateXor(h, magnitude), 16);
    llvm::Value *scaled = b.CreateFMul(b.CreateBitCast(b.CreateShl(magnitude, 13), f32), ConstantFP::get(f32, 0x1p112));
    llvm::Value *bits = b.CreateBitCast(scaled, i32);
    llvm::Value *quiet = b.CreateSelect(b.CreateICmpUGT(magnitude, ConstantInt::get(i32, 0x7C00)),
                                        ConstantInt::get(i32, 0x7FC00000), ConstantInt::get(i32, 0x7F800000));
    bits = b.CreateSelect(b.CreateICmpUGE(magnitude, ConstantInt::get(i32, 0x7C00)), b.CreateOr(bits, quiet), bits);
    return b.CreateBitCast(b.CreateOr(bits, sign), f32);
  }
  // The inverse, to nearest even. Normal results: rounding is an integer addition below the kept bits.
  // Subnormal ones: the sum with 0.5 rounds at f16's last place. From 65520 on the addition carries into the
  // infinity by itself; above 65536 it is set.
  llvm::Value *float_to_f16(llvm::Value *v) {
    llvm::Type *i32 = like(b.getInt32Ty()), *f32 = like(b.getFloatTy());
    auto c = [&](uint32_t n) { return ConstantInt::get(i32, n); };
    llvm::Value *u = b.CreateBitCast(v, i32), *m = b.CreateAnd(u, c(0x7FFFFFFF)),
                *sign = b.CreateLShr(b.CreateXor(u, m), 16);
    llvm::Value *odd = b.CreateAnd(b.CreateLShr(m, 13), c(1));
    llvm::Value *normal = b.CreateLShr(b.CreateAdd(b.CreateAdd(m, c(0xC8000FFF)), odd), 13);
    llvm::Value *small = b.CreateSub(
        b.CreateBitCast(b.CreateFAdd(b.CreateBitCast(m, f32), ConstantFP::get(f32, 0.5)), i32), c(0x3F000000));
    llvm::Value *nan = b.CreateOr(b.CreateAnd(b.CreateLShr(m, 13), c(0x3FF)), c(0x7E00));
    llvm::Value *large = b.CreateSelect(b.CreateICmpUGT(m, c(0x7F800000)), nan, c(0x7C00));
    llvm::Value *out = b.CreateSelect(b.CreateICmpULT(m, c(113u << 23)), small, normal);
    out = b.CreateSelect(b.CreateICmpUGE(m, c(143u << 23)), large, out);
    return b.CreateTrunc(b.CreateOr(out, sign), like(b.getInt16Ty()));
  }

  llvm::Value *half_to_float(llvm::Value *v, DType t) {
    llvm::Type *f32 = like(b.getFloatTy());
    if (t == DType::bf16) return b.CreateBitCast(b.CreateShl(b.CreateZExt(v, like(b.getInt32Ty())), 16), f32);
    return target.halves ? b.CreateFPExt(b.CreateBitCast(v, like(b.getHalfTy())), f32) : f16_to_float(v);
  }
  // Round to nearest even; NaN stays a quiet NaN.
  llvm::Value *float_to_half(llvm::Value *v, DType t) {
    if (t == DType::f16)
      return target.halves ? b.CreateBitCast(b.CreateFPTrunc(v, like(b.getHalfTy())), like(b.getInt16Ty()))
                           : float_to_f16(v);
    llvm::Type *i32 = like(b.getInt32Ty());
    llvm::Value *bits = b.CreateBitCast(v, i32), *high = b.CreateLShr(bits, 16);
    llvm::Value *round = b.CreateAdd(b.CreateAnd(high, 1), ConstantInt::get(i32, 0x7FFF));
    llvm::Value *rounded = b.CreateLShr(b.CreateAdd(bits, round), 16);
    llvm::Value *nan = b.CreateOr(high, 0x40);
    return b.CreateTrunc(b.CreateSelect(b.CreateFCmpUNO(v, v), nan, rounded), like(b.getInt16Ty()));
  }

  // Without an instruction: adding and taking away 2^23 (f64: 2^52) rounds the magnitude; a greater one is
  // whole.
  llvm::Value *round(bool down) {
    if (target.rounds) return call(down ? Intrinsic::floor : Intrinsic::roundeven, {x[0]});
    llvm::Value *magic = ConstantFP::get(type(), from == DType::f32 ? 0x1p23 : 0x1p52);
    llvm::Value *m = call(Intrinsic::fabs, {x[0]});
    llvm::Value *whole = b.CreateFSub(b.CreateFAdd(m, magic), magic);
    whole = call(Intrinsic::copysign, {b.CreateSelect(b.CreateFCmpOLT(m, magic), whole, m), x[0]});
    if (!down) return whole;
    return b.CreateSelect(b.CreateFCmpOGT(whole, x[0]), b.CreateFSub(whole, ConstantFP::get(type(), 1)), whole);
  }

  // f32 holds twice f16's precision and two bits, so rounding its sum, product, quotient or root again is
  // harmless; fma needs f64.
  llvm::Value *through_wider(Op op) {
    if (op == Op::neg) return b.CreateXor(x[0], integer(-0x8000));
    if (op == Op::abs) return b.CreateAnd(x[0], integer(0x7FFF));
    DType wide = op == Op::fma ? DType::f64 : DType::f32;
    std::vector<llvm::Value *> y;
    for (llvm::Value *v : x) y.push_back(Lower{b, target, from, wide, v}.cast());
    bool truth = to == DType::boolean;
    llvm::Value *v = Lower{b, target, wide, truth ? to : wide, y}.run(op);
    return truth ? v : Lower{b, target, wide, from, v}.cast();
  }

  llvm::Value *cast() {
    llvm::Value *v = x[0];
    if (from == to) return v;
    bool from_half = from == DType::f16 || from == DType::bf16, to_half = to == DType::f16 || to == DType::bf16;
    if (from_half) {
      v = half_to_float(v, from);
      return Lower{b, target, DType::f32, to, v}.cast();
    }
    if (to == DType::boolean)
      return flt() ? b.CreateFCmpUNE(v, ConstantFP::get(type(), 0)) : b.CreateICmpNE(v, integer(0));
    if (to_half) {
      // From f64 through f32 rounded to odd, so that the second rounding is right.
      if (from == DType::f64) {
        llvm::Type *f32 = like(b.getFloatTy()), *i32 = like(b.getInt32Ty());
        llvm::Value *f = b.CreateFPTrunc(v, f32), *back = b.CreateFPExt(f, type());
        llvm::Value *bits = b.CreateBitCast(f, i32);
        llvm::Value *inexact = b.CreateFCmpONE(back, v);
        llvm::Value *too_far =
            b.CreateFCmpOGT(b.CreateUnaryIntrinsic(Intrinsic::fabs, back), b.CreateUnaryIntrinsic(Intrinsic::fabs, v));
        llvm::Value *down = b.CreateSub(bits, b.CreateZExt(too_far, i32)); // towards zero
        llvm::Value *odd = b.CreateOr(down, b.CreateZExt(inexact, i32));
        return float_to_half(b.CreateBitCast(odd, f32), to);
      }
      if (from != DType::f32) { // integers, rounded once: exact in f64 up to 2^53
        v = Lower{b, target, from, DType::f64, v}.cast();
        return Lower{b, target, DType::f64, to, v}.cast();
      }
      return float_to_half(v, to);
    }
    llvm::Type *target = like(compute_type(b.getContext(), to));
    if (flt() && is_float(to))
      return size_of(to) > size_of(from) ? b.CreateFPExt(v, target) : b.CreateFPTrunc(v, target);
    if (is_float(to)) return uns() ? b.CreateUIToFP(v, target) : b.CreateSIToFP(v, target);
    if (flt())
      return b.CreateIntrinsic(target, is_unsigned_int(to) ? Intrinsic::fptoui_sat : Intrinsic::fptosi_sat, {v});
    return uns() ? b.CreateZExtOrTrunc(v, target) : b.CreateSExtOrTrunc(v, target);
  }

  llvm::Value *bitcast() { return b.CreateBitCast(x[0], like(compute_type(b.getContext(), to))); }

  llvm::Value *run(Op op) {
    bool moves_bits = op == Op::select || op == Op::cast || op == Op::bitcast;
    if (!moves_bits && (from == DType::f16 || from == DType::bf16)) return through_wider(op);
    switch (op) {
    case Op::neg: return flt() ? b.CreateFNeg(x[0]) : b.CreateNeg(x[0]);
    case Op::add: return flt() ? b.CreateFAdd(x[0], x[1]) : b.CreateAdd(x[0], x[1]);
    case Op::mul: return flt() ? b.CreateFMul(x[0], x[1]) : b.CreateMul(x[0], x[1]);
    case Op::fma: return flt() ? call(Intrinsic::fma, {x[0], x[1], x[2]}) : b.CreateAdd(b.CreateMul(x[0], x[1]), x[2]);
    case Op::div: return flt() ? b.CreateFDiv(x[0], x[1]) : divide(false);
    case Op::max: return extreme(true);
    case Op::min: return extreme(false);
    case Op::lt:
      return flt() ? b.CreateFCmpOLT(x[0], x[1]) : uns() ? b.CreateICmpULT(x[0], x[1]) : b.CreateICmpSLT(x[0], x[1]);
    case Op::eq: return flt() ? b.CreateFCmpOEQ(x[0], x[1]) : b.CreateICmpEQ(x[0], x[1]);
    case Op::select: return b.CreateSelect(x[0], x[1], x[2]);
    case Op::cast: return cast();
    case Op::bitcast: return bitcast();
    case Op::abs:
      return flt()   ? call(Intrinsic::fabs, {x[0]})
             : uns() ? x[0]
                     : b.CreateIntrinsic(type(), Intrinsic::abs, {x[0], b.getFalse()});
    case Op::sqrt: return call(Intrinsic::sqrt, {x[0]});
    case Op::floor: return flt() ? round(true) : x[0];
    case Op::round: return flt() ? round(false) : x[0];
    case Op::rem: return flt() ? lower_float_rem(b, target.fma, x[0], x[1]) : divide(true);
    case Op::bit_and: return b.CreateAnd(x[0], x[1]);
    case Op::bit_or: return b.CreateOr(x[0], x[1]);
    case Op::bit_xor: return b.CreateXor(x[0], x[1]);
    case Op::shl: return shift(true);
    case Op::shr: return shift(false);
    case Op::sin_large: return lower_large_trig(b, false, x[0], x[1]);
    case Op::cos_large: return lower_large_trig(b, true, x[0], x[1]);
    default: break;
    }
    throw CompileError(
        fmt::format("the back end has no instruction for '{}' of {}", trellis::name(op), trellis::name(from)));
  }
};
} // namespace

llvm::Value *lower_op(IRBuilder<> &b, const Target &t, Op op, DType from, DType to, ArrayRef<llvm::Value *> x) {
  return Lower{b, t, from, to, x}.run(op);
}

} // namespace trellis

#include "compiler/llvm/emit_expr.h"
#include "compiler/llvm/transpose.h"
#include "ir/diag.h"
#include <fmt/format.h>

namespace trellis {

using namespace llvm;

void ExprEmitter::declare_local(int i) {
  const Buffer &buf = kernel.buffers[size_t(i)];
  if (buf.space == Space::reg) {
    bases.push_back(nullptr);
    return;
  }
  auto *type = ArrayType::get(storage_type(module.getContext(), buf.dtype), uint64_t(std::max<int64_t>(buf.size, 1)));
  AllocaInst *a = b.CreateAlloca(type);
  a->setAlignment(Align(64));
  bases.push_back(a);
}

AllocaInst *ExprEmitter::reg(int buffer, int64_t number) {
  auto [it, fresh] = regs_.try_emplace({buffer, number}, nullptr);
  if (fresh) {
    const Buffer &buf = kernel.buffers[size_t(buffer)];
    llvm::Type *t = compute_type(module.getContext(), buf.dtype);
    if (buf.lanes > 1) t = FixedVectorType::get(t, unsigned(buf.lanes));
    IRBuilder<> at(entry_block, entry_block->begin());
    it->second = at.CreateAlloca(t);
  }
  return it->second;
}

int64_t ExprEmitter::constant_index(const Index &e) {
  return e.evaluate([&](int id) -> int64_t {
    auto *c = dyn_cast<ConstantInt>(env.at(id).base);
    TRELLIS_CHECK(c, fmt::format("a register of @{} is indexed by a loop that is not unrolled", kernel.name));
    return c->getSExtValue();
  });
}

llvm::Value *ExprEmitter::atom(const IndexAtom &a, int lane) {
  if (a.kind == IndexAtom::Kind::var) {
    const Binding &v = env.at(a.var.id);
    return lane && v.lanes ? b.CreateAdd(v.base, b.getInt64(uint64_t(lane)), "", true, true) : v.base;
  }
  llvm::Value *e = scalar_index(*a.arg, lane), *k = b.getInt64(uint64_t(a.k));
  bool div = a.kind == IndexAtom::Kind::div;
  if (a.arg->min() >= 0) return div ? b.CreateUDiv(e, k) : b.CreateURem(e, k);
  // Floored: shift into the non-negative range by a multiple of k.
  int64_t shift = (-a.arg->min() + a.k - 1) / a.k;
  llvm::Value *up = b.CreateAdd(e, b.getInt64(uint64_t(shift * a.k)));
  return div ? b.CreateSub(b.CreateUDiv(up, k), b.getInt64(uint64_t(shift))) : b.CreateURem(up, k);
}

// The constant part comes last, so that neighbours share the rest and differ in the displacement only.
llvm::Value *ExprEmitter::scalar_index(const Index &e, int lane) {
  llvm::Value *sum = nullptr;
  for (const IndexTerm &t : e.terms()) {
    llvm::Value *v = atom(*t.atom, lane);
    if (t.coef != 1) v = b.CreateMul(v, b.getInt64(uint64_t(t.coef)), "", false, true);
    sum = sum ? b.CreateAdd(sum, v, "", false, true) : v;
  }
  if (!sum) return b.getInt64(uint64_t(e.constant()));
  return e.constant() ? b.CreateAdd(sum, b.getInt64(uint64_t(e.constant())), "", false, true) : sum;
}

llvm::Value *ExprEmitter::pointer(int buffer, const Index &index, llvm::Value *dynamic, int lane) {
  llvm::Type *t = storage_type(module.getContext(), kernel.buffers[size_t(buffer)].dtype);
  llvm::Value *p = bases[size_t(buffer)];
  llvm::Value *sum = dynamic;
  int64_t constant = index.constant();
  for (const IndexTerm &term : index.terms()) {
    if (term.atom->kind == IndexAtom::Kind::var) { // unrolled variables and lanes go into the constant part
      const Binding &v = env.at(term.atom->var.id);
      if (v.lanes) constant += lane * term.coef;
      if (auto *c = dyn_cast<ConstantInt>(v.base)) {
        constant += c->getSExtValue() * term.coef;
        continue;
      }
      llvm::Value *scaled =
          term.coef == 1 ? v.base : b.CreateMul(v.base, b.getInt64(uint64_t(term.coef)), "", false, true);
      sum = sum ? b.CreateAdd(sum, scaled, "", false, true) : scaled;
      continue;
    }
    llvm::Value *v = b.CreateMul(atom(*term.atom, lane), b.getInt64(uint64_t(term.coef)), "", false, true);
    sum = sum ? b.CreateAdd(sum, v, "", false, true) : v;
  }
  if (sum) p = b.CreateGEP(t, p, sum);
  if (constant) p = b.CreateGEP(t, p, b.getInt64(uint64_t(constant)));
  return p;
}

ExprEmitter::Address ExprEmitter::address(int buffer, const Index &index, const Expr *dynamic) {
  Address a;
  Lanes d = dynamic ? expr(dynamic) : Lanes{};
  std::optional<int64_t> stride = vector_var < 0 ? std::optional<int64_t>(0) : index.coefficient(vector_var);
  if (stride && !d.vector) {
    a.stride = *stride;
    a.pointer = pointer(buffer, index, d.value, 0);
    return a;
  }
  a.scattered = true;
  for (int l = 0; l < vector_lanes; ++l)
    a.lanes.push_back(pointer(buffer, index, d.vector ? b.CreateExtractElement(d.value, uint64_t(l)) : d.value, l));
  return a;
}

llvm::Value *ExprEmitter::splat(Lanes v) {
  return v.vector || vector_lanes == 1 ? v.value : b.CreateVectorSplat(unsigned(vector_lanes), v.value);
}

llvm::Value *ExprEmitter::from_storage(llvm::Value *v, DType t) {
  if (t != DType::boolean) return v;
  return b.CreateICmpNE(v, Constant::getNullValue(v->getType()));
}
llvm::Value *ExprEmitter::to_storage(llvm::Value *v, DType t) {
  if (t != DType::boolean) return v;
  llvm::Type *i8 = b.getInt8Ty();
  if (auto *vt = dyn_cast<FixedVectorType>(v->getType()))
    return b.CreateZExt(v, FixedVectorType::get(i8, vt->getNumElements()));
  return b.CreateZExt(v, i8);
}

ExprEmitter::Lanes ExprEmitter::load_register(const Expr *e) {
  const Buffer &buf = kernel.buffers[size_t(e->buffer)];
  int64_t at = constant_index(e->index), number = at / buf.lanes, first = at % buf.lanes;
  AllocaInst *a = reg(e->buffer, number);
  llvm::Value *v = b.CreateLoad(a->getAllocatedType(), a);
  if (buf.lanes == 1) return {v, false};
  int64_t stride = vector_var < 0 ? 0 : e->index.coefficient(vector_var).value_or(-1);
  TRELLIS_CHECK(stride == 0 || stride == 1, "a register is read with a stride");
  if (stride == 0) return {b.CreateExtractElement(v, uint64_t(first)), false};
  TRELLIS_CHECK(first + vector_lanes <= buf.lanes, "a read crosses registers");
  if (vector_lanes == buf.lanes) return {v, true};
  std::vector<int> pick;
  for (int l = 0; l < vector_lanes; ++l) pick.push_back(int(first) + l);
  return {b.CreateShuffleVector(v, pick), true};
}

// A load under a guard reads from the start of the buffer where the guard does not hold: the value is not
// used.
ExprEmitter::Lanes ExprEmitter::load(const Expr *e) {
  const Buffer &buf = kernel.buffers[size_t(e->buffer)];
  if (buf.space == Space::reg) return load_register(e);
  llvm::Type *t = storage_type(module.getContext(), buf.dtype);
  Align align(uint64_t(size_of(buf.dtype)));
  Address a = address(e->buffer, e->index, e->dynamic);
  auto safe = [&](llvm::Value *p, llvm::Value *mask) {
    return mask ? b.CreateSelect(mask, p, bases[size_t(e->buffer)]) : p;
  };
  if (!a.scattered && a.stride == 0) {
    llvm::Value *mask = scalar_mask_;
    if (lane_mask_) { // uniform address, but no lane may want it
      llvm::Value *any = b.CreateOrReduce(lane_mask_);
      mask = mask ? b.CreateAnd(mask, any) : any;
    }
    return {from_storage(b.CreateAlignedLoad(t, safe(a.pointer, mask), align), buf.dtype), false};
  }
  auto *vt = FixedVectorType::get(t, unsigned(vector_lanes));
  bool fits = buf.size >= vector_lanes;
  if (!a.scattered && (a.stride == 1 || a.stride == -1) && (fits || lane_mask_ || !scalar_mask_)) {
    llvm::Value *v, *p = a.pointer;
    if (a.stride < 0) p = b.CreateGEP(t, p, b.getInt64(uint64_t(1 - int64_t(vector_lanes))));
    if (lane_mask_) {
      llvm::Value *m = a.stride < 0 ? reversed(lane_mask_) : lane_mask_;
      if (scalar_mask_) m = b.CreateAnd(m, b.CreateVectorSplat(unsigned(vector_lanes), scalar_mask_));
      v = b.CreateMaskedLoad(vt, p, align, m, Constant::getNullValue(vt));
    } else
      v = b.CreateAlignedLoad(vt, safe(p, scalar_mask_), align);
    return {from_storage(a.stride < 0 ? reversed(v) : v, buf.dtype), true};
  }
  int64_t step = std::abs(a.stride);
  if (!a.scattered && step >= 2 && step <= 4 && vector_lanes >= 4 && !lane_mask_ &&
      (!scalar_mask_ || buf.size >= (vector_lanes - 1) * step + 1)) {
    llvm::Value *p = a.pointer;
    if (scalar_mask_ && a.stride < 0) { // where it does not hold, a place from which the same steps stay inside
      llvm::Value *last = b.CreateGEP(t, bases[size_t(e->buffer)], b.getInt64(uint64_t((vector_lanes - 1) * step)));
      p = b.CreateSelect(scalar_mask_, p, last);
    } else
      p = safe(p, scalar_mask_);
    return {from_storage(load_strided(t, p, a.stride), buf.dtype), true};
  }
  llvm::Value *v = PoisonValue::get(vt);
  for (int l = 0; l < vector_lanes; ++l) {
    llvm::Value *p = a.scattered ? a.lanes[size_t(l)]
                     : l         ? b.CreateGEP(t, a.pointer, b.getInt64(uint64_t(a.stride * l)))
                                 : a.pointer;
    llvm::Value *mask = scalar_mask_;
    if (lane_mask_) {
      llvm::Value *own = b.CreateExtractElement(lane_mask_, uint64_t(l));
      mask = mask ? b.CreateAnd(mask, own) : own;
    }
    v = b.CreateInsertElement(v, b.CreateAlignedLoad(t, safe(p, mask), align), uint64_t(l));
  }
  return {from_storage(v, buf.dtype), true};
}

// One element (of several lanes that want it the last stays), or lanes next to each other.
void ExprEmitter::store_register(int buffer, const Index &index, Lanes v, llvm::Value *mask) {
  const Buffer &buf = kernel.buffers[size_t(buffer)];
  int64_t at = constant_index(index), first = at % buf.lanes;
  AllocaInst *a = reg(buffer, at / buf.lanes);
  auto old = [&] { return b.CreateLoad(a->getAllocatedType(), a); };
  int64_t stride = vector_var < 0 ? 0 : index.coefficient(vector_var).value_or(-1);
  if (stride == 0) {
    llvm::Value *e = v.value;
    if (v.vector || mask) {
      e = buf.lanes == 1 ? static_cast<llvm::Value *>(old()) : b.CreateExtractElement(old(), uint64_t(first));
      for (int l = mask ? 0 : vector_lanes - 1; l < vector_lanes; ++l) {
        llvm::Value *next = v.vector ? b.CreateExtractElement(v.value, uint64_t(l)) : v.value;
        e = mask ? b.CreateSelect(b.CreateExtractElement(mask, uint64_t(l)), next, e) : next;
      }
    }
    b.CreateStore(buf.lanes == 1 ? e : b.CreateInsertElement(old(), e, uint64_t(first)), a);
    return;
  }
  TRELLIS_CHECK(stride == 1 && first + vector_lanes <= buf.lanes, "a register is written with a stride");
  llvm::Value *value = splat(v);
  if (vector_lanes == buf.lanes) {
    b.CreateStore(mask ? b.CreateSelect(mask, value, old()) : value, a);
    return;
  }
  std::vector<int> wide, blend;
  for (int l = 0; l < buf.lanes; ++l) {
    bool written = l >= first && l < first + vector_lanes;
    wide.push_back(written ? l - int(first) : -1);
    blend.push_back(written ? buf.lanes + l : l);
  }
  llvm::Value *before = old();
  if (mask) {
    std::vector<int> part;
    for (int l = 0; l < vector_lanes; ++l) part.push_back(int(first) + l);
    value = b.CreateSelect(mask, value, b.CreateShuffleVector(before, part));
  }
  b.CreateStore(b.CreateShuffleVector(before, b.CreateShuffleVector(value, wide), blend), a);
}

void ExprEmitter::transpose_registers(int buffer) {
  const Buffer &buf = kernel.buffers[size_t(buffer)];
  int64_t n = buf.lanes;
  TRELLIS_CHECK(buf.size == n * n, "registers that are turned make a square");
  std::vector<llvm::Value *> rows;
  for (int64_t i = 0; i < n; ++i) {
    AllocaInst *a = reg(buffer, i);
    rows.push_back(b.CreateLoad(a->getAllocatedType(), a));
  }
  transpose(b, rows);
  for (int64_t i = 0; i < n; ++i) b.CreateStore(rows[size_t(i)], reg(buffer, i));
}

llvm::Value *ExprEmitter::reversed(llvm::Value *v) {
  std::vector<int> turn;
  for (int l = vector_lanes; l-- > 0;) turn.push_back(l);
  return b.CreateShuffleVector(v, turn);
}

// Lanes that lie `stride` (2 to 4, or negative) apart: whole vectors and shuffles. The last vector ends with
// the last element that is wanted, so nothing beyond it is read.
llvm::Value *ExprEmitter::load_strided(llvm::Type *t, llvm::Value *first, int64_t stride) {
  int64_t n = vector_lanes, step = std::abs(stride), span = (n - 1) * step + 1;
  if (stride < 0) first = b.CreateGEP(t, first, b.getInt64(uint64_t(1 - span)));
  auto *vt = FixedVectorType::get(t, unsigned(n));
  Align align(t->getScalarSizeInBits() / 8);
  llvm::Value *out = nullptr;
  std::vector<int> in_out(size_t(n), -1); // where `out` holds a lane's element
  for (int64_t k = 0; k < step; ++k) {
    int64_t from = std::min(k * n, span - n);
    llvm::Value *piece = b.CreateAlignedLoad(vt, b.CreateGEP(t, first, b.getInt64(uint64_t(from))), align);
    std::vector<int> pick = in_out;
    for (int64_t l = 0; l < n; ++l) {
      int64_t at = (stride < 0 ? n - 1 - l : l) * step;
      if (at < k * n || at >= (k + 1) * n) continue;
      pick[size_t(l)] = int(at - from + (out ? n : 0));
      in_out[size_t(l)] = int(out ? l : at - from);
    }
    out = out ? b.CreateShuffleVector(out, piece, pick) : piece;
    if (k > 0)
      for (int64_t l = 0; l < n; ++l)
        if (in_out[size_t(l)] >= 0) in_out[size_t(l)] = int(l);
  }
  return out;
}

void ExprEmitter::store_to(int buffer, const Index &index, const Expr *dynamic, Lanes v, llvm::Value *mask) {
  const Buffer &buf = kernel.buffers[size_t(buffer)];
  if (buf.space == Space::reg) return store_register(buffer, index, v, mask);
  llvm::Type *t = storage_type(module.getContext(), buf.dtype);
  Align align(uint64_t(size_of(buf.dtype)));
  Address a = address(buffer, index, dynamic);
  if (vector_lanes == 1) {
    b.CreateAlignedStore(to_storage(v.value, buf.dtype), a.pointer, align);
    return;
  }
  llvm::Value *value = to_storage(splat(v), buf.dtype);
  if (!a.scattered && (a.stride == 1 || a.stride == -1)) {
    llvm::Value *p = a.pointer;
    if (a.stride < 0) {
      p = b.CreateGEP(t, p, b.getInt64(uint64_t(1 - int64_t(vector_lanes))));
      value = reversed(value);
      if (mask) mask = reversed(mask);
    }
    if (mask)
      b.CreateMaskedStore(value, p, align, mask);
    else
      b.CreateAlignedStore(value, p, align);
    return;
  }
  // Lanes in order; with stride 0 the last one stays.
  for (int l = 0; l < vector_lanes; ++l) {
    llvm::Value *p = a.scattered ? a.lanes[size_t(l)]
                     : l         ? b.CreateGEP(t, a.pointer, b.getInt64(uint64_t(a.stride * l)))
                                 : a.pointer;
    llvm::Value *element = b.CreateExtractElement(value, uint64_t(l));
    if (!mask) {
      b.CreateAlignedStore(element, p, align);
      continue;
    }
    auto *then = BasicBlock::Create(module.getContext(), "lane", function),
         *join = BasicBlock::Create(module.getContext(), "next", function);
    b.CreateCondBr(b.CreateExtractElement(mask, uint64_t(l)), then, join);
    b.SetInsertPoint(then);
    b.CreateAlignedStore(element, p, align);
    b.CreateBr(join);
    b.SetInsertPoint(join);
  }
}

ExprEmitter::Lanes ExprEmitter::guard(const IndexGuard &g) {
  auto holds = [&](llvm::Value *e) { // unsigned comparison covers both ends
    llvm::Type *t = e->getType();
    llvm::Value *low = g.lo ? b.CreateSub(e, ConstantInt::get(t, uint64_t(g.lo), true)) : e;
    return b.CreateICmpULT(low, ConstantInt::get(t, uint64_t(g.hi - g.lo), true));
  };
  if (vector_var < 0 || !g.e.uses(vector_var)) return {holds(scalar_index(g.e, 0)), false};
  return {holds(lane_indices(g.e)), true};
}

// An index that depends on the lane, as a vector of i64.
llvm::Value *ExprEmitter::lane_indices(const Index &e) {
  if (std::optional<int64_t> c = e.coefficient(vector_var)) {
    std::vector<Constant *> steps;
    for (int l = 0; l < vector_lanes; ++l) steps.push_back(b.getInt64(uint64_t(l * *c)));
    return b.CreateAdd(b.CreateVectorSplat(unsigned(vector_lanes), scalar_index(e, 0)), ConstantVector::get(steps));
  }
  llvm::Value *v = PoisonValue::get(FixedVectorType::get(b.getInt64Ty(), unsigned(vector_lanes)));
  for (int l = 0; l < vector_lanes; ++l) v = b.CreateInsertElement(v, scalar_index(e, l), uint64_t(l));
  return v;
}

ExprEmitter::Lanes ExprEmitter::guarded(const Expr *e) {
  llvm::Value *scalar = nullptr, *lane = nullptr;
  for (const IndexGuard &g : e->guards) {
    Lanes p = guard(g);
    auto *&into = p.vector ? lane : scalar;
    into = into ? b.CreateAnd(into, p.value) : p.value;
  }
  size_t known = order_.size();
  Lanes inside = masked(scalar, lane, [&] { return expr(e->args[0]); });
  for (; order_.size() > known; order_.pop_back()) memo_.erase(order_.back()); // not valid outside the guard
  Lanes outside = expr(e->args[1]);
  bool vector = lane || inside.vector || outside.vector;
  llvm::Value *x = vector ? splat(inside) : inside.value, *y = vector ? splat(outside) : outside.value;
  if (lane) x = b.CreateSelect(lane, x, y);
  if (scalar) x = b.CreateSelect(scalar, x, y);
  return {x, vector};
}

// Pairwise, in an order that depends on the count alone: registers first, then halves of the last one.
ExprEmitter::Lanes ExprEmitter::combine_lanes(const Expr *e) {
  const Buffer &buf = kernel.buffers[size_t(e->buffer)];
  int64_t at = constant_index(e->index);
  TRELLIS_CHECK(at % buf.lanes == 0 && e->count % buf.lanes == 0, "lanes are combined by whole registers");
  std::vector<llvm::Value *> all;
  for (int64_t i = 0; i < e->count / buf.lanes; ++i) {
    AllocaInst *a = reg(e->buffer, at / buf.lanes + i);
    all.push_back(b.CreateLoad(a->getAllocatedType(), a));
  }
  auto combine = [&](llvm::Value *x, llvm::Value *y) { return lower_op(b, target, e->op, e->dtype, e->dtype, {x, y}); };
  while (all.size() > 1) {
    std::vector<llvm::Value *> half;
    for (size_t i = 0; i + 1 < all.size(); i += 2) half.push_back(combine(all[i], all[i + 1]));
    if (all.size() % 2) half.push_back(all.back());
    all = std::move(half);
  }
  llvm::Value *v = all[0];
  TRELLIS_CHECK((buf.lanes & (buf.lanes - 1)) == 0, "lanes of a register are combined by halves");
  for (int w = buf.lanes; w > 1; w /= 2) {
    std::vector<int> low, high;
    for (int l = 0; l < w / 2; ++l) low.push_back(l), high.push_back(l + w / 2);
    v = combine(b.CreateShuffleVector(v, low), b.CreateShuffleVector(v, high));
  }
  if (v->getType()->isVectorTy()) v = b.CreateExtractElement(v, uint64_t(0));
  return {v, false};
}

ExprEmitter::Lanes ExprEmitter::expr(const Expr *e) {
  if (auto it = memo_.find(e); it != memo_.end()) return it->second;
  Lanes out;
  switch (e->kind) {
  case Expr::Kind::load: out = load(e); break;
  case Expr::Kind::lanes: out = combine_lanes(e); break;
  case Expr::Kind::guarded: out = guarded(e); break;
  case Expr::Kind::constant: {
    llvm::Type *t = compute_type(module.getContext(), e->dtype);
    unsigned bits = t->getPrimitiveSizeInBits();
    llvm::Constant *c = ConstantInt::get(IntegerType::get(module.getContext(), bits),
                                         e->dtype == DType::boolean ? e->bits & 1 : e->bits);
    out = {t->isFloatingPointTy()
               ? ConstantFP::get(module.getContext(), APFloat(t->getFltSemantics(), APInt(bits, e->bits)))
               : c,
           false};
    break;
  }
  case Expr::Kind::index: {
    bool vector = vector_var >= 0 && e->index.uses(vector_var);
    llvm::Type *t = compute_type(module.getContext(), e->dtype);
    llvm::Value *v = vector ? lane_indices(e->index) : scalar_index(e->index, 0);
    if (vector) t = FixedVectorType::get(t, unsigned(vector_lanes));
    out = {b.CreateSExtOrTrunc(v, t), vector};
    break;
  }
  case Expr::Kind::op: {
    std::vector<Lanes> x;
    bool vector = false;
    for (const Expr *a : e->args) x.push_back(expr(a)), vector |= x.back().vector;
    std::vector<llvm::Value *> v;
    for (Lanes &l : x) v.push_back(vector ? splat(l) : l.value);
    out = {lower_op(b, target, e->op, e->args.back()->dtype, e->dtype, v), vector};
    break;
  }
  }
  memo_.emplace(e, out);
  order_.push_back(e);
  return out;
}

} // namespace trellis

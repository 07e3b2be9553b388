// Expressions and addresses: the part of the emitter below statements.
#pragma once
#include "compiler/llvm/lower_op.h"
#include "compiler/llvm/target.h"
#include "compiler/loops/tree.h"
#include <llvm/IR/Module.h>
#include <map>
#include <unordered_map>

namespace trellis {

class ExprEmitter {
public:
  ExprEmitter(llvm::Module &m, const Kernel &k, const Target &t) : module(m), kernel(k), target(t), b(m.getContext()) {}

protected:
  /// A value at the current point: uniform, or with `vector_lanes` lanes.
  struct Lanes {
    llvm::Value *value = nullptr;
    bool vector = false;
  };
  struct Binding {
    llvm::Value *base = nullptr; ///< i64: the value of the variable (of lane 0)
    int lanes = 0;               ///< 0: scalar
  };

  llvm::Module &module;
  const Kernel &kernel;
  const Target &target;
  llvm::IRBuilder<> b;
  llvm::Function *function = nullptr;
  llvm::BasicBlock *entry_block = nullptr;
  std::vector<llvm::Value *> bases; ///< of slots and scratch; null for reg
  std::map<int, Binding> env;
  int vector_var = -1, vector_lanes = 1;

  void declare_local(int buffer);
  /// Forgets what was computed: values are shared within one statement only.
  void start_statement() { memo_.clear(), order_.clear(); }
  Lanes expr(const Expr *e);
  /// i1, one a lane where it depends on the lane.
  Lanes guard(const IndexGuard &g);
  /// `f` runs where loads may touch memory only under these masks (null: no further condition).
  template <class F> Lanes masked(llvm::Value *scalar, llvm::Value *lane, F f) {
    auto saved = std::pair(scalar_mask_, lane_mask_);
    if (scalar) scalar_mask_ = scalar_mask_ ? b.CreateAnd(scalar_mask_, scalar) : scalar;
    if (lane) lane_mask_ = lane_mask_ ? b.CreateAnd(lane_mask_, lane) : lane;
    Lanes v = f();
    std::tie(scalar_mask_, lane_mask_) = saved;
    return v;
  }
  void transpose_registers(int buffer);
  void store_to(int buffer, const Index &index, const Expr *dynamic, Lanes v, llvm::Value *mask);

private:
  struct Address {
    llvm::Value *pointer = nullptr; ///< of lane 0
    int64_t stride = 0;             ///< elements between lanes
    bool scattered = false;         ///< lanes have no common stride: `lanes` holds a pointer each
    std::vector<llvm::Value *> lanes;
  };
  llvm::Value *scalar_index(const Index &e, int lane);
  llvm::Value *atom(const IndexAtom &a, int lane);
  llvm::Value *pointer(int buffer, const Index &index, llvm::Value *dynamic, int lane);
  Address address(int buffer, const Index &index, const Expr *dynamic);
  Lanes load(const Expr *e);
  Lanes load_register(const Expr *e);
  void store_register(int buffer, const Index &index, Lanes v, llvm::Value *mask);
  llvm::Value *load_strided(llvm::Type *t, llvm::Value *first, int64_t stride);
  llvm::Value *lane_indices(const Index &e);
  llvm::Value *reversed(llvm::Value *v);
  Lanes combine_lanes(const Expr *e);
  Lanes guarded(const Expr *e);
  llvm::Value *splat(Lanes v);
  llvm::Value *from_storage(llvm::Value *v, DType t);
  llvm::Value *to_storage(llvm::Value *v, DType t);
  llvm::AllocaInst *reg(int buffer, int64_t number);
  int64_t constant_index(const Index &e);

  std::unordered_map<const Expr *, Lanes> memo_;
  std::vector<const Expr *> order_; ///< keys of memo_ as they came
  std::map<std::pair<int, int64_t>, llvm::AllocaInst *> regs_;
  llvm::Value *scalar_mask_ = nullptr, *lane_mask_ = nullptr; ///< under which loads may touch memory
};

} // namespace trellis

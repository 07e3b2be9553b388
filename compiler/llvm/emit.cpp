#include "compiler/llvm/emit.h"
#include "compiler/llvm/emit_expr.h"
#include <algorithm>
#include <fmt/format.h>
#include <llvm/Transforms/Utils/CodeExtractor.h>

namespace trellis {

using namespace llvm;

namespace {

class Emitter : public ExprEmitter {
public:
  Emitter(llvm::Module &m, const Kernel &k, const Target &t) : ExprEmitter(m, k, t) {}

  llvm::Function *run(const std::string &symbol) {
    llvm::Type *ptr = b.getPtrTy(), *i64 = b.getInt64Ty();
    // The arguments are loaded by a thin entry, so that the body has parameters that can say noalias.
    int slots = kernel.slots();
    std::vector<llvm::Type *> types(size_t(slots), ptr);
    types.push_back(i64), types.push_back(i64);
    auto *body = llvm::Function::Create(FunctionType::get(b.getVoidTy(), types, false), GlobalValue::InternalLinkage,
                                        symbol + ".body", module);
    auto *entry = llvm::Function::Create(FunctionType::get(b.getVoidTy(), {ptr, i64, i64}, false),
                                         GlobalValue::ExternalLinkage, symbol, module);
    entry->setVisibility(GlobalValue::HiddenVisibility);
    for (llvm::Function *f : {body, entry}) {
      f->addFnAttr("target-cpu", target.cpu);
      if (!target.features.empty()) f->addFnAttr("target-features", target.features);
      f->addFnAttr(Attribute::NoUnwind);
    }
    body->addFnAttr(Attribute::NoInline);
    for (int i = 0; i < slots; ++i) {
      body->addParamAttr(unsigned(i), Attribute::NoAlias);
      body->addParamAttr(unsigned(i), Attribute::get(module.getContext(), Attribute::NoUndef));
      bases.push_back(body->getArg(unsigned(i)));
    }

    b.SetInsertPoint(BasicBlock::Create(module.getContext(), "", entry));
    std::vector<llvm::Value *> args;
    for (int i = 0; i < slots; ++i)
      args.push_back(b.CreateLoad(ptr, b.CreateConstGEP1_64(ptr, entry->getArg(0), uint64_t(i))));
    args.push_back(entry->getArg(1)), args.push_back(entry->getArg(2));
    b.CreateCall(body, args);
    b.CreateRetVoid();

    function = body;
    entry_block = BasicBlock::Create(module.getContext(), "entry", body);
    b.SetInsertPoint(entry_block);
    for (size_t i = size_t(slots); i < kernel.buffers.size(); ++i) declare_local(int(i));
    auto *start = BasicBlock::Create(module.getContext(), "start", body);
    b.SetInsertPoint(start);
    parallel(body->getArg(unsigned(slots)), body->getArg(unsigned(slots) + 1));
    b.CreateRetVoid();
    b.SetInsertPoint(entry_block);
    b.CreateBr(start);
    outline();
    return entry;
  }

private:
  // Nests one after the other; the leading parallel loops of each run as one, over its part of [begin, end).
  void parallel(llvm::Value *begin, llvm::Value *end) {
    int64_t start = 0;
    for (const Stmt &nest : kernel.body) {
      int64_t trip = parallel_trip(nest);
      llvm::Value *low = begin, *high = end;
      if (kernel.body.size() > 1) {
        llvm::Value *offset = b.getInt64(uint64_t(start));
        low = b.CreateBinaryIntrinsic(Intrinsic::smax, b.CreateSub(begin, offset), b.getInt64(0));
        high = b.CreateBinaryIntrinsic(Intrinsic::smin, b.CreateSub(end, offset), b.getInt64(uint64_t(trip)));
      }
      start += trip;
      std::vector<IndexVar> vars;
      const Stmt *s = &nest;
      const std::vector<Stmt> *body = nullptr;
      while (s && s->kind == Stmt::Kind::loop && s->loop == Stmt::Loop::parallel) {
        vars.push_back(s->var), body = &s->body;
        s = body->size() == 1 ? &body->front() : nullptr;
      }
      loop(low, high, true, [&](llvm::Value *t) {
        for (size_t i = vars.size(); i-- > 0;) {
          llvm::Value *extent = b.getInt64(uint64_t(std::max<int64_t>(vars[i].extent, 1)));
          env[vars[i].id] = {i == 0 ? t : b.CreateURem(t, extent), 0};
          if (i) t = b.CreateUDiv(t, extent);
        }
        if (body) return stmts(*body);
        stmt(nest);
      });
    }
  }

  // for (i = begin; i < end; ++i): `may_skip` where begin < end is not known.
  template <class F> void loop(llvm::Value *begin, llvm::Value *end, bool may_skip, F body) {
    auto &c = module.getContext();
    auto *head = BasicBlock::Create(c, "loop", function), *exit = BasicBlock::Create(c, "exit", function);
    BasicBlock *before = b.GetInsertBlock();
    if (may_skip)
      b.CreateCondBr(b.CreateICmpSLT(begin, end), head, exit);
    else
      b.CreateBr(head);
    b.SetInsertPoint(head);
    PHINode *i = b.CreatePHI(b.getInt64Ty(), 2);
    i->addIncoming(begin, before);
    body(i);
    llvm::Value *next = b.CreateAdd(i, b.getInt64(1), "", true, true);
    i->addIncoming(next, b.GetInsertBlock());
    b.CreateCondBr(b.CreateICmpSLT(next, end), head, exit);
    b.SetInsertPoint(exit);
  }

  void stmts(const std::vector<Stmt> &all) {
    for (const Stmt &s : all) stmt(s);
  }
  void stmt(const Stmt &s) {
    switch (s.kind) {
    case Stmt::Kind::loop: return loop(s);
    case Stmt::Kind::store: return store(s);
    case Stmt::Kind::transpose: return transpose_registers(s.buffer);
    }
  }

  void loop(const Stmt &s) {
    int64_t n = s.var.extent;
    if (n <= 0) return;
    switch (s.loop) {
    case Stmt::Loop::serial:
    case Stmt::Loop::parallel: // below the leading ones
      return s.apart ? apart(s) : serial(s);
    case Stmt::Loop::unroll:
      for (int64_t i = 0; i < n; ++i) bind(s, b.getInt64(uint64_t(i)), 0);
      return;
    case Stmt::Loop::vector: {
      int64_t w = s.lanes, chunks = n / w;
      if (s.unroll_chunks || chunks <= 1)
        for (int64_t c = 0; c < chunks; ++c) bind(s, b.getInt64(uint64_t(c * w)), int(w));
      else
        loop(b.getInt64(0), b.getInt64(uint64_t(chunks)), false,
             [&](llvm::Value *i) { bind(s, b.CreateMul(i, b.getInt64(uint64_t(w)), "", true, true), int(w)); });
      if (n % w) bind(s, b.getInt64(uint64_t(chunks * w)), int(n % w));
      return;
    }
    }
  }

  void serial(const Stmt &s) {
    if (s.var.extent == 1) return bind(s, b.getInt64(0), 0);
    loop(b.getInt64(0), b.getInt64(uint64_t(s.var.extent)), false, [&](llvm::Value *i) { bind(s, i, 0); });
  }

  // All blocks that it makes stand behind its first one.
  void apart(const Stmt &s) {
    auto &c = module.getContext();
    auto *first = BasicBlock::Create(c, "apart", function);
    b.CreateBr(first);
    b.SetInsertPoint(first);
    serial(s);
    auto &blocks = apart_.emplace_back();
    for (auto it = first->getIterator(); it != function->end(); ++it) blocks.push_back(&*it);
    auto *behind = BasicBlock::Create(c, "behind", function);
    b.CreateBr(behind);
    b.SetInsertPoint(behind);
  }

  void outline() {
    for (const std::vector<BasicBlock *> &blocks : apart_) {
      CodeExtractorAnalysisCache cache(*function);
      llvm::Function *f = CodeExtractor(blocks).extractCodeRegion(cache);
      TRELLIS_CHECK(f, "a loop that stands apart has one way in and one out");
      f->addFnAttr(Attribute::NoInline);
      auto *call = cast<CallInst>(f->user_back());
      // Bases of different buffers; what is computed from one could share it.
      auto is_base = [](const Use &u) {
        return !u->getType()->isPointerTy() || isa<AllocaInst>(u.get()) || isa<Argument>(u.get());
      };
      if (!std::all_of(call->arg_begin(), call->arg_end(), is_base)) continue;
      for (unsigned i = 0; i < f->arg_size(); ++i)
        if (f->getArg(i)->getType()->isPointerTy()) f->addParamAttr(i, Attribute::NoAlias);
    }
  }

  std::vector<std::vector<BasicBlock *>> apart_;

  void bind(const Stmt &s, llvm::Value *base, int lanes) {
    env[s.var.id] = {base, lanes};
    int saved_var = vector_var, saved_lanes = vector_lanes;
    TRELLIS_CHECK(lanes <= 1 || vector_var < 0, "a vector loop stands inside another");
    if (lanes > 1)
      vector_var = s.var.id, vector_lanes = lanes;
    else
      env[s.var.id].lanes = 0;
    stmts(s.body);
    vector_var = saved_var, vector_lanes = saved_lanes;
  }

  void store(const Stmt &s) {
    start_statement();
    llvm::Value *scalar = nullptr, *mask = nullptr;
    for (const IndexGuard &g : s.guards) {
      Lanes p = guard(g);
      auto *&into = p.vector ? mask : scalar;
      into = into ? b.CreateAnd(into, p.value) : p.value;
    }
    if (s.when) {
      Lanes p = masked(scalar, mask, [&] { return expr(s.when); });
      auto *&into = p.vector ? mask : scalar;
      into = into ? b.CreateAnd(into, p.value) : p.value;
    }
    BasicBlock *join = nullptr;
    if (scalar) {
      auto *then = BasicBlock::Create(module.getContext(), "then", function);
      join = BasicBlock::Create(module.getContext(), "join", function);
      b.CreateCondBr(scalar, then, join);
      b.SetInsertPoint(then);
      start_statement(); // nothing computed before the branch may be assumed after it
    }
    if (mask) start_statement(); // what `when` loaded was under a weaker mask
    Lanes v = masked(nullptr, mask, [&] { return expr(s.value); });
    store_to(s.buffer, s.index, s.dynamic, v, mask);
    if (join) {
      b.CreateBr(join);
      b.SetInsertPoint(join);
    }
    start_statement();
  }
};

} // namespace

llvm::Function *emit_kernel(llvm::Module &m, const Kernel &k, const Target &t, const std::string &symbol) {
  return Emitter(m, k, t).run(symbol);
}

} // namespace trellis

#include "compiler/llvm/kernel_key.h"
#include <unordered_map>

namespace trellis {

namespace {

// Every list is preceded by its length and every choice by its tag, so no two trees share a string.
class Key {
public:
  explicit Key(const Kernel &k) {
    stmts(k.body);
    for (int i = 0; i < k.slots(); ++i) place(i);
    for (int i : order_) {
      const Buffer &b = k.buffers[size_t(i)];
      numbers({int64_t(b.dtype), int64_t(b.space), b.size, b.lanes});
      if (b.space == Space::slot) key.slots.push_back(i);
    }
  }
  KernelKey key;

private:
  void number(int64_t v) { key.bytes.append(reinterpret_cast<const char *>(&v), sizeof v); }
  void numbers(std::initializer_list<int64_t> all) {
    for (int64_t v : all) number(v);
  }

  int64_t place(int buffer) {
    auto [it, fresh] = buffers_.try_emplace(buffer, int64_t(order_.size()));
    if (fresh) order_.push_back(buffer);
    return it->second;
  }
  void buffer(int i) { number(place(i)); }

  void var(IndexVar v) { numbers({vars_.try_emplace(v.id, int64_t(vars_.size())).first->second, v.extent}); }

  void index(const Index &e) {
    numbers({e.constant(), int64_t(e.terms().size())});
    for (const IndexTerm &t : e.terms()) {
      numbers({t.coef, int64_t(t.atom->kind)});
      if (t.atom->kind == IndexAtom::Kind::var)
        var(t.atom->var);
      else
        number(t.atom->k), index(*t.atom->arg);
    }
  }

  void guards(const std::vector<IndexGuard> &all) {
    number(int64_t(all.size()));
    for (const IndexGuard &g : all) index(g.e), numbers({g.lo, g.hi});
  }

  // A shared expression is written once and then referred to. Sharing shows in the string, so that its length
  // stays that of the kernel; kernels made by one schedule share alike.
  void expr(const Expr *e) {
    if (!e) return number(-1);
    auto [it, fresh] = seen_.try_emplace(e, int64_t(seen_.size()));
    if (!fresh) return numbers({-2, it->second});
    numbers({int64_t(e->kind), int64_t(e->dtype), int64_t(e->op), e->count, int64_t(e->bits)});
    if (e->buffer >= 0) buffer(e->buffer);
    index(e->index);
    guards(e->guards);
    expr(e->dynamic);
    number(int64_t(e->args.size()));
    for (const Expr *a : e->args) expr(a);
  }

  void stmts(const std::vector<Stmt> &all) {
    number(int64_t(all.size()));
    for (const Stmt &s : all) {
      number(int64_t(s.kind));
      if (s.kind == Stmt::Kind::loop) {
        numbers({int64_t(s.loop), s.lanes, s.unroll_chunks, s.apart});
        var(s.var);
        stmts(s.body);
        continue;
      }
      buffer(s.buffer);
      index(s.index);
      guards(s.guards);
      expr(s.dynamic), expr(s.value), expr(s.when);
    }
  }

  std::unordered_map<int, int64_t> vars_, buffers_;
  std::vector<int> order_; ///< buffers as they are named
  std::unordered_map<const Expr *, int64_t> seen_;
};

} // namespace

KernelKey kernel_key(const Kernel &k) { return Key(k).key; }

std::vector<SharedKernel> share_kernels(const std::vector<Kernel> &kernels) {
  std::unordered_map<std::string, int> first;
  std::vector<std::vector<int>> slots;
  std::vector<SharedKernel> shared;
  for (size_t i = 0; i < kernels.size(); ++i) {
    KernelKey key = kernel_key(kernels[i]);
    int same = first.try_emplace(std::move(key.bytes), int(i)).first->second;
    slots.push_back(std::move(key.slots));
    const std::vector<int> &theirs = slots[size_t(same)], &own = slots[i];
    std::vector<int> args(own.size());
    for (size_t s = 0; s < own.size(); ++s) args[size_t(theirs[s])] = own[s];
    shared.push_back({same, std::move(args)});
  }
  return shared;
}

} // namespace trellis

#include "compiler/llvm/kernel_key.h"
#include <unordered_map>

namespace trellis {

namespace {

// Every list is preceded by its length and every choice by its tag, so no two trees share a string.
class Key {
public:
  explicit Key(const Kernel &k) {
    number(int64_t(k.buffers.size()));
    for (const Buffer &b : k.buffers) numbers({int64_t(b.dtype), int64_t(b.space), b.size, b.lanes});
    stmts(k.body);
  }
  std::string bytes;

private:
  void number(int64_t v) { bytes.append(reinterpret_cast<const char *>(&v), sizeof v); }
  void numbers(std::initializer_list<int64_t> all) {
    for (int64_t v : all) number(v);
  }

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
    numbers({int64_t(e->kind), int64_t(e->dtype), int64_t(e->op), e->buffer, e->count, int64_t(e->bits)});
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
        numbers({int64_t(s.loop), s.lanes, s.unroll_chunks});
        var(s.var);
        stmts(s.body);
        continue;
      }
      number(s.buffer);
      index(s.index);
      guards(s.guards);
      expr(s.dynamic), expr(s.value), expr(s.when);
    }
  }

  std::unordered_map<int, int64_t> vars_;
  std::unordered_map<const Expr *, int64_t> seen_;
};

} // namespace

std::string kernel_key(const Kernel &k) { return Key(k).bytes; }

std::vector<int> equal_kernels(const std::vector<Kernel> &kernels) {
  std::unordered_map<std::string, int> first;
  std::vector<int> same;
  for (size_t i = 0; i < kernels.size(); ++i)
    same.push_back(first.try_emplace(kernel_key(kernels[i]), int(i)).first->second);
  return same;
}

} // namespace trellis

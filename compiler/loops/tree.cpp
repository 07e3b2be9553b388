#include "compiler/loops/tree.h"
#include <bit>
#include <fmt/format.h>
#include <unordered_map>

namespace trellis {

Layout Layout::row_major(const std::vector<int64_t> &dims) {
  std::vector<int> order(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) order[i] = int(i);
  return permuted(dims, order);
}

Layout Layout::permuted(const std::vector<int64_t> &dims, const std::vector<int> &order) {
  Layout l;
  for (size_t i = order.size(); i-- > 0;) {
    l.terms.push_back({order[i], 1, 0, l.size});
    l.size *= dims[size_t(order[i])];
  }
  std::reverse(l.terms.begin(), l.terms.end());
  return l;
}

Index Layout::offset(const std::vector<Index> &index) const {
  Index out;
  for (const LayoutTerm &t : terms) {
    Index e = index[size_t(t.dim)];
    if (t.div > 1) e = e / t.div;
    if (t.mod > 0) e = e % t.mod;
    out = out + e * t.stride;
  }
  return out;
}

bool Layout::is_row_major(const std::vector<int64_t> &dims) const { return *this == row_major(dims); }

int Kernel::slots() const {
  int n = 0;
  while (n < int(buffers.size()) && buffers[size_t(n)].space == Space::slot) ++n;
  return n;
}

const Expr *Kernel::load(int buffer, Index index, const Expr *dynamic) {
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::load, e.dtype = buffers[size_t(buffer)].dtype, e.buffer = buffer, e.index = std::move(index),
  e.dynamic = dynamic;
  return &e;
}
const Expr *Kernel::constant(DType t, double v) {
  Tensor x = Tensor::scalar(t, v);
  uint64_t bits = 0;
  std::copy_n(x.data(), size_of(t), reinterpret_cast<std::byte *>(&bits));
  return constant_bits(t, bits);
}
const Expr *Kernel::constant_bits(DType t, uint64_t bits) {
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::constant, e.dtype = t, e.bits = bits;
  return &e;
}
const Expr *Kernel::index(Index i, DType t) {
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::index, e.dtype = t, e.index = std::move(i);
  return &e;
}
const Expr *Kernel::op(Op o, std::vector<const Expr *> args, DType result) {
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::op, e.dtype = result, e.op = o, e.args = std::move(args);
  return &e;
}
const Expr *Kernel::guarded(std::vector<IndexGuard> guards, const Expr *inside, const Expr *outside) {
  // Guards that always or never hold are decided here.
  std::vector<IndexGuard> left;
  for (IndexGuard &g : guards) {
    if (g.e.max() < g.lo || g.e.min() >= g.hi || g.lo >= g.hi) return outside;
    if (g.e.min() < g.lo || g.e.max() >= g.hi) left.push_back(std::move(g));
  }
  if (left.empty()) return inside;
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::guarded, e.dtype = inside->dtype, e.args = {inside, outside}, e.guards = std::move(left);
  return &e;
}
const Expr *Kernel::lanes(int buffer, Index from, int64_t count, Op combine) {
  Expr &e = exprs.emplace_back();
  e.kind = Expr::Kind::lanes, e.dtype = buffers[size_t(buffer)].dtype, e.buffer = buffer, e.index = std::move(from),
  e.count = count, e.op = combine;
  return &e;
}

int64_t parallel_trip(const Stmt &nest) {
  int64_t n = 1;
  for (const Stmt *s = &nest; s->kind == Stmt::Kind::loop && s->loop == Stmt::Loop::parallel; s = &s->body.front()) {
    n *= s->var.extent;
    if (s->body.size() != 1) break;
  }
  return n;
}
int64_t Kernel::trip() const {
  int64_t n = 0;
  for (const Stmt &s : body) n += parallel_trip(s);
  return n;
}

Stmt make_loop(Stmt::Loop kind, IndexVar var, std::vector<Stmt> body, int lanes, bool unroll_chunks) {
  Stmt s;
  s.kind = Stmt::Kind::loop, s.loop = kind, s.var = var, s.body = std::move(body), s.lanes = lanes,
  s.unroll_chunks = unroll_chunks;
  return s;
}
Stmt make_store(int buffer, Index index, const Expr *value) {
  Stmt s;
  s.kind = Stmt::Kind::store, s.buffer = buffer, s.index = std::move(index), s.value = value;
  return s;
}
Stmt make_transpose(int buffer) {
  Stmt s;
  s.kind = Stmt::Kind::transpose, s.buffer = buffer;
  return s;
}

namespace {
struct Printer {
  explicit Printer(const Kernel &kernel) : k(kernel) {}
  const Kernel &k;
  std::string out;

  std::string index(const Index &e) {
    return e.str([](int id) { return fmt::format("i{}", id); });
  }
  std::string guards(const std::vector<IndexGuard> &all) {
    std::string s;
    for (const IndexGuard &g : all)
      s += fmt::format("{}{} <= {} < {}", s.empty() ? "" : " and ", g.lo, index(g.e), g.hi);
    return s;
  }
  std::string place(int buffer, const Index &i, const Expr *dynamic) {
    return fmt::format("{}[{}{}]", k.buffers[size_t(buffer)].name, index(i), dynamic ? " + " + expr(dynamic) : "");
  }
  // Shared operations are printed once, as a numbered temporary of the statement.
  std::unordered_map<const Expr *, int> uses, temporaries;
  void count(const Expr *e) {
    if (!e || uses[e]++) return;
    for (const Expr *a : e->args) count(a);
    count(e->dynamic);
  }
  void define(const Expr *e, const std::string &pad) {
    if (!e || temporaries.count(e)) return;
    for (const Expr *a : e->args) define(a, pad);
    define(e->dynamic, pad);
    if (uses[e] < 2 || e->kind == Expr::Kind::constant || e->kind == Expr::Kind::index) return;
    std::string text = expr(e);
    int t = int(temporaries.size());
    temporaries[e] = t;
    out += fmt::format("{}t{} = {}\n", pad, t, text);
  }
  std::string expr(const Expr *e) {
    if (auto it = temporaries.find(e); it != temporaries.end()) return fmt::format("t{}", it->second);
    switch (e->kind) {
    case Expr::Kind::load: return place(e->buffer, e->index, e->dynamic);
    case Expr::Kind::constant: {
      Tensor t(e->dtype, {});
      std::copy_n(reinterpret_cast<const std::byte *>(&e->bits), size_of(e->dtype), t.data());
      return is_float(e->dtype) ? fmt::format("{}", t.get(0)) : fmt::format("{}", t.get_int(0));
    }
    case Expr::Kind::index: return fmt::format("{}({})", name(e->dtype), index(e->index));
    case Expr::Kind::lanes:
      return fmt::format("{}.lanes({}[{}], {})", name(e->op), k.buffers[size_t(e->buffer)].name, index(e->index),
                         e->count);
    case Expr::Kind::guarded:
      return fmt::format("({} ? {} : {})", guards(e->guards), expr(e->args[0]), expr(e->args[1]));
    case Expr::Kind::op: break;
    }
    std::string s;
    for (const Expr *a : e->args) s += (s.empty() ? "" : ", ") + expr(a);
    return fmt::format("{}{}({})", name(e->op), e->op == Op::cast ? "." + std::string(name(e->dtype)) : "", s);
  }
  void stmts(const std::vector<Stmt> &all, int depth) {
    std::string pad(size_t(depth) * 2, ' ');
    static constexpr const char *kLoops[] = {"for", "parallel", "unroll", "vector"};
    for (const Stmt &s : all)
      if (s.kind == Stmt::Kind::loop) {
        out += fmt::format("{}{} i{} < {}{}:\n", pad, kLoops[int(s.loop)], s.var.id, s.var.extent,
                           s.loop == Stmt::Loop::vector
                               ? fmt::format(" by {}{}", s.lanes, s.unroll_chunks ? " unrolled" : "")
                           : s.apart ? " apart"
                                     : "");
        stmts(s.body, depth + 1);
      } else if (s.kind == Stmt::Kind::transpose) {
        out += fmt::format("{}transpose {}\n", pad, k.buffers[size_t(s.buffer)].name);
      } else {
        uses.clear(), temporaries.clear();
        for (const Expr *e : {s.value, s.dynamic, s.when}) count(e);
        for (const Expr *e : {s.value, s.dynamic, s.when}) define(e, pad);
        std::string when = guards(s.guards);
        if (s.when) when += (when.empty() ? "" : " and ") + expr(s.when);
        out += fmt::format("{}{} = {}{}\n", pad, place(s.buffer, s.index, s.dynamic), expr(s.value),
                           when.empty() ? "" : " if " + when);
      }
  }
};
} // namespace

std::string print(const Kernel &k) {
  Printer p(k);
  static constexpr const char *kSpaces[] = {"slot", "scratch", "reg"};
  p.out = fmt::format("kernel @{} {{{}\n", k.name, k.schedule.empty() ? "" : "  // " + k.schedule);
  for (const Buffer &b : k.buffers)
    p.out += fmt::format("  {} {} : {}[{}]\n", kSpaces[int(b.space)], b.name, name(b.dtype), b.size);
  p.stmts(k.body, 1);
  return p.out + "}\n";
}

} // namespace trellis

#include "passes/legalize.h"
#include "passes/legalize_half.h"
#include "passes/legalize_math.h"
#include "passes/legalize_term.h"
#include <fmt/format.h>
#include <unordered_set>

namespace trellis {

namespace {

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

bool is_elementary(Op op) {
  switch (op) {
  case Op::exp:
  case Op::expm1:
  case Op::log:
  case Op::log1p:
  case Op::sin:
  case Op::cos:
  case Op::atan:
  case Op::tanh:
  case Op::erf:
  case Op::sigmoid:
  case Op::pow: return true;
  default: return false;
  }
}

/// Whether elements are computed, not only moved.
bool computes(const Node &n) {
  switch (n.info().kind) {
  case OpKind::source:
  case OpKind::control: return false;
  case OpKind::indexed: return n.op == Op::sort || (n.op == Op::scatter && n.attrs.word(Attr::kind) != "set");
  case OpKind::movement: return n.op == Op::unwindow;
  case OpKind::elementwise: return n.op != Op::select && n.op != Op::cast && n.op != Op::bitcast;
  default: return true;
  }
}

/// Whether f64 is carried from element to element: each is rounded once, from the carry.
bool carries(const Node &n) {
  if (n.op != Op::cumulative) return false;
  const std::string &kind = n.attrs.word(Attr::kind);
  return kind == "sum" || kind == "prod";
}

class Legalizer {
public:
  explicit Legalizer(const LegalizeOptions &options) : options_(options) {}

  Values run(const Node &n) {
    if (n.op == Op::iota && is_half(n.type().dtype)) return {half_iota(n)};
    if (computes(n)) {
      for (Value v : n.operands)
        if (is_half(v.dtype())) return through(n, carries(n) ? DType::f64 : DType::f32);
    }
    Value v = one(n);
    return v ? Values{v} : Values{};
  }

private:
  Term term(Value v) const { return {v, options_}; }

  /// What stands for a node without f16 and bf16 arithmetic; null to keep it.
  Value one(const Node &n) {
    bool floating = !n.operands.empty() && is_float(n.operands[0].dtype());
    if (is_elementary(n.op)) {
      Value v = legalize_elementary(n.op, n.operands, options_);
      made_.insert(v.node);
      return v;
    }
    if (n.op == Op::add && floating && options_.fma) return fuse(n);
    if (n.op == Op::fma && n.type().dtype == DType::f32 && !options_.fma) return fma_in_f64(n);
    if (n.op == Op::floor && !options_.rounding) return floor(term(n.operands[0])).value();
    if (n.op == Op::round && !options_.rounding) return round(term(n.operands[0])).value();
    if (n.op == Op::cast && !options_.half) return cast(n.operands[0], n.type().dtype);
    return {};
  }

  Value cast(Value x, DType to) const {
    if (!options_.half && x.dtype() == DType::f16) {
      Term wide = f16_to_f32(term(x));
      return to == DType::f32 ? wide.value() : convert(wide, to).value();
    }
    if (!options_.half && to == DType::f16) {
      if (x.dtype() == DType::f32 || x.dtype() == DType::bf16) return f32_to_f16(convert(term(x), DType::f32)).value();
      return f32_to_f16(f64_to_f32_odd(convert(term(x), DType::f64))).value();
    }
    return convert(term(x), to).value();
  }

  Values through(const Node &n, DType dtype) {
    Graph &g = *n.graph;
    Values operands;
    for (Value v : n.operands) operands.push_back(is_half(v.dtype()) ? cast(v, dtype) : v);
    const Node *wide = g.node(n.op, std::move(operands), n.attrs, n.bodies);
    Values results;
    for (uint32_t i = 0; i < wide->types.size(); ++i) results.push_back(wide->result(i));
    // A rounding after every operation leaves no fma to form.
    if (n.op != Op::add)
      if (Value v = one(*wide)) results = {v};
    for (size_t i = 0; i < results.size(); ++i)
      if (is_half(n.type(i).dtype)) results[i] = cast(results[i], n.type(i).dtype);
    return results;
  }

  Value half_iota(const Node &n) const {
    Attrs attrs = n.attrs;
    attrs.set(Attr::dtype, DType::i32);
    return cast(n.graph->make(Op::iota, {}, std::move(attrs)), n.type().dtype);
  }

  struct Product {
    const Node *mul = nullptr;
    bool negative = false;
  };
  /// `v` as a product that the graph states, or its negative. The result of an elementary function is none.
  Product product(Value v) const {
    bool negative = v.node->op == Op::neg;
    const Node *m = negative ? v.node->operands[0].node : v.node;
    if (m->op != Op::mul || made_.count(m)) return {};
    return {m, negative};
  }

  /// x y + c -> fma(x, y, c), -(x y) + c -> fma(-x, y, c). x y - x y stays: it is 0.
  Value fuse(const Node &n) const {
    Value a = n.operands[0], c = n.operands[1];
    Product p = product(a), q = product(c);
    if (!p.mul && !q.mul) return {};
    if (p.mul == q.mul) return {};
    if (!p.mul) std::swap(p, q), std::swap(a, c);
    Graph &g = *n.graph;
    Value x = p.mul->operands[0], y = p.mul->operands[1];
    if (p.negative) x = g.make(Op::neg, {x});
    return g.make(Op::fma, {x, y, c});
  }

  /// f32: the product is exact in f64; the sum is rounded to odd there, so that rounding it again is right.
  Value fma_in_f64(const Node &n) const {
    Term a = to_f64(term(n.operands[0])), b = to_f64(term(n.operands[1])), c = to_f64(term(n.operands[2]));
    Term p = a * b, s = p + c, t = s - p;
    Term lost = (p - (s - t)) + (c - t);
    Term up = lt(0.0, lost), down = lt(lost, 0.0), positive = lt(0.0, s);
    // One step of the bits away from zero, or back, where s is even and inexact.
    Term away = (up & positive) | (down & lt(s, 0.0));
    Term step = select(away, Term(bits(s), 1), ~uint64_t(0));
    Term odd = select((up | down) & eq(bits(s) & 1, 0), bits(s) + step, bits(s));
    return to_f32(real(odd)).value();
  }

  const LegalizeOptions &options_;
  std::unordered_set<const Node *> made_;
};

} // namespace

LegalizeOptions legalize_options(const PassArgs &words) {
  LegalizeOptions o;
  for (const std::string &w : words)
    if (w == "no_fma")
      o.fma = false;
    else if (w == "no_rounding")
      o.rounding = false;
    else if (w == "no_half")
      o.half = false;
    else
      throw CompileError(fmt::format("legalize: '{}' is not no_fma, no_rounding or no_half", w));
  return o;
}

bool legalizes(const Node &n) { return is_elementary(n.op) && !n.operands.empty() && is_float(n.operands[0].dtype()); }

GraphPtr legalize(const Graph &g, const LegalizeOptions &options) {
  Legalizer l(options);
  return rebuild(g, [&](const Node &n) { return l.run(n); });
}

} // namespace trellis

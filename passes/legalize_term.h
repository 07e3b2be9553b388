// Graph values as the value type of legalize_math.h: each operation makes a node.
#pragma once
#include "ir/graph.h"
#include "passes/legalize.h"
#include <concepts>

namespace trellis {

/// A value, or a number that takes its type from the value beside it. Two numbers do not meet.
class Term {
public:
  Term(Value v, const LegalizeOptions &o) : value_(v), options_(&o) {}
  Term(std::floating_point auto number) : real_(number) {}
  Term(std::integral auto number) : real_(double(number)), bits_(uint64_t(number)) {}
  /// A number in the type of `like`.
  Term(const Term &like, Term number) : Term(number.as(like.type(), like), *like.options_) {}

  const Value &value() const { return value_; }
  const Type &type() const { return value_.type(); }
  const LegalizeOptions &options() const { return *options_; }

  friend Term operator+(Term a, Term b) { return make(Op::add, {a, b}); }
  friend Term operator-(Term a, Term b);
  friend Term operator*(Term a, Term b) { return make(Op::mul, {a, b}); }
  friend Term operator/(Term a, Term b) { return make(Op::div, {a, b}); }
  friend Term operator-(Term a) { return make(Op::neg, {a}); }
  friend Term operator&(Term a, Term b) { return make(Op::bit_and, {a, b}); }
  friend Term operator|(Term a, Term b) { return make(Op::bit_or, {a, b}); }
  friend Term operator^(Term a, Term b) { return make(Op::bit_xor, {a, b}); }
  friend Term operator<<(Term a, int n) { return make(Op::shl, {a, n}); }
  friend Term operator>>(Term a, int n) { return make(Op::shr, {a, n}); }
  friend Term lt(Term a, Term b) { return make(Op::lt, {a, b}); }
  friend Term eq(Term a, Term b) { return make(Op::eq, {a, b}); }
  friend Term select(Term c, Term a, Term b);
  friend Term fma(Term a, Term b, Term c);
  friend Term floor(Term a);
  friend Term round(Term a);
  friend Term sin_large(Term x, Term y) { return make(Op::sin_large, {x, y}); }
  friend Term cos_large(Term x, Term y) { return make(Op::cos_large, {x, y}); }
  friend Term convert(Term a, DType to);
  friend Term reinterpret(Term a, DType to);
  friend Term bits(Term a) { return reinterpret(a, size_of(a.type().dtype) == 8 ? DType::u64 : DType::u32); }
  friend Term real(Term a) { return reinterpret(a, size_of(a.type().dtype) == 8 ? DType::f64 : DType::f32); }
  friend Term to_f64(Term a) { return convert(a, DType::f64); }
  friend Term to_f32(Term a) { return convert(a, DType::f32); }
  friend bool is_f64(const Term &a) { return a.type().dtype == DType::f64; }
  friend bool fused(const Term &a) { return a.options_->fma; }

private:
  static Term make(Op op, std::initializer_list<Term> operands);
  Value as(const Type &type, const Term &like) const;

  Value value_;
  double real_ = 0;
  uint64_t bits_ = 0;
  const LegalizeOptions *options_ = nullptr;
};

/// exp, sigmoid, pow, ... of f32 or f64 operands by the templates of legalize_math.h; null for any other op.
Value legalize_elementary(Op op, const Values &x, const LegalizeOptions &options);

} // namespace trellis

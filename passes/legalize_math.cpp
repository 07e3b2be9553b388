#include "passes/legalize_math.h"
#include "passes/legalize_term.h"

namespace trellis {

Value Term::as(const Type &type, const Term &like) const {
  if (value_) return value_;
  Graph &g = like.value_.graph();
  Tensor t = is_float(type.dtype) ? Tensor::scalar(type.dtype, real_) : Tensor::scalar_int(type.dtype, int64_t(bits_));
  Value v = g.constant(std::move(t));
  if (type.rank() == 0) return v;
  Shape ones(type.shape.size(), Dim(1));
  v = g.make(Op::reshape, {v}, {{Attr::shape, ones}});
  return same(type.shape, ones) ? v : g.make(Op::expand, {v}, {{Attr::shape, type.shape}});
}

Term Term::make(Op op, std::initializer_list<Term> operands) {
  const Term *like = nullptr;
  for (const Term &t : operands)
    if (!like && t.value_) like = &t;
  TRELLIS_CHECK(like, "an operation on numbers alone");
  Values v;
  for (const Term &t : operands) v.push_back(t.as(like->type(), *like));
  return {like->value_.graph().make(op, std::move(v)), *like->options_};
}

Term operator-(Term a, Term b) {
  if (b.value_) return a + -b;
  b.real_ = -b.real_, b.bits_ = -b.bits_;
  return a + b;
}

Term select(Term c, Term a, Term b) {
  const Term &like = a.value_ ? a : b;
  TRELLIS_CHECK(like.value_, "a select of two numbers");
  Value x = a.as(like.type(), like), y = b.as(like.type(), like);
  return {c.value_.graph().make(Op::select, {c.value_, x, y}), *c.options_};
}

Term fma(Term a, Term b, Term c) {
  const Term &like = a.value_ ? a : b.value_ ? b : c;
  return like.options_->fma ? Term::make(Op::fma, {a, b, c}) : a * b + c;
}

// Where there is no instruction: adding and taking away 2^fraction rounds what is smaller; the rest is whole.
Term round(Term a) {
  if (a.options_->rounding) return Term::make(Op::round, {a});
  const elementary::Format &k = elementary::format(a);
  Term m = elementary::abs_of(a);
  double shift = double(uint64_t(1) << k.fraction_bits);
  return select(lt(m, shift), elementary::with_sign_of((m + shift) - shift, a), a);
}
Term floor(Term a) {
  if (a.options_->rounding) return Term::make(Op::floor, {a});
  Term r = round(a);
  return select(lt(a, r), r - 1.0, r);
}

Term convert(Term a, DType to) {
  if (a.type().dtype == to) return a;
  return {a.value_.graph().make(Op::cast, {a.value_}, {{Attr::dtype, to}}), *a.options_};
}
Term reinterpret(Term a, DType to) {
  if (a.type().dtype == to) return a;
  return {a.value_.graph().make(Op::bitcast, {a.value_}, {{Attr::dtype, to}}), *a.options_};
}

Value legalize_elementary(Op op, const Values &operands, const LegalizeOptions &options) {
  auto x = [&](size_t i = 0) { return Term(operands[i], options); };
  switch (op) {
  case Op::exp: return elementary::exp(x()).value();
  case Op::expm1: return elementary::expm1(x()).value();
  case Op::log: return elementary::log(x()).value();
  case Op::log1p: return elementary::log1p(x()).value();
  case Op::sin: return elementary::sin(x()).value();
  case Op::cos: return elementary::cos(x()).value();
  case Op::atan: return elementary::atan(x()).value();
  case Op::tanh: return elementary::tanh(x()).value();
  case Op::erf: return elementary::erf(x()).value();
  case Op::sigmoid: return elementary::sigmoid(x()).value();
  case Op::pow: return elementary::pow(x(0), x(1)).value();
  default: return {};
  }
}

} // namespace trellis

// What an op is: one row of ops.def, read as data by every pass.
#pragma once
#include "ir/attr.h"
#include "ir/index.h"
#include <array>
#include <span>

namespace trellis {

struct Node;
struct Value;
using Values = std::vector<Value>;
class Infer;
struct Vjp;
struct Expand;
struct EvalContext;

enum class OpKind : uint8_t {
  source,      ///< no operands: const, input, iota
  elementwise, ///< every operand and the result have one shape; `eval` gives an element
  movement,    ///< the result's elements are operands' elements: `map` says which
  reduction,   ///< reduce and scans
  contraction, ///< dot, conv
  indexed,     ///< reads or writes at computed positions: gather, scatter, sort
  control,     ///< has bodies: cond, loop, scan
  composite,   ///< defined by `expand`; a back end may keep it for better code
};

/// Which element types the operands of an op may have.
enum class TypeClass : uint8_t { any, floating, numeric, integer, boolean, integral_or_bool };

/// Element semantics of an elementwise op, from one generic lambda over (const T *operands) -> T.
/// Floating dtypes go through double (the interpreter rounds the result), signed ones and bool through int64_t,
/// unsigned ones through uint64_t; the result is then wrapped to the width. For ops whose result is bool any non-zero
/// result is true. `real` takes a lambda over doubles only.
struct Eval {
  double (*f)(const double *) = nullptr;
  int64_t (*i)(const int64_t *) = nullptr;
  uint64_t (*u)(const uint64_t *) = nullptr;
  constexpr Eval() = default;
  template <class F> static constexpr Eval all(F) {
    Eval e;
    e.f = [](const double *x) { return double(F{}(x)); };
    e.i = [](const int64_t *x) { return int64_t(F{}(x)); };
    e.u = [](const uint64_t *x) { return uint64_t(F{}(x)); };
    return e;
  }
  template <class F> static constexpr Eval real(F) {
    Eval e;
    e.f = [](const double *x) { return double(F{}(x)); };
    return e;
  }
  template <class F> static constexpr Eval integer(F) {
    Eval e;
    e.i = [](const int64_t *x) { return int64_t(F{}(x)); };
    e.u = [](const uint64_t *x) { return uint64_t(F{}(x)); };
    return e;
  }
};

/// One way to read an element of a movement op's result: operand `operand` at `index`, where all guards hold.
struct Read {
  int operand = 0;
  std::vector<Index> index;
  std::vector<IndexGuard> guards;
};
/// Reads of a movement op at one position. `first`: the first read whose guards hold; `sum`: all of them added.
/// Where none holds the element is zero.
struct ReadMap {
  enum class Combine : uint8_t { first, sum } combine = Combine::first;
  std::vector<Read> reads;
};

struct AttrSpec {
  Attr attr = Attr::name;
  bool required = false;
};
constexpr AttrSpec req(Attr a) { return {a, true}; }
constexpr AttrSpec opt(Attr a) { return {a, false}; }

struct AttrList {
  std::array<AttrSpec, 8> items{};
  int count = 0;
  constexpr AttrList() = default;
  constexpr AttrList(std::initializer_list<AttrSpec> all) {
    for (AttrSpec s : all) items[size_t(count++)] = s;
  }
  constexpr const AttrSpec *begin() const { return items.data(); }
  constexpr const AttrSpec *end() const { return items.data() + count; }
};

enum class Op : uint8_t {
#define OP(name, ...) name,
#include "ir/ops.def"
};
inline constexpr int kOpCount = 0
#define OP(name, ...) +1
#include "ir/ops.def"
    ;

/// A row. Members keep the order of this declaration in ops.def. See ops.def for the meaning of each edge case.
struct OpInfo {
  std::string_view name{};
  OpKind kind = OpKind::elementwise;
  int arity = 1;                   ///< operands; -1: one or more
  int optional = 0;                ///< operands that may follow the `arity` ones
  TypeClass type = TypeClass::any; ///< what operands' dtypes must be
  bool result_bool = false;        ///< elementwise: the result is bool whatever the operands are
  bool mixed = false;              ///< operands may differ in dtype; the shape rule checks them
  bool pointwise = false;          ///< composite: operands and result have one shape, as those of elementwise rows
  AttrList attrs{};
  void (*infer)(Infer &) = nullptr; ///< shape rule; elementwise rows have a common one unless they name theirs
  Eval eval{};                      ///< elementwise
  void (*interpret)(EvalContext &) =
      nullptr; ///< reference evaluation of a whole node, for rows that have neither eval, map nor expand
  ReadMap (*map)(const Node &, const std::vector<Index> &) = nullptr; ///< movement
  Values (*vjp)(Vjp) = nullptr;       ///< a cotangent an operand (a null Value: none); null pointer: not differentiable
  bool no_gradient = false;           ///< the derivative is zero or absent by definition (comparisons, integers, iota)
  Values (*expand)(Expand) = nullptr; ///< composite: the same results from simpler ops; others: optional
  bool commutative = false;
  std::string_view onnx{}; ///< name of the ONNX operator with the same operands and meaning
  std::string_view doc{};

  /// Operands and result have one shape: builders and the parser broadcast the operands.
  constexpr bool broadcasts() const { return kind == OpKind::elementwise || pointwise; }
};

const OpInfo &info(Op op);
std::string_view name(Op op);
std::optional<Op> parse_op(std::string_view text);

} // namespace trellis

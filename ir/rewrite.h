// Rewrite rules as data: {"neg-neg", neg(neg(x)), x}, matched and applied bottom-up until none fits.
//
// A rule's left side is a pattern rooted at an op. Its right side is a pattern over the same variables, or a
// function of the match where attributes must be computed (it may refuse by returning no value). Both sides
// have one type and the same elements; how alike they are is the rule's exactness:
//
//   exact    bit for bit, NaN counting as one value and signed zeros told apart
//   finite   exact where every operand is finite, up to the sign of a zero: x * 0 -> 0
//   inexact  equal over the reals: rounding or order of summation may differ
//
// A rule looks at a node and what is below it, never at users: so a node has one normal form in its graph.
#pragma once
#include "ir/graph.h"
#include <array>
#include <atomic>
#include <functional>
#include <initializer_list>
#include <span>

namespace trellis {

/// The one-element constant that every element of `v` shows, looking through expand and reshape; null if
/// there is none.
const Tensor *splat_of(Value v);
/// The same for a floating or integer value, as a number.
std::optional<double> splat_number(Value v);

/// A node of a rule's side.
struct Pattern {
  enum class Kind : uint8_t {
    variable, ///< any value, the same one at each place
    constant, ///< a variable that takes splats only
    literal,  ///< a splat of this number; -0.0 and 0.0 differ, for integers both are 0
    op,       ///< result 0 of a node of this op whose attributes include `attrs`
  };
  Kind kind;
  int index = 0;                          // variable; constant (-1: any number of different ones); op: see `as`
  bool (*test)(const Tensor &) = nullptr; // constant: what the element must be
  double number = 0;                      // literal
  Op op{};
  std::vector<Pattern> operands;
  Attrs attrs;

  Pattern(double number) : kind(Kind::literal), number(number) {}
  Pattern(int number) : Pattern(double(number)) {}
  Pattern(Op op, std::vector<Pattern> operands, Attrs attrs = {})
      : kind(Kind::op), index(-1), op(op), operands(std::move(operands)), attrs(std::move(attrs)) {}
  static Pattern variable(int index) {
    Pattern p(0);
    p.kind = Kind::variable, p.index = index;
    return p;
  }
  static Pattern constant(int index, bool (*test)(const Tensor &) = nullptr) {
    Pattern p(0);
    p.kind = Kind::constant, p.index = index, p.test = test;
    return p;
  }
  /// The same op with attributes that must be there (left side) or are given (right side).
  Pattern with(Attrs more) const {
    Pattern p = *this;
    p.attrs = std::move(more);
    return p;
  }
  /// The same op, its value bound to a variable on the way.
  Pattern as(const Pattern &variable) const {
    Pattern p = *this;
    p.index = variable.index;
    return p;
  }
  /// exp(y * 2.0) and the like, for messages.
  std::string str() const;
};

/// What matched: the root and the values of the variables.
struct Match {
  static constexpr int kVariables = 8;
  Value root;
  std::array<Value, kVariables> bound{};
  Value operator[](const Pattern &variable) const { return bound[size_t(variable.index)]; }
  const Attrs &attrs() const { return root.node->attrs; }
  Graph &graph() const { return root.graph(); }
};
/// Matches one value; commutative ops in both orders.
bool match(const Pattern &left, Value v, Match &m);

enum class Exactness : uint8_t { exact, finite, inexact };
/// Which results a rule is for, by dtype.
enum class Domain : uint8_t { any, floats, integers };

/// The right side.
struct Right {
  std::optional<Pattern> pattern;
  Value (*build)(const Match &) = nullptr; ///< null Value: the rule does not apply
  Right(Pattern p) : pattern(std::move(p)) {}
  Right(double number) : pattern(number) {}
  Right(int number) : pattern(number) {}
  template <class F>
    requires std::is_convertible_v<F, Value (*)(const Match &)>
  Right(F f) : build(f) {}
};

struct Rule {
  std::string name;
  Pattern left;
  Right right;
  Exactness exactness = Exactness::exact;
  Domain domain = Domain::any;
  bool (*guard)(const Match &) = nullptr;
};

/// Rules in the order in which they are tried, looked up by root. Construction checks them: distinct names, a
/// root that is an op, variables of the right side bound on the left.
class RuleSet {
public:
  RuleSet(std::initializer_list<const std::vector<Rule> *> lists);
  const std::vector<const Rule *> &rules() const { return all_; }
  /// Value that stands for the single result of `n`, by the first rule that fits; null if none does.
  Value apply(const Node &n, Exactness allowed) const;
  /// How often each rule fired in this process, in the order of rules().
  std::vector<uint64_t> fired() const;

private:
  std::vector<const Rule *> all_;
  std::array<std::vector<size_t>, kOpCount> rooted_;
  std::unique_ptr<std::atomic<uint64_t>[]> fired_;
};

/// Normal forms in one graph: `before` is tried on each node (constant folding: rules then never see a node
/// whose operands are all constant), then the rules of each layer.
class Rewriter {
public:
  struct Layer {
    const RuleSet &rules;
    Exactness allowed;
  };
  explicit Rewriter(std::vector<Layer> layers, std::function<Value(const Node &)> before = {})
      : layers_(std::move(layers)), before_(std::move(before)) {}
  /// What stands for the results of `n`: nothing fits them, nor anything that was made on the way to them.
  Values normal(const Node &n);

private:
  std::vector<Layer> layers_;
  std::function<Value(const Node &)> before_;
  ValueMap normal_;
  int depth_ = 0;
};

/// Spelling of patterns: pattern::exp(x), pattern::reshape(x), x + y, -x.
namespace pattern {
template <class... P>
concept Sides = ((std::is_same_v<P, Pattern> || std::is_arithmetic_v<P>) && ...) && (std::is_same_v<P, Pattern> || ...);
#define OP(id, ...)                                                                                                    \
  template <class... P>                                                                                                \
    requires Sides<P...>                                                                                               \
  Pattern id(P... operands) {                                                                                          \
    return Pattern(Op::id, {Pattern(operands)...});                                                                    \
  }
#include "ir/ops.def"
} // namespace pattern
inline Pattern operator+(Pattern a, Pattern b) { return {Op::add, {std::move(a), std::move(b)}}; }
inline Pattern operator*(Pattern a, Pattern b) { return {Op::mul, {std::move(a), std::move(b)}}; }
inline Pattern operator/(Pattern a, Pattern b) { return {Op::div, {std::move(a), std::move(b)}}; }
inline Pattern operator-(Pattern a) { return {Op::neg, {std::move(a)}}; }
inline Pattern operator-(Pattern a, Pattern b) { return a + -b; }

} // namespace trellis

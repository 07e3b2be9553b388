// The kernel tree: loops, and stores at any level. What a schedule decides is the shape of the tree; the emitter
// decides nothing.
//
// An Expr is evaluated at a point of the loops around it. In a `vector` loop it has a lane for each iteration of a
// chunk, or is uniform where it does not depend on the loop's variable. Indices are integer expressions over loop
// variables (ir/index.h), so unit stride, broadcast and gather are read off them.
// Buffers: a `slot` is memory of the program (an argument of the kernel; distinct slots do not overlap), `scratch` is
// private to a call of the kernel, `reg` lives in registers: its indices are constants once unrolled loops are.
#pragma once
#include "ir/graph.h"
#include <deque>

namespace trellis {

/// Where an element lies: the sum over terms of (index[dim] / div % mod) * stride; mod 0: no remainder is taken.
struct LayoutTerm {
  int dim = 0;
  int64_t div = 1, mod = 0, stride = 1;
  friend bool operator==(const LayoutTerm &, const LayoutTerm &) = default;
};
struct Layout {
  std::vector<LayoutTerm> terms;
  int64_t size = 1; ///< elements of storage, padding included
  static Layout row_major(const std::vector<int64_t> &dims);
  /// Storage order given by axes, outermost first.
  static Layout permuted(const std::vector<int64_t> &dims, const std::vector<int> &order);
  Index offset(const std::vector<Index> &index) const;
  bool is_row_major(const std::vector<int64_t> &dims) const;
  friend bool operator==(const Layout &, const Layout &) = default;
};

enum class Space : uint8_t { slot, scratch, reg };
struct Buffer {
  std::string name;
  DType dtype = DType::f32;
  Space space = Space::slot;
  int64_t size = 0; ///< elements
  int lanes = 1;    ///< reg: elements of one register; accesses do not cross registers
};

struct Expr {
  enum class Kind : uint8_t {
    load,     ///< buffer[index + dynamic]
    constant, ///< bits, of dtype
    index,    ///< index, as dtype (an integer)
    op,       ///< an elementwise op of the table on args; casts convert to dtype
    guarded,  ///< args[0] where all guards hold, else args[1]; loads of args[0] touch no memory where they do not
    lanes,    ///< the elements [index, index + count) of a reg buffer combined pairwise by op
  } kind = Kind::constant;
  DType dtype = DType::f32;
  Op op = Op::add;
  std::vector<const Expr *> args;
  int buffer = -1;
  Index index;
  const Expr *dynamic = nullptr; ///< of i64, may be null
  int64_t count = 0;
  std::vector<IndexGuard> guards;
  uint64_t bits = 0; ///< little-endian element of a constant
};

struct Stmt {
  enum class Kind : uint8_t {
    loop,
    store,
    transpose ///< of a reg buffer of n registers of n lanes: element [n i + j] becomes [n j + i]
  } kind = Kind::store;
  enum class Loop : uint8_t {
    serial,
    parallel, ///< outermost only; iterations are independent
    unroll,
    vector ///< chunks of `lanes`, then one of what is left
  } loop = Loop::serial;
  IndexVar var;
  int lanes = 1;              ///< of a vector loop
  bool unroll_chunks = false; ///< of a vector loop: chunks are unrolled
  bool apart = false;         ///< of a serial loop: a function of its own, whose constants take no registers elsewhere
  std::vector<Stmt> body;
  // store: buffer[index + dynamic] = value, where the guards and `when` hold
  int buffer = -1;
  Index index;
  const Expr *dynamic = nullptr;
  const Expr *value = nullptr;
  std::vector<IndexGuard> guards;
  const Expr *when = nullptr; ///< bool, may be null
};

struct Kernel {
  std::string name;
  std::vector<Buffer> buffers; ///< slots first, in the order of the arguments
  std::vector<Stmt> body;      ///< nests that are independent of each other
  std::deque<Expr> exprs;
  int vars = 0;
  double flops = 0;
  std::string schedule; ///< the chosen schedule, for dumps

  // Statements point into `exprs`, which a move keeps in place and a copy would not.
  Kernel() = default;
  Kernel(Kernel &&) = default;
  Kernel &operator=(Kernel &&) = default;

  int slots() const;
  int add_buffer(Buffer b) {
    buffers.push_back(std::move(b));
    return int(buffers.size()) - 1;
  }
  IndexVar var(int64_t extent) { return {vars++, extent}; }
  const Expr *load(int buffer, Index index, const Expr *dynamic = nullptr);
  const Expr *constant(DType t, double v);
  const Expr *constant_bits(DType t, uint64_t bits);
  const Expr *index(Index e, DType t = DType::i64);
  const Expr *op(Op o, std::vector<const Expr *> args, DType result);
  const Expr *guarded(std::vector<IndexGuard> guards, const Expr *inside, const Expr *outside);
  const Expr *lanes(int buffer, Index from, int64_t count, Op combine);
  /// Iterations that may run in any order: those of each nest's leading parallel loops, nests one after the other.
  int64_t trip() const;
};

/// Iterations of the leading parallel loops of a nest; 1 if it has none.
int64_t parallel_trip(const Stmt &nest);

Stmt make_loop(Stmt::Loop kind, IndexVar var, std::vector<Stmt> body, int lanes = 1, bool unroll_chunks = false);
Stmt make_store(int buffer, Index index, const Expr *value);
Stmt make_transpose(int buffer);

/// The kernel as text: the last dump before LLVM.
std::string print(const Kernel &k);

} // namespace trellis

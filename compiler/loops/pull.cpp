#include "compiler/loops/pull.h"
#include <algorithm>
#include <fmt/format.h>
#include <unordered_set>

namespace trellis {

static uint64_t key(Value v) { return uint64_t(v.node->id) << 8 | v.index; }

Op combine_op(const std::string &kind) {
  return kind == "sum" ? Op::add : kind == "prod" ? Op::mul : kind == "max" ? Op::max : Op::min;
}

const Expr *identity(Kernel &k, const std::string &kind, DType t) {
  if (kind == "sum") return k.constant(t, 0);
  if (kind == "prod") return k.constant(t, 1);
  bool least = kind == "max";
  if (is_float(t))
    return k.constant(t, least ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity());
  if (t == DType::boolean) return k.constant_bits(t, least ? 0 : 1);
  int bits = 8 * size_of(t);
  uint64_t all = bits == 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1, sign = uint64_t(1) << (bits - 1);
  return k.constant_bits(t, is_unsigned_int(t) ? (least ? 0 : all) : (least ? sign : sign - 1));
}

Pull::Pull(Kernel &k, const Fusion &f, const Group &g, LayoutOf layout)
    : kernel_(k), fusion_(f), group_(g), layout_of_(std::move(layout)) {}

int Pull::slot(Value v) {
  auto [it, fresh] = slot_of_.try_emplace(key(v), 0);
  if (!fresh) return it->second;
  TRELLIS_CHECK(kernel_.slots() == int(kernel_.buffers.size()), "slots come before local buffers");
  TRELLIS_CHECK(v.node->op == Op::input || v.node->op == Op::constant || fusion_.stored(v),
                "a slot of a value that nothing stores");
  it->second = kernel_.add_buffer({fmt::format("s{}", slots_.size()), v.dtype(), Space::slot, layout(v).size});
  slots_.push_back(v);
  return it->second;
}

const Layout &Pull::layout(Value v) {
  auto it = layouts_.find(key(v));
  if (it == layouts_.end()) it = layouts_.emplace(key(v), layout_of_(v)).first;
  return it->second;
}

std::vector<Index> Pull::result_index(Value r, const std::vector<Index> &index) const {
  Value from = group_.anchor ? group_.anchor->result() : group_.results[0];
  // The bijective movement between the anchor and r, found from r downwards.
  std::vector<const Node *> path;
  std::unordered_set<const Node *> seen; // in vain: the first way that leads there is taken
  std::function<bool(Value)> walk = [&](Value v) {
    if (v.is(from)) return true;
    if (!seen.insert(v.node).second) return false;
    bool pass = v.node->info().kind == OpKind::elementwise || is_bijective(*v.node);
    if (!pass) return false;
    for (Value o : v.node->operands)
      if (o.node->id >= from.node->id && walk(o)) {
        if (is_bijective(*v.node)) path.push_back(v.node);
        return true;
      }
    return false;
  };
  std::vector<Index> at = index;
  if (!walk(r)) {
    TRELLIS_CHECK(same(r.shape(), from.shape()), "a result of the group has another domain");
    return at;
  }
  for (const Node *n : path) // from the anchor outwards
    if (n->op == Op::reshape)
      at = delinearize(linearize(at, dims_of(n->operands[0].shape())), dims_of(n->type().shape));
    else {
      std::vector<Index> moved;
      for (int64_t p : n->attrs.ints(Attr::perm)) moved.push_back(at[size_t(p)]);
      at = std::move(moved);
    }
  return at;
}

const Expr *Pull::at(Value v, const std::vector<Index> &index) {
  auto &known = memo_[key(v)];
  for (auto &[at, e] : known)
    if (std::equal(at.begin(), at.end(), index.begin(), index.end())) return e;
  const Expr *e = compute(v, index);
  memo_[key(v)].emplace_back(index, e); // compute() may have moved `known`
  return e;
}

const Expr *Pull::compute(Value v, const std::vector<Index> &index) {
  const Node &n = *v.node;
  if (group_.anchor == &n && anchor_) return anchor_;
  bool own = std::any_of(group_.results.begin(), group_.results.end(), [&](Value r) { return r.is(v); });
  if (n.op == Op::constant && is_immediate(n)) {
    const Tensor &t = n.attrs.get<Tensor>(Attr::value);
    uint64_t bits = 0;
    std::copy_n(t.data(), size_of(t.dtype()), reinterpret_cast<std::byte *>(&bits));
    return kernel_.constant_bits(t.dtype(), bits);
  }
  if (n.op == Op::input || n.op == Op::constant || (fusion_.stored(v) && !own))
    return kernel_.load(slot(v), layout(v).offset(index));
  if (n.op == Op::iota) {
    DType t = n.type().dtype;
    const Expr *i = kernel_.index(index[size_t(n.attrs.i(Attr::axis))], is_float(t) ? DType::i64 : t);
    return is_float(t) ? kernel_.op(Op::cast, {i}, t) : i;
  }
  if (n.info().kind == OpKind::movement) return read(n, n.info().map(n, index));
  if (n.op == Op::gather) return gather(n, index);
  if (n.op == Op::reduce) return inline_reduction(n, index);
  if (n.info().kind != OpKind::elementwise)
    throw CompileError(n.loc,
                       fmt::format("{}: native code for this op is not supported; `--interpret` runs it", name(n.op)));
  std::vector<const Expr *> args;
  for (Value o : n.operands) args.push_back(at(o, index));
  return kernel_.op(n.op, std::move(args), n.type().dtype);
}

const Expr *Pull::read(const Node &n, const ReadMap &map) {
  std::vector<const Read *> live; // an operand without elements, and one whose guards never hold, is not read
  for (const Read &r : map.reads) {
    bool never = std::any_of(r.guards.begin(), r.guards.end(),
                             [](const IndexGuard &g) { return g.e.max() < g.lo || g.e.min() >= g.hi; });
    if (!never && n.operands[size_t(r.operand)].type().size() != 0) live.push_back(&r);
  }
  bool sum = map.combine == ReadMap::Combine::sum;
  const Expr *zero = kernel_.constant_bits(n.type().dtype, 0), *out = nullptr;
  for (size_t i = live.size(); i-- > 0;) { // from the last to the first: so are sums ordered
    const Read &r = *live[i];
    const Expr *e = at(n.operands[size_t(r.operand)], r.index);
    if (!r.guards.empty()) e = kernel_.guarded(r.guards, e, !sum && out ? out : zero);
    out = sum ? kernel_.op(Op::add, {e, out ? out : zero}, e->dtype) : e; // a sum of -0 alone is +0
  }
  return out ? out : zero;
}

// `e` with the variable `var` replaced by a value that is only known when it runs: the terms without it, and the sum of
// the others (null: none). A reshape or a layout that splits the variable leaves divisions and remainders of it.
std::pair<Index, const Expr *> Pull::at_runtime(const Index &e, int var, const Expr *value) {
  Index fixed = e.constant();
  const Expr *sum = nullptr;
  auto i64 = [&](Op op, const Expr *a, const Expr *b) { return kernel_.op(op, {a, b}, DType::i64); };
  auto number = [&](int64_t n) { return kernel_.constant_bits(DType::i64, uint64_t(n)); };
  for (const IndexTerm &t : e.terms()) {
    const IndexAtom &a = *t.atom;
    if (a.kind == IndexAtom::Kind::var ? a.var.id != var : !a.arg->uses(var)) {
      Index term = a.kind == IndexAtom::Kind::var   ? Index(a.var)
                   : a.kind == IndexAtom::Kind::div ? *a.arg / a.k
                                                    : *a.arg % a.k;
      fixed = fixed + term * t.coef;
      continue;
    }
    const Expr *x = value;
    if (a.kind != IndexAtom::Kind::var) {
      int64_t up = a.arg->min() < 0 ? (-a.arg->min() + a.k - 1) / a.k : 0; // multiples of k that make it no less than 0
      auto [rest, inner] = at_runtime(*a.arg + up * a.k, var, value);
      if (!rest.is_constant())
        inner = i64(Op::add, inner, kernel_.index(rest));
      else if (rest.constant())
        inner = i64(Op::add, inner, number(rest.constant()));
      bool div = a.kind == IndexAtom::Kind::div;
      x = i64(div ? Op::div : Op::rem, inner, number(a.k));
      if (div && up) x = i64(Op::add, x, number(-up));
    }
    x = i64(Op::mul, x, number(t.coef));
    sum = sum ? i64(Op::add, sum, x) : x;
  }
  return {fixed, sum};
}

// An index outside [0, n) reads zero: the load is clamped, then not used.
const Expr *Pull::gather(const Node &n, const std::vector<Index> &index) {
  Value data = n.operands[0], indices = n.operands[1];
  size_t axis = size_t(n.attrs.i(Attr::axis)), count = size_t(indices.rank());
  std::vector<Index> where(index.begin() + std::ptrdiff_t(axis), index.begin() + std::ptrdiff_t(axis + count));
  std::vector<Index> rest(index.begin(), index.begin() + std::ptrdiff_t(axis));
  rest.push_back(0);
  rest.insert(rest.end(), index.begin() + std::ptrdiff_t(axis + count), index.end());
  const Expr *i = at(indices, where);
  if (i->dtype != DType::i64) i = kernel_.op(Op::cast, {i}, DType::i64);
  int64_t extent = data.shape()[axis];
  DType t = n.type().dtype;
  if (extent == 0) return kernel_.constant_bits(t, 0);
  const Expr *zero = kernel_.constant(DType::i64, 0), *last = kernel_.constant(DType::i64, double(extent - 1));
  const Expr *clamped = kernel_.op(Op::max, {kernel_.op(Op::min, {i, last}, DType::i64), zero}, DType::i64);
  const Expr *inside = kernel_.op(Op::eq, {i, clamped}, DType::boolean);

  // Movement between the gather and the first stored value maps the dynamic axis too.
  Value stored = data, deepest = under_movement(data);
  IndexVar probe = kernel_.var(extent);
  rest[axis] = Index(probe);
  std::vector<Index> place = rest;
  for (; !stored.is(deepest) && !fusion_.stored(stored); stored = stored.node->operands[0])
    place = stored.node->info().map(*stored.node, place).reads[0].index;
  if (is_immediate(*stored.node))
    return kernel_.op(Op::select, {inside, at(stored, place), kernel_.constant_bits(t, 0)}, t);
  Index offset = layout(stored).offset(place);
  auto [fixed, dynamic] = at_runtime(offset, probe.id, clamped);
  return kernel_.op(Op::select, {inside, kernel_.load(slot(stored), fixed, dynamic), kernel_.constant_bits(t, 0)}, t);
}

const Expr *Pull::inline_reduction(const Node &n, const std::vector<Index> &index) {
  const std::vector<int64_t> &axes = n.attrs.ints(Attr::axes);
  bool keep = n.attrs.flag(Attr::keep);
  const Shape &shape = n.operands[0].shape();
  std::vector<Index> full(shape.size());
  std::vector<int64_t> dims;
  for (size_t i = 0, o = 0; i < shape.size(); ++i) {
    if (std::binary_search(axes.begin(), axes.end(), int64_t(i))) {
      dims.push_back(shape[i]);
      o += keep;
    } else
      full[i] = index[o++];
  }
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  const std::string &kind = n.attrs.word(Attr::kind);
  const Expr *acc = nullptr;
  for (int64_t p = 0; p < count; ++p) {
    std::vector<Index> r = delinearize(Index(p), dims);
    for (size_t a = 0; a < axes.size(); ++a) full[size_t(axes[a])] = r[a];
    const Expr *e = at(n.operands[0], full);
    acc = acc ? kernel_.op(combine_op(kind), {acc, e}, e->dtype) : e;
  }
  return acc ? acc : identity(kernel_, kind, n.type().dtype);
}

} // namespace trellis

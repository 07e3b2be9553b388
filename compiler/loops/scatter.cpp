// Scatter: the base is copied, then updates are applied in the row-major order of the indices, by one thread for each
// block of the axes after the scattered one: the result does not depend on threads.
#include "compiler/loops/lower.h"

namespace trellis {

std::vector<Stmt> lower_scatter(Lowering &l) {
  const Node &n = *l.group.anchor;
  Kernel &k = l.kernel;
  TRELLIS_CHECK(l.group.results.size() == 1 && l.group.results[0].node == &n, "a scatter has no epilogue");
  if (n.type().size() == 0) return {};
  size_t axis = size_t(n.attrs.i(Attr::axis)), count = size_t(n.operands[1].rank());
  std::string kind = n.attrs.get_or<std::string>(Attr::kind, "set");
  Value result = n.result();
  int out = l.pull.slot(result);
  DType t = n.type().dtype;
  const Shape &shape = n.type().shape;

  auto vars = [&](const Shape &s, std::vector<IndexVar> &all) {
    std::vector<Index> index;
    for (Dim d : s) all.push_back(k.var(d)), index.push_back(Index(all.back()));
    return index;
  };
  auto loops = [&](const std::vector<IndexVar> &all, std::vector<Stmt> body, bool vector) {
    for (size_t i = all.size(); i-- > 0;) {
      std::vector<Stmt> level;
      level.push_back(make_loop(vector && i + 1 == all.size() ? Stmt::Loop::vector : Stmt::Loop::serial, all[i],
                                std::move(body), l.lanes()));
      body = std::move(level);
    }
    return body;
  };
  std::vector<IndexVar> base_vars;
  std::vector<Index> at = vars(shape, base_vars);
  std::vector<Stmt> body =
      loops(base_vars, {make_store(out, l.pull.layout(result).offset(at), l.pull.at(n.operands[0], at))}, true);

  std::vector<IndexVar> update_vars;
  std::vector<Index> u = vars(n.operands[2].shape(), update_vars);
  std::vector<Index> where(u.begin() + std::ptrdiff_t(axis), u.begin() + std::ptrdiff_t(axis + count));
  const Expr *i = l.pull.at(n.operands[1], where);
  if (i->dtype != DType::i64) i = k.op(Op::cast, {i}, DType::i64);
  int64_t extent = shape[axis];
  const Expr *clamped = k.op(
      Op::max, {k.op(Op::min, {i, k.constant(DType::i64, double(extent - 1))}, DType::i64), k.constant(DType::i64, 0)},
      DType::i64);
  std::vector<Index> place(u.begin(), u.begin() + std::ptrdiff_t(axis));
  IndexVar probe = k.var(extent);
  place.push_back(Index(probe));
  place.insert(place.end(), u.begin() + std::ptrdiff_t(axis + count), u.end());
  Index offset = l.pull.layout(result).offset(place);
  std::optional<int64_t> stride = offset.coefficient(probe.id);
  TRELLIS_CHECK(stride.has_value(), "the scattered axis has a split layout");
  Index fixed =
      offset.substitute([&](IndexVar v) { return v.id == probe.id ? std::optional<Index>(Index(0)) : std::nullopt; });
  const Expr *dynamic = k.op(Op::mul, {clamped, k.constant(DType::i64, double(*stride))}, DType::i64);
  const Expr *update = l.pull.at(n.operands[2], u);
  Stmt store =
      make_store(out, fixed, kind == "set" ? update : k.op(combine_op(kind), {k.load(out, fixed, dynamic), update}, t));
  store.dynamic = dynamic;
  store.when = k.op(Op::eq, {i, clamped}, DType::boolean);
  bool rows = axis + count < u.size(); // whole rows are added: lanes along them
  std::vector<Stmt> updates = loops(update_vars, {store}, rows);
  std::move(updates.begin(), updates.end(), std::back_inserter(body));
  return wrap_parallel({}, std::move(body));
}

} // namespace trellis

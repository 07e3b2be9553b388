// Determinants by elimination: a small matrix shrinks a row and column a step, a larger one is a scan whose matrix is padded
// back to its size with zeros.
#include "compiler/onnx/recipe.h"
#include <fmt/format.h>

namespace trellis::onnx {

namespace {

constexpr int64_t kMostUnrolled = 8;

struct Elimination {
  Value rest, product; ///< [B, m - 1, m - 1] and [B]
};

// The row with the largest first element becomes the pivot; the first row takes its place, which turns the sign.
Elimination eliminate(Value a, Value product) {
  Graph &g = a.graph();
  Dim b = a.shape()[0];
  int64_t m = a.shape()[1];
  auto first_column = [&](Value v, int64_t rows) { return reshape(narrow(v, 2, 0, 1), {b, rows, 1}); };
  Value at = argmax(reshape(abs(first_column(a, m)), {b, m}), 1, true); // [B, 1]
  Value chosen = eq(iota(g, {DType::i64, {b, m, 1}}, 1), expand(reshape(at, {b, 1, 1}), {b, m, 1}));
  Value pivot = reduce_over(select(expand(chosen, a.shape()), a, 0), "sum", {1}, true); // [B, 1, m]
  Value moved = select(expand(chosen, a.shape()), expand(narrow(a, 1, 0, 1), a.shape()), a);
  Value head = reshape(narrow(pivot, 2, 0, 1), {b, 1, 1}),
        sign = select(eq(reshape(at, {b}), 0), g.splat({a.dtype(), {b}}, 1), -1);
  product = product * reshape(head, {b}) * sign;
  Value below = narrow(moved, 1, 1, m);
  Shape rest{b, m - 1, m - 1};
  Value factor = expand(first_column(below, m - 1) / expand(select(eq(head, 0), 1, head), {b, m - 1, 1}), rest);
  return {narrow(below, 2, 1, m) - factor * expand(narrow(pivot, 2, 1, m), rest), product};
}

} // namespace

static Values determinant(Step &s) {
  Value x = s.in(0);
  s.require(x.rank() >= 2 && same(x.shape()[size_t(x.rank()) - 1], x.shape()[size_t(x.rank()) - 2]),
            fmt::format("{} is not square", x.type().str()));
  Shape lead(x.shape().begin(), x.shape().end() - 2);
  int64_t n = x.shape().back(), batch = element_count(lead);
  Value a = reshape(x, {batch, n, n}), product = s.g.splat({x.dtype(), {batch}}, 1);
  if (n <= kMostUnrolled) {
    for (int64_t m = n; m > 1; --m) {
      Elimination e = eliminate(a, product);
      a = e.rest, product = e.product;
    }
    return {reshape(n ? product * reshape(a, {batch}) : product, lead)};
  }
  auto body = std::make_shared<Graph>("eliminate");
  body->location = s.where;
  Value matrix = body->input("matrix", a.type()), so_far = body->input("product", product.type());
  Elimination e = eliminate(matrix, so_far);
  body->outputs = {{"rest", pad(e.rest, {0, 0, 0}, {0, 1, 1})}, {"next", e.product}};
  const Node *scan = s.g.node(Op::scan, {a, product},
                              {{Attr::carries, int64_t(2)}, {Attr::slices, int64_t(0)}, {Attr::trips, n}}, {body});
  return {reshape(scan->result(1), lead)};
}

void add_determinant(Recipes &r) { r.on("Det", 11, determinant); }

} // namespace trellis::onnx

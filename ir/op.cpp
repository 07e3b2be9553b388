#include "ir/op.h"
#include "ir/build.h"
#include "ir/ops/ops.h"
#include <cmath>

namespace trellis {

namespace {
constexpr std::array<OpInfo, kOpCount> kTable = {{
#define OP(id, ...) OpInfo{.name = #id, __VA_ARGS__},
#include "ir/ops.def"
}};

// A row that says too little does not compile. `throw` makes the constant evaluation fail at the reason.
[[maybe_unused]] constexpr bool complete() {
  for (const OpInfo &r : kTable) {
    if (r.doc.empty()) throw "a row has no documentation";
    bool semantics = r.eval.f || r.eval.i || r.interpret || r.map || r.expand;
    if (!semantics) throw "a row has no evaluation";
    if (!r.vjp && !r.no_gradient && !r.expand) throw "a row has no derivative: give vjp, expand or no_gradient";
    if (r.vjp && r.no_gradient) throw "a row has both a derivative and none";
    if (r.pointwise && r.kind != OpKind::composite) throw "only a composite row is marked pointwise";
    if (!r.broadcasts() && !r.infer) throw "a row that is not elementwise has no shape rule";
    if (r.kind == OpKind::movement && !r.map) throw "a movement row has no index map";
    if (r.kind == OpKind::composite && !r.expand) throw "a composite row has no expansion";
    if (r.kind == OpKind::elementwise && !r.eval.f && !r.eval.i && !r.interpret) throw "an elementwise row has no eval";
  }
  return true;
}
#ifndef TRELLIS_SANITIZED // under -fsanitize=undefined g++ 12 does not take a function's address for a constant
static_assert(complete());
#endif
} // namespace

const OpInfo &info(Op op) { return kTable[size_t(op)]; }
std::string_view name(Op op) { return info(op).name; }

std::optional<Op> parse_op(std::string_view text) {
  for (size_t i = 0; i < kTable.size(); ++i)
    if (kTable[i].name == text) return Op(i);
  return std::nullopt;
}

} // namespace trellis

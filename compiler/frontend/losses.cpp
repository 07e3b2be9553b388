#include "compiler/frontend/losses.h"
#include "compiler/frontend/spec.h"
#include <fmt/format.h>

namespace trellis {

static void require_like(std::string_view loss, Value y, Value target) {
  if (y.type() == target.type() && is_float(y.dtype())) return;
  throw CompileError(y.graph().location, fmt::format("{}: output {} and target {} must be of one floating-point type",
                                                     loss, y.type().str(), target.type().str()));
}

Value cross_entropy_loss(Value logits, Value labels) { return cross_entropy(logits, labels); }

Value mse_loss(Value y, Value target) {
  require_like("mse", y, target);
  return mse(y, target);
}

Value bce_loss(Value p, Value target) {
  require_like("bce", p, target);
  Value yes = max(log(p), -100), no = max(log1p(-p), -100);
  return -mean(target * yes + (1 - target) * no);
}

Value bce_with_logits_loss(Value z, Value target) {
  require_like("bce_with_logits", z, target);
  return bce_with_logits(z, target);
}

Value count_correct(Value logits, Value labels) {
  Value right = eq(argmax(logits, -1), cast(labels, DType::i64));
  return sum(cast(right, DType::i64));
}

const std::vector<std::string_view> &loss_names() {
  static const std::vector<std::string_view> kNames = {"cross_entropy", "mse", "bce", "bce_with_logits"};
  return kNames;
}

Type target_type(std::string_view loss, const Type &y) {
  if (loss == "cross_entropy") {
    if (y.rank() < 2)
      throw CompileError(fmt::format("loss 'cross_entropy': the output is {}, but must be [N, ..., classes]", y.str()));
    return {DType::i64, Shape(y.shape.begin(), y.shape.end() - 1)};
  }
  for (std::string_view known : loss_names())
    if (loss == known) return y;
  throw CompileError(fmt::format("loss '{}' is unknown: give {}", loss, list_words(loss_names())));
}

Value loss_of(std::string_view loss, Value y, Value target) {
  if (loss == "cross_entropy") return cross_entropy_loss(y, target);
  if (loss == "mse") return mse_loss(y, target);
  if (loss == "bce") return bce_loss(y, target);
  if (loss == "bce_with_logits") return bce_with_logits_loss(y, target);
  target_type(loss, y.type());
  TRELLIS_CHECK(false, "target_type throws on an unknown loss");
}

} // namespace trellis

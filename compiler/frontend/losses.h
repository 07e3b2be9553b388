// Losses: scalar means.
#pragma once
#include "ir/build.h"
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// Mean over all positions of log sum exp(z) - z[label]; classes on the last axis, integer labels in its
/// place.
Value cross_entropy_loss(Value logits, Value labels);
/// Mean of (y - target)^2.
Value mse_loss(Value y, Value target);
/// Mean of -(t log p + (1 - t) log(1 - p)) for probabilities p; logarithms are kept above -100, as in torch.
Value bce_loss(Value p, Value target);
/// The same for p = sigmoid(z): softplus(z) - t z.
Value bce_with_logits_loss(Value z, Value target);

/// How many positions have their label as the first largest logit; an i64 scalar.
Value count_correct(Value logits, Value labels);

/// cross_entropy, mse, bce, bce_with_logits.
const std::vector<std::string_view> &loss_names();
/// The type of targets that the loss of that name wants for an output of type `y`. Throws on an unknown name.
Type target_type(std::string_view loss, const Type &y);
Value loss_of(std::string_view loss, Value y, Value target);

} // namespace trellis

// What the operators of ai.onnx.ml share: scores to probabilities, and scores to labels.
#pragma once
#include "compiler/onnx/recipe.h"

namespace trellis::onnx {

constexpr const char *kClassic = "ai.onnx.ml";

/// Scores [N, E] by the attribute 'post_transform' (`how`): NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT.
Value transformed(Step &s, Value scores, const std::string &how);
/// A score a row [N, 1] for the second of two classes as scores of both: (1 - x, x) where scores are probabilities already
/// (`shares`), else (-x, x) by 'post_transform'. A logistic transform wants (-x, x) in either case.
Value both_classes(Step &s, Value scores, const std::string &how, bool shares);
/// The labels that the attributes name, integers; an error for strings where the label is asked for.
Ints labels_of(Step &s, const char *integers, const char *strings);
/// The labels at positions [N]; without labels the positions.
Value labelled(Step &s, Value positions, const Ints &labels);
/// Floats of an attribute, or of the tensor in the attribute with _as_tensor behind its name.
std::vector<double> reals(Step &s, const std::string &name);

} // namespace trellis::onnx

// The loss curve of a training run as a small SVG picture.
#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace trellis {

struct LossCurve {
  std::string title = "Training loss";
  std::vector<double> losses = {};                        ///< one for each step; non-finite ones are gaps
  std::vector<std::pair<double, double>> validation = {}; ///< (step, loss)
};

/// A document of its own. The vertical axis is logarithmic where all losses are positive and span more than a
/// factor of 30. Long runs are thinned to their extremes, so the size does not grow with the steps.
std::string loss_curve_svg(const LossCurve &curve);

} // namespace trellis

#include "compiler/data/svg.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

namespace trellis {

namespace {

constexpr double kWidth = 720, kHeight = 420, kLeft = 70, kRight = 20, kTop = 44, kBottom = 52;
constexpr size_t kMostPoints = 600;
constexpr double kLargest = 1e100,
                 kMostDecades = 12; // beyond them values are drawn at the edge, and nothing overflows

/// Maps a range of values to pixels, plainly or by the logarithm.
struct Axis {
  double low, high, from, to;
  bool logarithmic = false;
  double operator()(double v) const {
    v = std::clamp(v, low, high);
    double part = logarithmic ? std::log(v / low) / std::log(high / low) : (v - low) / (high - low);
    return from + part * (to - from);
  }
};

/// About `count` round numbers from low to high: 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(const Axis &axis, int count) {
  std::vector<double> out;
  if (axis.logarithmic) {
    const double decades = std::log10(axis.high / axis.low);
    const int stride = std::max(1, int(decades / count));
    for (int e = int(std::floor(std::log10(axis.low))); e <= int(std::ceil(std::log10(axis.high))); e += stride)
      for (double m : {1.0, 2.0, 5.0}) {
        double v = m * std::pow(10.0, e);
        if ((m == 1 || decades < 4) && v >= axis.low * 0.999 && v <= axis.high * 1.001) out.push_back(v);
      }
    return out;
  }
  double step = std::pow(10.0, std::floor(std::log10((axis.high - axis.low) / count)));
  for (double m : {1.0, 2.0, 5.0, 10.0})
    if ((axis.high - axis.low) / (step * m) <= count) {
      step *= m;
      break;
    }
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + 1e-9 * step; ++i) out.push_back(i * step);
  return out;
}

std::string escaped(const std::string &text) {
  std::string out;
  for (char c : text)
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (uint8_t(c) >= 0x20)
      out += c;
  return out;
}

/// The smallest and the largest of each stretch of steps, in their order.
std::vector<std::pair<double, double>> thin(const std::vector<double> &values) {
  std::vector<std::pair<double, double>> out;
  const size_t stretch = std::max<size_t>(1, (2 * values.size() + kMostPoints - 1) / kMostPoints);
  for (size_t at = 0; at < values.size(); at += stretch) {
    size_t end = std::min(at + stretch, values.size()), low = end, high = end, gap = end;
    for (size_t i = at; i < end; ++i) {
      if (!std::isfinite(values[i])) {
        gap = i;
        continue;
      }
      if (low == end || values[i] < values[low]) low = i;
      if (high == end || values[i] > values[high]) high = i;
    }
    for (size_t i : {std::min(low, high), std::max(low, high)})
      if (i < end && (out.empty() || out.back().first != double(i + 1))) out.emplace_back(double(i + 1), values[i]);
    if (gap < end) out.emplace_back(double(gap + 1), std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

/// Exponential mean over about a fiftieth of the run, without the bias of its start.
std::vector<double> smoothed(const std::vector<double> &values) {
  const double keep = 1 - 1 / std::clamp(double(values.size()) / 50, 1.0, 200.0);
  double sum = 0, weight = 0;
  std::vector<double> out;
  for (double v : values) {
    if (std::isfinite(v)) sum = keep * sum + (1 - keep) * v, weight = keep * weight + (1 - keep);
    out.push_back(weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

std::string path_data(const std::vector<std::pair<double, double>> &points, const Axis &x, const Axis &y) {
  std::string out;
  bool pen_down = false;
  for (auto [step, loss] : points) {
    if (std::isfinite(loss)) out += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", x(step), y(loss));
    pen_down = std::isfinite(loss);
  }
  return out;
}

} // namespace

std::string loss_curve_svg(const LossCurve &curve) {
  std::vector<double> all;
  for (double v : curve.losses)
    if (std::isfinite(v)) all.push_back(std::clamp(v, -kLargest, kLargest));
  double steps = double(std::max<size_t>(curve.losses.size(), 2));
  for (auto [step, v] : curve.validation) {
    if (std::isfinite(v)) all.push_back(std::clamp(v, -kLargest, kLargest));
    if (std::isfinite(step)) steps = std::max(steps, step);
  }
  if (all.empty()) all = {0, 1};
  auto [low, high] = std::minmax_element(all.begin(), all.end());
  Axis x{1, steps, kLeft, kWidth - kRight}, y{*low, *high, kHeight - kBottom, kTop};
  y.logarithmic = *low > 0 && *high > 1e-30 && *high / *low > 30;
  if (y.logarithmic)
    y.high *= 1.1, y.low = std::max(y.low / 1.1, y.high * std::pow(10, -kMostDecades));
  else {
    if (y.low >= 0) y.low = 0;
    if (y.high - y.low < 1e-12 * std::max(std::fabs(y.low), 1e-18)) y.high = y.low + std::max(1.0, std::fabs(y.low));
    const double margin = 0.05 * (y.high - y.low);
    y.high += margin;
    if (y.low < 0) y.low -= margin;
  }

  std::string out =
      fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
                  "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n<rect width=\"{0}\" height=\"{1}\" "
                  "fill=\"#fff\"/>\n"
                  "<text x=\"{2}\" y=\"26\" font-size=\"16\">{3}</text>\n",
                  kWidth, kHeight, kLeft, escaped(curve.title));
  for (double v : ticks(y, 6))
    out += fmt::format("<path d=\"M{0} {2:.1f}H{1}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4:.1f}\" "
                       "text-anchor=\"end\">{5:.4g}</text>\n",
                       kLeft, kWidth - kRight, y(v), kLeft - 8, y(v) + 4, std::fabs(v) < 1e-12 * y.high ? 0.0 : v);
  for (double v : ticks(x, 8))
    out += fmt::format("<path d=\"M{0:.1f} {1}v5\" stroke=\"#333\"/><text x=\"{0:.1f}\" y=\"{2}\" "
                       "text-anchor=\"middle\">{3:g}</text>\n",
                       x(v), kHeight - kBottom, kHeight - kBottom + 20, v);
  out += fmt::format("<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#333\"/>\n", kLeft, kTop, kHeight - kBottom,
                     kWidth - kRight);
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">step</text>\n", (kLeft + kWidth - kRight) / 2,
                     kHeight - 12);
  out += fmt::format("<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">loss{}</text>\n",
                     (kTop + kHeight - kBottom) / 2, y.logarithmic ? " (logarithmic)" : "");
  auto line = [&](const std::vector<double> &values, const char *style) {
    out += fmt::format("<path d=\"{}\" fill=\"none\" {}/>\n", path_data(thin(values), x, y), style);
  };
  line(curve.losses, "stroke=\"#9ec5e8\" stroke-width=\"1\"");
  line(smoothed(curve.losses), "stroke=\"#1f5f99\" stroke-width=\"2\"");
  for (auto [step, v] : curve.validation)
    if (std::isfinite(step) && std::isfinite(v))
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"#d9541e\"/>\n", x(step), y(v));
  double key = kWidth - kRight - 275;
  auto entry = [&](const std::string &mark, double length, const char *text) {
    out += mark + fmt::format("<text x=\"{}\" y=\"26\">{}</text>\n", key + length + 6, text);
  };
  entry(fmt::format("<path d=\"M{} 22h20\" stroke=\"#9ec5e8\" stroke-width=\"1\"/>", key), 20, "each step");
  key += 95;
  entry(fmt::format("<path d=\"M{} 22h20\" stroke=\"#1f5f99\" stroke-width=\"2\"/>", key), 20, "smoothed");
  key += 95;
  if (!curve.validation.empty())
    entry(fmt::format("<circle cx=\"{}\" cy=\"22\" r=\"4\" fill=\"#d9541e\"/>", key + 4), 8, "validation");
  return out + "</svg>\n";
}

} // namespace trellis

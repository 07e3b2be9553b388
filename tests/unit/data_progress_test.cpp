#include "compiler/data/progress.h"
#include "compiler/data/svg.h"
#include "data_test_files.h"
#include <cmath>
#include <regex>

namespace trellis {
using namespace testing;

namespace {

/// A run of two epochs of ten steps, 0.03 s each, written to a file.
std::string run(bool terminal, int width, bool correct = true, bool finish = true) {
  TestFolder f;
  std::FILE *out = std::fopen((f / "out").c_str(), "w");
  double now = 100;
  {
    Progress p(
        {.epochs = 2, .steps = 10, .out = out, .terminal = terminal, .width = width, .clock = [&] { return now; }});
    for (int epoch = 0; epoch < 2; ++epoch) {
      for (int i = 0; i < 10; ++i) {
        now += 0.03;
        p.step(64, i < 5 ? 1.0 : 0.5, correct ? std::optional<int64_t>(48) : std::nullopt);
      }
      if (epoch == 0 || finish) p.end_epoch(epoch == 0 ? "test accuracy 70.00 %" : "");
    }
  }
  std::fclose(out);
  return bytes_of(f / "out");
}

std::vector<std::string> redraws(const std::string &text) {
  std::vector<std::string> out;
  std::regex line("\r([^\r\n]*?)\x1b\\[K");
  for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it)
    if (!(*it)[1].str().empty()) out.push_back((*it)[1]);
  return out;
}

} // namespace

TEST(Progress, PlainLinesWhereThereIsNoTerminal) {
  // The mean loss is (5 + 2.5) / 10, 640 samples come in 0.3 s.
  EXPECT_EQ(run(false, 80), "epoch 1/2  loss 0.7500  accuracy 75.00 %  2133 samples/s  0.3 s  test accuracy 70.00 %\n"
                            "epoch 2/2  loss 0.7500  accuracy 75.00 %  2133 samples/s  0.3 s\n");
  EXPECT_EQ(run(false, 80, false).substr(0, 40), "epoch 1/2  loss 0.7500  2133 samples/s  ");
}

TEST(Progress, TheBarIsRedrawnAtMostTenTimesASecondAndFits) {
  for (int width : {0, 1, 10, 25, 40, 60, 80, 100, 300}) {
    std::string text = run(true, width);
    std::vector<std::string> bars = redraws(text);
    EXPECT_GE(bars.size(), 4u);
    EXPECT_LE(bars.size(), 7u); // 0.6 s
    if (width >= 12)
      for (const std::string &bar : bars) { EXPECT_LT(int(bar.size()), width) << bar; }
  }
  std::string bar = redraws(run(true, 120)).at(1);
  expect_in("epoch 1/2 [", bar);
  expect_in("loss 1.0000  accuracy 75.00 %  2133 samples/s  0:00 left", bar);
  expect_in("epoch 1/2  loss 0.7500  accuracy 75.00 %  2133 samples/s  0.3 s  test accuracy 70.00 %\n", run(true, 120));
}

TEST(Progress, AnUnfinishedBarEndsItsLine) { EXPECT_EQ(run(true, 80, true, false).back(), '\n'); }

TEST(Progress, ClockText) {
  EXPECT_EQ(clock_text(7.4), "0:07");
  EXPECT_EQ(clock_text(59.6), "1:00");
  EXPECT_EQ(clock_text(11109), "3:05:09");
  EXPECT_EQ(clock_text(-1), "0:00");
  EXPECT_EQ(clock_text(NAN), "0:00");
}

TEST(Svg, HoldsAxesLinesAndPoints) {
  LossCurve curve{.title = "a < b & c"};
  for (int i = 0; i < 100; ++i) curve.losses.push_back(2.0 - i * 0.01);
  curve.validation = {{50, 1.5}, {100, 1.0}};
  std::string svg = loss_curve_svg(curve);
  expect_in("a &lt; b &amp; c", svg);
  expect_in(">loss</text>", svg);
  expect_in(">step</text>", svg);
  expect_in(">1.5</text>", svg);
  expect_in(">80</text>", svg);
  // Step 100 of 1..100 lies at the right end, 700; a loss of 1 of 0..2.1 at 368 - 324 / 2.1.
  expect_in("cx=\"700.0\" cy=\"213.7\"", svg);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(Svg, AnyLossesGiveASmallPicture) {
  const double inf = INFINITY;
  std::vector<std::vector<double>> cases = {{},          {1},     {0, 0},          {NAN},       {inf, -inf},
                                            {1, NAN, 2}, {-5, 5}, {1e300, 1e-300}, {1e-320, 1}, {-1e308, 1e308},
                                            {5, 5, 5}};
  cases.emplace_back(200000, 1.0);
  for (size_t i = 0; i < cases.back().size(); ++i) cases.back()[i] = double(i * 7919 % 1000) + 1;
  for (const std::vector<double> &losses : cases) {
    std::string svg = loss_curve_svg({.title = "t", .losses = losses, .validation = {{1, NAN}, {NAN, 1}}});
    EXPECT_LT(svg.size(), 40000u);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << losses.size();
    EXPECT_EQ(svg.find("inf"), std::string::npos) << losses.size();
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
  }
  expect_in("loss (logarithmic)", loss_curve_svg({.title = "t", .losses = {100, 1}}));
  expect_in("M", loss_curve_svg({.title = "t", .losses = {1, NAN, 2, 3}}));
}

} // namespace trellis

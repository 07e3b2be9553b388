// What training shows while it runs: a bar that redraws itself on a terminal, one plain line an epoch
// elsewhere.
#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace trellis {

class Progress {
public:
  struct Options {
    int64_t epochs = 1, steps = 1; ///< steps of one epoch
    int64_t done = 0;              ///< epochs that an earlier run completed
    std::FILE *out = stderr;
    /// Empty: what `out` is and the system says. Tests set them.
    std::optional<bool> terminal = {};
    std::optional<int> width = {};
    std::function<double()> clock = {}; ///< seconds
  };

  explicit Progress(Options options);
  /// Ends an unfinished bar's line, so that an error starts on its own.
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  /// One step is done: its number of samples, their mean loss and, for a classifier, how many were right.
  void step(int64_t samples, double loss, std::optional<int64_t> correct = {});
  /// The epoch's line: means over its steps, speed, time, then `extra` ("test accuracy 98.71 %").
  void end_epoch(std::string_view extra = {});
  /// A line of its own, above the bar.
  void message(std::string_view line);

  double mean_loss() const { return samples_ ? loss_ / double(samples_) : 0; }

private:
  void redraw(double now);
  void clear();
  int width() const;
  std::string figures() const;

  Options options_;
  bool terminal_, drawn_ = false;
  int64_t epoch_, step_ = 0, all_steps_ = 0, samples_ = 0, correct_ = 0;
  bool counts_correct_ = false;
  double loss_ = 0, begin_, epoch_begin_, last_draw_;
};

/// "0:07", "12:34", "3:05:09".
std::string clock_text(double seconds);

} // namespace trellis

#include "compiler/data/progress.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace trellis {

static constexpr double kRedrawSeconds = 0.1;

static double monotonic() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What is shown is lost where it cannot be written: the work goes on.
static void show(std::FILE *out, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), out);
  std::fflush(out);
}

static bool is_terminal(std::FILE *out) {
  const char *term = std::getenv("TERM");
  return ::isatty(::fileno(out)) && term && std::strcmp(term, "dumb") != 0;
}

std::string clock_text(double seconds) {
  int64_t s = std::isfinite(seconds) && seconds < 1e9 ? std::llround(std::max(seconds, 0.0)) : 0;
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

Progress::Progress(Options options)
    : options_(std::move(options)), terminal_(options_.terminal.value_or(is_terminal(options_.out))),
      epoch_(options_.done + 1) {
  if (!options_.clock) options_.clock = monotonic;
  begin_ = epoch_begin_ = options_.clock();
  last_draw_ = begin_ - kRedrawSeconds;
}

Progress::~Progress() {
  if (drawn_) show(options_.out, "\n");
}

int Progress::width() const {
  if (options_.width) return *options_.width;
  winsize size{};
  if (::ioctl(::fileno(options_.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string Progress::figures() const {
  std::string out = fmt::format("loss {:.4f}", mean_loss());
  if (counts_correct_)
    out += fmt::format("  accuracy {:.2f} %", 100.0 * double(correct_) / double(std::max<int64_t>(samples_, 1)));
  return out;
}

void Progress::step(int64_t samples, double loss, std::optional<int64_t> correct) {
  ++step_, ++all_steps_;
  samples_ += samples;
  loss_ += loss * double(samples);
  if (correct) counts_correct_ = true, correct_ += *correct;
  if (!terminal_) return;
  double now = options_.clock();
  if (now - last_draw_ >= kRedrawSeconds) redraw(now);
}

/// epoch 2/4 [=====>     ]  45 %  loss 0.0832  accuracy 97.51 %  41234 samples/s  0:12 left
/// On a narrow terminal parts are left out from the right, the bar first.
void Progress::redraw(double now) {
  const double part = std::min(1.0, double(step_) / double(std::max<int64_t>(options_.steps, 1)));
  const double left_steps = double((options_.epochs - epoch_ + 1) * options_.steps - step_);
  const double left = (now - begin_) / double(std::max<int64_t>(all_steps_, 1)) * std::max(left_steps, 0.0);
  const double seconds = std::max(now - epoch_begin_, 1e-9);
  std::string head = fmt::format("epoch {}/{} ", epoch_, options_.epochs);
  const int room = width() - 1; // a full last column would wrap
  std::string tail;
  for (const std::string &piece :
       {fmt::format("{:3.0f} %", 100 * part), "  " + figures(),
        fmt::format("  {:.0f} samples/s", double(samples_) / seconds), fmt::format("  {} left", clock_text(left))}) {
    if (int(head.size() + tail.size() + piece.size()) > room) break;
    tail += piece;
  }
  constexpr int kShortest = 8, kLongest = 40;
  std::string bar;
  if (int inner = std::min(room - int(head.size() + tail.size()) - 3, kLongest); inner >= kShortest) {
    int filled = int(part * inner);
    bar = std::string(size_t(filled), '=');
    if (filled < inner) bar += '>';
    bar.resize(size_t(inner), ' ');
    bar = "[" + bar + "] ";
  }
  show(options_.out, fmt::format("\r{}{}{}\x1b[K", head, bar, tail));
  drawn_ = true;
  last_draw_ = now;
}

void Progress::clear() {
  if (drawn_) show(options_.out, "\r\x1b[K");
  drawn_ = false;
}

void Progress::message(std::string_view line) {
  clear();
  show(options_.out, fmt::format("{}\n", line));
}

void Progress::end_epoch(std::string_view extra) {
  const double now = options_.clock(), seconds = std::max(now - epoch_begin_, 1e-9);
  message(fmt::format("epoch {}/{}  {}  {:.0f} samples/s  {:.1f} s{}{}", epoch_, options_.epochs, figures(),
                      double(samples_) / seconds, seconds, extra.empty() ? "" : "  ", extra));
  ++epoch_;
  step_ = samples_ = correct_ = 0;
  loss_ = 0;
  epoch_begin_ = now;
}

} // namespace trellis

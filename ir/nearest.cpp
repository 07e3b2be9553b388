#include "ir/nearest.h"
#include <algorithm>

namespace trellis {

// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours cost 1.
static size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last), last.swap(row);
  }
  return last[b.size()];
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view> &candidates) {
  if (word.size() > 64) return {}; // nobody misspells that; and the distance is quadratic
  size_t best = std::min(word.size(), std::max<size_t>(1, word.size() / 3) + 1); // something must be left of the word
  std::string_view found;
  for (std::string_view c : candidates)
    if (size_t d = distance(word, c); d < best) best = d, found = c;
  return found;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view> &candidates) {
  std::string_view n = nearest(word, candidates);
  return n.empty() ? std::string() : "; did you mean '" + std::string(n) + "'?";
}

} // namespace trellis

// "Did you mean": the known name closest to a misspelt one.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace trellis {

/// The candidate with the smallest edit distance to `word`, if it is small against the word's length; else
/// empty.
std::string_view nearest(std::string_view word, const std::vector<std::string_view> &candidates);
/// "; did you mean 'X'?" or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view> &candidates);

} // namespace trellis

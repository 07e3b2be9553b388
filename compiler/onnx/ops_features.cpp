// Feature extraction of the standard's domain: n-gram counts and mel filters.
#include "compiler/onnx/recipe.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>

namespace trellis::onnx {

// Counts each gram of the pool in rows of tokens: for each length and distance between tokens, windows against grams.
static Values count_grams(Step &s) {
  Value x = s.in(0);
  s.require(!s.attr("pool_strings"), "grams of strings are not supported");
  s.require(is_integer(x.dtype()) && (x.rank() == 1 || x.rank() == 2),
            fmt::format("needs rows of integers, but has {}", x.type().str()));
  Ints pool = s.ints("pool_int64s"), starts = s.ints("ngram_counts"), columns = s.ints("ngram_indexes");
  int64_t shortest = s.need_i("min_gram_length"), longest = s.need_i("max_gram_length"),
          skips = s.need_i("max_skip_count");
  s.require(shortest >= 1 && longest >= shortest && skips >= 0 && longest <= int64_t(starts.size()),
            "the lengths of grams do not fit 'ngram_counts'");
  int64_t width = 0;
  for (int64_t c : columns) {
    s.require(c >= 0 && c < int64_t(1) << 31, "'ngram_indexes' is out of range");
    width = std::max(width, c + 1);
  }
  s.table({width, longest - shortest + 1}, "the columns that 'ngram_indexes' names, for each length,");
  Dim rows = x.rank() == 2 ? x.shape()[0] : Dim(1);
  int64_t tokens = x.shape().back();
  Value t = reshape(cast(x, DType::i64), {rows, tokens, 1}), total;
  int64_t gram = 0; // number of the first gram of a length in the pool
  int64_t comparisons = 0;
  for (int64_t n = 1; n <= int64_t(starts.size()); ++n) {
    int64_t from = starts[size_t(n - 1)], to = n < int64_t(starts.size()) ? starts[size_t(n)] : int64_t(pool.size());
    s.require(from >= 0 && from <= to && to <= int64_t(pool.size()) && (to - from) % n == 0,
              "'ngram_counts' does not fit the pool");
    int64_t count = (to - from) / n;
    s.require(gram + count <= int64_t(columns.size()), "'ngram_indexes' needs an entry a gram");
    const int64_t *column = columns.data() + gram;
    gram += count;
    if (n < shortest || n > longest || count == 0) continue;
    Values want; // the tokens at each place of the grams
    for (int64_t j = 0; j < n; ++j) {
      Ints tokens_at;
      for (int64_t k = 0; k < count; ++k) tokens_at.push_back(pool[size_t(from + k * n + j)]);
      want.push_back(reshape(s.constant(tokens_at), {1, 1, count}));
    }
    Value found;
    for (int64_t by = 1; by == 1 || (n > 1 && by - 1 <= skips); ++by) {
      int64_t windows = tokens - by * (n - 1);
      if (windows <= 0) break;
      constexpr int64_t kMost = 1 << 14;
      comparisons += n;
      s.require(comparisons <= kMost,
                fmt::format("the lengths and distances of grams need more than {} comparisons", kMost));
      Value equal;
      for (int64_t j = 0; j < n; ++j) {
        Value here = eq(narrow(t, 1, j * by, j * by + windows), want[size_t(j)]);
        equal = equal ? bit_and(equal, here) : here;
      }
      Value sums = reduce_over(cast(equal, DType::f32), "sum", {1}); // [rows, count]
      found = found ? found + sums : sums;
    }
    if (!found) continue;
    Ints place(size_t(width), -1); // where each gram counts; of two equal ones the columns differ
    for (int64_t k = 0; k < count; ++k) place[size_t(column[k])] = k;
    found = gather(found, s.constant(place), 1);
    total = total ? total + found : found;
  }
  if (!total) total = s.g.splat({DType::f32, {rows, width}}, 0);
  std::string mode = s.s("mode", "TF");
  s.require(mode == "TF" || mode == "IDF" || mode == "TFIDF",
            fmt::format("mode {} is not supported", quote_name(mode)));
  if (mode == "IDF") total = min(total, 1);
  if (std::vector<double> weights = s.floats("weights"); mode != "TF" && !weights.empty()) {
    s.require(weights.size() == columns.size(), "'weights' needs an entry a gram");
    std::vector<double> by_column(size_t(width), 1);
    for (size_t k = 0; k < weights.size(); ++k) by_column[size_t(columns[k])] = weights[k];
    total = total * s.g.constant(Tensor::of<double>(DType::f32, {width}, std::span<const double>(by_column)));
  }
  return {x.rank() == 1 ? reshape(total, {width}) : total};
}

// Triangles of equal width in mel, their corners at whole bins of the spectrum.
static Values mel_weights(Step &s) {
  auto whole = [&](int i) {
    double v = s.known_real(i);
    s.require(v > 0 && v < 1 << 24, fmt::format("operand {} is not positive, or too large", i + 1));
    return int64_t(v);
  };
  int64_t bands = whole(0), length = whole(1), rate = whole(2), bins = length / 2 + 1;
  s.table({bins, bands}, "the matrix");
  auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  double low = mel(s.known_real(3)), step = (mel(s.known_real(4)) - low) / double(bands + 2);
  Ints corner;
  for (int64_t k = 0; k < bands + 2; ++k) {
    double hertz = 700 * (std::pow(10, (double(k) * step + low) / 2595) - 1);
    double bin = std::floor(double(length + 1) * hertz / double(rate));
    s.require(bin >= 0 && bin < double(bins), "an edge lies beyond the spectrum");
    corner.push_back(int64_t(bin));
  }
  Tensor w(s.dtype(s.i("output_datatype", 1)), {bins, bands});
  for (int64_t k = 0; k < bands; ++k) {
    int64_t left = corner[size_t(k)], top = corner[size_t(k + 1)], right = corner[size_t(k + 2)];
    if (left == top)
      w.set(top * bands + k, 1);
    else
      for (int64_t j = left; j <= top; ++j) w.set(j * bands + k, double(j - left) / double(top - left));
    for (int64_t j = top; j < right; ++j) w.set(j * bands + k, double(right - j) / double(right - top));
  }
  return {s.g.constant(w)};
}

void add_features(Recipes &r) { r.on("TfIdfVectorizer", 9, count_grams), r.on("MelWeightMatrix", 17, mel_weights); }

} // namespace trellis::onnx

#include "compiler/data/csv.h"
#include "compiler/data/input.h"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <map>

namespace trellis {

namespace {

constexpr size_t kMostNumericClasses = 100;

struct Field {
  size_t at, length; ///< within the file, quotes left aside
  bool escaped;      ///< holds doubled quotes
};

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

bool is_missing(std::string_view s) {
  if (s.empty() || s == "?") return true;
  std::string lower(s.substr(0, 4));
  for (char &c : lower) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  return s.size() < 4 && (lower == "na" || lower == "nan");
}

std::optional<double> number(std::string_view s) {
  if (s.starts_with('+')) s.remove_prefix(1);
  double value;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc() || end != s.data() + s.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// The file as rows of fields; nothing is interpreted yet.
class Table {
public:
  Table(const std::string &path, char separator) : path_(path), text_(InputFile(path).read_all()) {
    size_t at = text_.starts_with("\xef\xbb\xbf") ? 3 : 0; // a byte order mark
    separator_ = separator ? separator : find_separator(at);
    while (at < text_.size()) at = read_row(at);
  }

  size_t rows() const { return columns_ ? fields_.size() / columns_ : 0; }
  size_t columns() const { return columns_; }
  std::string cell(size_t row, size_t column) const {
    const Field &f = field(row, column);
    std::string_view raw = view(row, column);
    if (!f.escaped) return std::string(raw);
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      out += raw[i];
      if (raw[i] == '"') ++i;
    }
    return out;
  }
  /// As it stands in the file; enough to tell numbers and missing fields.
  std::string_view view(size_t row, size_t column) const {
    const Field &f = field(row, column);
    return std::string_view(text_).substr(f.at, f.length);
  }
  [[noreturn]] void fail(size_t row, size_t column, const std::string &text) const {
    fail_at(field(row, column).at, text);
  }
  void drop_first_row() { fields_.erase(fields_.begin(), fields_.begin() + ptrdiff_t(columns_)); }
  char separator() const { return separator_; }

private:
  const Field &field(size_t row, size_t column) const { return fields_[row * columns_ + column]; }

  [[noreturn]] void fail_at(size_t at, const std::string &text) const {
    Location where = file_location(path_);
    size_t begin = at ? text_.rfind('\n', at - 1) + 1 : 0; // npos + 1 is 0
    where.line = int(std::count(text_.begin(), text_.begin() + ptrdiff_t(begin), '\n') + 1);
    where.column = int(at - begin + 1);
    throw CompileError(where, text);
  }

  char find_separator(size_t at) const {
    bool quoted = false;
    for (; at < text_.size() && (quoted || text_[at] != '\n'); ++at) {
      if (text_[at] == '"') quoted = !quoted;
      if (text_[at] == ';' && !quoted) return ';';
    }
    return ',';
  }

  /// Returns where the next row begins.
  size_t read_row(size_t at) {
    const size_t end_of_line = std::min(text_.find('\n', at), text_.size());
    if (trim(std::string_view(text_).substr(at, end_of_line - at)).empty()) return end_of_line + 1;
    const size_t first = fields_.size();
    for (bool more = true; more;) {
      if (columns_ && fields_.size() - first == columns_)
        fail_at(at, fmt::format("the row has more than {} fields, the number in the first row", columns_));
      at = read_field(at);
      more = at < text_.size() && text_[at] == separator_;
      at += more;
    }
    const size_t count = fields_.size() - first;
    if (columns_ && count < columns_)
      fail_at(at, fmt::format("the row has {} field(s), expected {} as in the first row", count, columns_));
    columns_ = count;
    return at + 1;
  }

  /// Returns where the separator or the end of the row stands.
  size_t read_field(size_t at) {
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t') && text_[at] != separator_) ++at;
    if (at == text_.size() || text_[at] != '"') {
      size_t end = at;
      while (end < text_.size() && text_[end] != separator_ && text_[end] != '\n') ++end;
      fields_.push_back({at, trim(std::string_view(text_).substr(at, end - at)).size(), false});
      return end;
    }
    bool escaped = false;
    size_t end = at + 1;
    for (;; ++end) {
      end = text_.find('"', end);
      if (end == std::string::npos) fail_at(at, "the quote has no end");
      if (end + 1 >= text_.size() || text_[end + 1] != '"') break;
      escaped = true;
      ++end;
    }
    fields_.push_back({at + 1, end - at - 1, escaped});
    for (++end; end < text_.size() && text_[end] != separator_ && text_[end] != '\n'; ++end)
      if (!trim({&text_[end], 1}).empty())
        fail_at(end, fmt::format("text after the closing quote; expected '{}' or the end of the line", separator_));
    return end;
  }

  std::string path_, text_;
  char separator_ = ',';
  std::vector<Field> fields_;
  size_t columns_ = 0;
};

/// One column: all numbers, or all text.
struct Column {
  std::vector<double> numbers;
  bool text = false;
};

/// Whole numbers that a double and this dtype hold exactly.
std::pair<double, double> range_of(DType d) {
  if (d == DType::boolean) return {0, 1};
  const int bits = 8 * int(size_of(d)) - (is_signed_int(d) ? 1 : 0);
  const double most = bits > 53 ? 0x1p53 : std::ldexp(1, bits) - 1;
  return {is_signed_int(d) ? (bits > 53 ? -most : -most - 1) : 0, most};
}

class Reader {
public:
  Reader(const std::string &path, const CsvOptions &options)
      : path_(path), options_(options), table_(path, options.separator) {
    if (table_.rows() == 0) throw CompileError(file_location(path), "holds no row");
    read_header();
    if (table_.rows() == 0) throw CompileError(file_location(path), "holds a header but no row");
    label_ = find_label();
    choose_rows();
  }

  Dataset read() {
    Dataset out{.where = file_location(path_)};
    const int64_t n = int64_t(rows_.size()), features = int64_t(table_.columns()) - 1;
    out.inputs = allocate(options_.dtype, {n, features}, file_location(path_));
    int64_t to = 0;
    for (size_t c = 0; c < table_.columns(); ++c) {
      if (c == label_) continue;
      out.feature_names.push_back(names_[c]);
      Column column = read_column(c);
      if (column.text) {
        std::map<std::string, int64_t> ids = kinds(c);
        notes_.push_back(fmt::format("column {} ({}) is text: its {} values are numbered in sorted order", c + 1,
                                     names_[c], ids.size()));
        for (size_t row : rows_) column.numbers.push_back(double(ids.at(table_.cell(row, c))));
      }
      if (!is_float(options_.dtype)) require_whole(c, column);
      for (int64_t i = 0; i < n; ++i) out.inputs.set(i * features + to, column.numbers[size_t(i)]);
      ++to;
    }
    read_targets(out);
    out.notes = std::move(notes_);
    return out;
  }

private:
  void read_header() {
    bool header = options_.header.value_or(false);
    if (!options_.header && table_.rows() > 1)
      for (size_t c = 0; c < table_.columns(); ++c) {
        if (number(table_.view(0, c))) {
          header = false;
          break;
        }
        header |= number(table_.view(1, c)).has_value();
      }
    for (size_t c = 0; c < table_.columns(); ++c)
      names_.push_back(header ? table_.cell(0, c) : fmt::format("c{}", c + 1));
    if (header) table_.drop_first_row();
  }

  size_t find_label() const {
    const std::string &label = options_.label;
    if (label.empty()) return table_.columns() - 1;
    if (auto at = std::find(names_.begin(), names_.end(), label); at != names_.end())
      return size_t(at - names_.begin());
    size_t position = 0;
    auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), position);
    if (error == std::errc() && end == label.data() + label.size() && position >= 1 && position <= table_.columns())
      return position - 1;
    throw CompileError(file_location(path_), fmt::format("no column {}; expected a number from 1 to {} or one of: {}",
                                                         quote_name(label), table_.columns(), fmt::join(names_, ", ")));
  }

  void choose_rows() {
    std::optional<std::pair<size_t, size_t>> first;
    for (size_t r = 0; r < table_.rows(); ++r) {
      bool missing = false;
      for (size_t c = 0; c < table_.columns() && !missing; ++c)
        if ((missing = is_missing(table_.view(r, c))) && !first) first = {r, c};
      if (!missing) rows_.push_back(r);
    }
    if (rows_.empty()) table_.fail(first->first, first->second, "every row has a missing field, such as this one");
    if (first)
      notes_.push_back(
          fmt::format("{} of {} rows with a missing field are left out", table_.rows() - rows_.size(), table_.rows()));
  }

  /// A column with numbers holds nothing else: a stray word in it is an error, not another kind of column.
  /// Unless `words` says that it may be text all the same.
  Column read_column(size_t c, bool words = false) const {
    Column out;
    std::optional<size_t> word;
    for (size_t r : rows_) {
      if (std::optional<double> v = number(table_.view(r, c)))
        out.numbers.push_back(*v);
      else if (!word)
        word = r;
    }
    if (!word) return out;
    if (!out.numbers.empty() && !words)
      table_.fail(*word, c,
                  fmt::format("{} is not a number, but others in column {} ({}) are", quote_name(table_.cell(*word, c)),
                              c + 1, names_[c]));
    return {.numbers = {}, .text = true};
  }

  void require_whole(size_t c, const Column &column) const {
    const auto [least, most] = range_of(options_.dtype);
    for (size_t i = 0; i < rows_.size(); ++i)
      if (double v = column.numbers[i]; v != std::floor(v) || v < least || v > most)
        table_.fail(rows_[i], c,
                    fmt::format("{} in column {} ({}) is not a whole number of {}",
                                quote_name(table_.cell(rows_[i], c)), c + 1, names_[c], name(options_.dtype)));
  }

  std::map<std::string, int64_t> kinds(size_t c) const {
    std::map<std::string, int64_t> ids;
    for (size_t r : rows_) ids.emplace(table_.cell(r, c), 0);
    int64_t next = 0;
    for (auto &[text, id] : ids) id = next++;
    return ids;
  }

  bool looks_like_classes(const std::vector<double> &values) const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    for (double v : sorted)
      if (v != std::floor(v)) return false;
    size_t kinds = size_t(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
    return kinds <= kMostNumericClasses && 2 * kinds <= values.size();
  }

  void read_targets(Dataset &out) {
    using Target = CsvOptions::Target;
    const int64_t n = int64_t(rows_.size());
    Column column = read_column(label_, options_.target == Target::classes);
    if (column.text && options_.target == Target::values)
      table_.fail(rows_[0], label_, fmt::format("{} is not a number", quote_name(table_.cell(rows_[0], label_))));
    if (!column.text && (options_.target == Target::values ||
                         (options_.target == Target::automatic && !looks_like_classes(column.numbers)))) {
      out.targets = Tensor(is_float(options_.dtype) ? options_.dtype : DType::f64, {n, 1});
      for (int64_t i = 0; i < n; ++i) out.targets.set(i, column.numbers[size_t(i)]);
      return;
    }
    out.targets = Tensor(DType::i64, {n});
    if (column.text) {
      std::map<std::string, int64_t> ids = kinds(label_);
      for (int64_t i = 0; i < n; ++i) out.targets.set_int(i, ids.at(table_.cell(rows_[size_t(i)], label_)));
      for (const auto &[text, id] : ids) out.class_names.push_back(text);
    } else {
      std::vector<double> sorted = column.numbers;
      std::sort(sorted.begin(), sorted.end());
      sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
      for (int64_t i = 0; i < n; ++i)
        out.targets.set_int(i,
                            std::lower_bound(sorted.begin(), sorted.end(), column.numbers[size_t(i)]) - sorted.begin());
      for (double v : sorted) out.class_names.push_back(fmt::format("{}", v));
    }
    out.classes = int(out.class_names.size());
  }

  std::string path_;
  const CsvOptions &options_;
  Table table_;
  std::vector<std::string> names_, notes_;
  size_t label_ = 0;
  std::vector<size_t> rows_;
};

} // namespace

Dataset read_csv(const std::string &path, const CsvOptions &options) { return Reader(path, options).read(); }

} // namespace trellis

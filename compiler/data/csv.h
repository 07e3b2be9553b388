// Tables of numbers as CSV: one row a sample, one column the target.
//
// Fields are separated by commas, or by semicolons if the first line has one outside quotes; quotes follow
// RFC 4180. The first row is a header if it holds no number and the second row does. Rows with a missing
// field (empty, ?, NA, NaN) are left out. A feature column without any number is text: its values are
// numbered in sorted order. What was left out or numbered stands in Dataset::notes. Errors name file, line
// and column.
#pragma once
#include "compiler/data/dataset.h"
#include <optional>
#include <string>

namespace trellis {

struct CsvOptions {
  /// `automatic`: classes if the column is text, or whole numbers of at most 100 kinds, each kind twice on
  /// average.
  enum class Target { automatic, classes, values };
  Target target = Target::automatic;
  std::string label = {};          ///< the target column's name, or number from 1; empty: the last one
  std::optional<bool> header = {}; ///< empty: seen from the contents
  char separator = '\0';           ///< likewise
  DType dtype = DType::f32;        ///< of the inputs and of values; one of integers takes whole numbers alone
};

/// Inputs [rows, columns - 1] and targets; classes are numbered in sorted order (numbers by value). Values beside inputs of
/// integers are f64.
Dataset read_csv(const std::string &path, const CsvOptions &options = {});

} // namespace trellis

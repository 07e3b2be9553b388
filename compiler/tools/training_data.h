// What --data names: MNIST's files, a table, or the built-in digits.
#pragma once
#include "compiler/data/dataset.h"
#include "compiler/data/mnist.h"
#include "ir/graph.h"
#include <optional>
#include <string>

namespace trellis {

struct DataOptions {
  std::string from;                     ///< a folder, FILE.csv or "digits"
  std::string label;                    ///< of a table: the target's column
  bool classes = true;                  ///< targets are class numbers, else values
  DType dtype = DType::f32;             ///< of a table's columns
  uint64_t seed = 0;                    ///< splits a table into training and test part
  std::vector<std::string> class_names; ///< that a table must have, whose numbers come from them; empty: any
};

struct TrainingData : TrainTest {
  bool table = false; ///< of columns, whose classes have names
};

/// Digits: 10,000 to train on and 2,000 others, always the same. A table: a fifth of the rows is the test
/// part.
TrainingData load_data(const DataOptions &o);

/// Scales a table's columns of fractions by `scaling`; where that is empty and `fit`, to mean 0 and deviation 1 over the
/// training part, which `scaling` is afterwards. What else --data names stays as it is, and `scaling` is empty.
void scale_columns(TrainingData &data, std::optional<Scaling> &scaling, bool fit);

/// Throws where `d` has a class that no cross-entropy of `g` with the target input `target` knows: its loss
/// would count as 0.
void require_known_classes(const Dataset &d, const Graph &g, Value target, const std::string &from);

} // namespace trellis

// Checkpoints of `train`: parameters, state and optimiser state as safetensors, with what a resumed run needs
// to go on as if it had never stopped. The bytes hold no time, path or number of threads.
#pragma once
#include "compiler/data/dataset.h"
#include "compiler/data/safetensors.h"
#include <optional>
#include <string>

namespace trellis {

struct Checkpoint {
  std::vector<NamedTensor> state; ///< of the training program
  std::string model, optimiser, loss, label;
  int64_t epochs = 0, batch = 0; ///< epochs: completed ones
  uint64_t seed = 0;
  std::optional<Scaling> scaling;       ///< of a table's columns
  std::vector<std::string> class_names; ///< of a table's target column, in the order of their numbers
};

void write_checkpoint(const std::string &path, const Checkpoint &c);
/// Throws a CompileError that names the file where it is no checkpoint of `train`.
Checkpoint read_checkpoint(const std::string &path);
/// What `train` wrote of the data, where it did.
struct DataNotes {
  std::string loss, label;
  uint64_t seed = 0;
  std::optional<Scaling> scaling;
  std::vector<std::string> class_names;
};
DataNotes data_notes(const SafeTensors &file, const std::string &path);

} // namespace trellis

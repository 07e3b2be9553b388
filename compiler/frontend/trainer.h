// The training loop: epochs over a data set, in batches, against functions that run one step. It knows
// nothing of how a step is run: compiled or interpreted.
#pragma once
#include "compiler/data/dataset.h"
#include "ir/type.h"
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <vector>

namespace trellis {

/// A loss as it is told and kept: no number has no sign, which would say nothing.
inline double told(double loss) { return std::isnan(loss) ? std::numeric_limits<double>::quiet_NaN() : loss; }
struct StepResult {
  double loss = 0;      ///< mean over the batch
  int64_t correct = -1; ///< right answers; -1: not a classification
};
/// Runs one step on a batch of the size that it was made for.
using Step = std::function<StepResult(const Tensor &inputs, const Tensor &targets)>;
/// Makes the step of a batch size: called once a size, when it is first met (the last batch may be shorter).
using StepFactory = std::function<Step(int64_t batch)>;

struct TrainerOptions {
  int64_t batch = 64;
  int epochs = 1;
  int first_epoch = 0; ///< where a resumed run goes on
  uint64_t seed = 0;   ///< of the order of the samples, with the number of the epoch
  bool shuffle = true;
  bool drop_last = false; ///< leave out the shorter batch at an epoch's end
};

/// Means over the samples seen.
struct Score {
  double loss = 0;
  double accuracy = -1; ///< -1: not a classification
  int64_t samples = 0;
};
struct TrainProgress {
  int epoch = 0;
  int64_t step = 0, steps = 0; ///< of the epoch, those done
  int64_t total_steps = 0;     ///< done in this run
  Score epoch_score;           ///< of the epoch so far
  double loss = 0;             ///< of the last step
};
struct EpochReport {
  int epoch = 0;
  Score train;
  Score test; ///< samples 0: there was no test set
  double seconds = 0;
};

class Trainer {
public:
  Trainer(TrainerOptions options, StepFactory train_step, StepFactory test_step = {});

  /// Called after every step; false stops training after it.
  std::function<bool(const TrainProgress &)> on_step;
  /// Called after every epoch (not after one that was stopped); false stops training.
  std::function<bool(const EpochReport &)> on_epoch;

  /// Throws a CompileError where the data has no samples or a loss is not finite.
  void run(const Dataset &train, const Dataset *test = nullptr);
  /// The score of the test step over a data set, in order.
  Score evaluate(const Dataset &data);
  /// The loss of every step of all runs.
  const std::vector<double> &losses() const { return losses_; }

private:
  struct Batches;
  const Step &step_for(std::map<int64_t, Step> &steps, const StepFactory &factory, int64_t batch);
  TrainerOptions options_;
  StepFactory make_train_, make_test_;
  std::map<int64_t, Step> train_steps_, test_steps_;
  std::vector<double> losses_;
};

/// `data` with each sample reshaped to what the model's input [N, ...] wants and converted to its dtype; the
/// samples must have as many elements. Throws a CompileError that shows both shapes.
Tensor shape_samples(const Tensor &data, const Type &input, std::string_view input_name);

} // namespace trellis

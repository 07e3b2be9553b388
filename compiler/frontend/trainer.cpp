#include "compiler/frontend/trainer.h"
#include "ir/diag.h"
#include <chrono>
#include <cmath>
#include <fmt/format.h>
#include <numeric>

namespace trellis {

static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Trainer::Trainer(TrainerOptions options, StepFactory train_step, StepFactory test_step)
    : options_(options), make_train_(std::move(train_step)), make_test_(std::move(test_step)) {
  if (options_.batch < 1) throw CompileError(fmt::format("the batch size is {}: give 1 or more", options_.batch));
  if (options_.epochs < 0)
    throw CompileError(fmt::format("the number of epochs is {}: give 0 or more", options_.epochs));
}

namespace {

// Adds a step's mean to the score; each sample has the same number of positions to be right at.
void add(Score &s, const StepResult &r, int64_t samples, int64_t positions) {
  double before = double(s.samples), now = double(samples), all = before + now;
  s.loss = (s.loss * before + r.loss * now) / all;
  if (r.correct >= 0)
    s.accuracy = (std::max(s.accuracy, 0.0) * before + double(r.correct) / double(positions) * now) / all;
  s.samples += samples;
}

Tensor batch_buffer(const Tensor &like, int64_t rows) {
  std::vector<int64_t> dims = like.dims();
  dims[0] = rows;
  return Tensor(like.dtype(), dims);
}

} // namespace

/// The rows of a batch, gathered into buffers that are reused while the size stays.
struct Trainer::Batches {
  const Dataset &data;
  Tensor inputs, targets;
  void take(std::span<const uint32_t> rows) {
    if (!inputs || inputs.dims()[0] != int64_t(rows.size()))
      inputs = batch_buffer(data.inputs, int64_t(rows.size())),
      targets = batch_buffer(data.targets, int64_t(rows.size()));
    take_rows(data.inputs, rows, inputs.data());
    take_rows(data.targets, rows, targets.data());
  }
};

const Step &Trainer::step_for(std::map<int64_t, Step> &steps, const StepFactory &factory, int64_t batch) {
  auto it = steps.find(batch);
  return it != steps.end() ? it->second : steps.emplace(batch, factory(batch)).first->second;
}

static void require_samples(const Dataset &d, const char *what) {
  if (d.size() < 1) throw CompileError(d.where, fmt::format("the {} set has no samples", what));
  if (d.targets.dims().empty() || d.targets.dims()[0] != d.size())
    throw CompileError(d.where,
                       fmt::format("the {} set has {} samples, but another number of targets", what, d.size()));
  if (d.size() > int64_t(UINT32_MAX))
    throw CompileError(d.where, fmt::format("the {} set has {} samples: at most 2^32 - 1 are handled", what, d.size()));
}

void Trainer::run(const Dataset &train, const Dataset *test) {
  require_samples(train, "training");
  int64_t n = train.size(), full = n / options_.batch, rest = n % options_.batch;
  int64_t steps = full + (rest && !options_.drop_last);
  if (steps == 0)
    throw CompileError(
        train.where,
        fmt::format("the training set has {} samples, fewer than a batch of {}, and the last batch is left out", n,
                    options_.batch));
  Batches batches{train, {}, {}};
  TrainProgress p{.steps = steps, .epoch_score = {}};
  for (int epoch = options_.first_epoch; epoch < options_.epochs; ++epoch) {
    double start = seconds();
    std::vector<uint32_t> order(static_cast<size_t>(n));
    if (options_.shuffle)
      order = permutation(uint32_t(n), options_.seed, uint64_t(epoch));
    else
      std::iota(order.begin(), order.end(), 0u);
    p.epoch = epoch, p.epoch_score = {};
    for (int64_t i = 0; i < steps; ++i) {
      int64_t first = i * options_.batch, count = std::min(options_.batch, n - first);
      batches.take(std::span(order).subspan(size_t(first), size_t(count)));
      StepResult r = step_for(train_steps_, make_train_, count)(batches.inputs, batches.targets);
      losses_.push_back(r.loss);
      add(p.epoch_score, r, count, batches.targets.size());
      p.step = i + 1, p.loss = r.loss, ++p.total_steps;
      if (!std::isfinite(r.loss))
        throw CompileError(fmt::format("the loss is {} at step {} of epoch {}: try a smaller learning rate", r.loss,
                                       i + 1, epoch + 1));
      if (on_step && !on_step(p)) return;
    }
    EpochReport report{epoch, p.epoch_score, {}, 0};
    if (test && make_test_) report.test = evaluate(*test);
    report.seconds = seconds() - start;
    if (on_epoch && !on_epoch(report)) return;
  }
}

Score Trainer::evaluate(const Dataset &data) {
  require_samples(data, "test");
  if (!make_test_) throw CompileError("there is no step to evaluate with");
  Batches batches{data, {}, {}};
  Score score;
  std::vector<uint32_t> rows;
  for (int64_t first = 0; first < data.size(); first += options_.batch) {
    rows.resize(size_t(std::min(options_.batch, data.size() - first)));
    std::iota(rows.begin(), rows.end(), uint32_t(first));
    batches.take(rows);
    StepResult r = step_for(test_steps_, make_test_, int64_t(rows.size()))(batches.inputs, batches.targets);
    add(score, r, int64_t(rows.size()), batches.targets.size());
  }
  return score;
}

Tensor shape_samples(const Tensor &data, const Type &input, std::string_view input_name) {
  auto fail = [&](const char *why) {
    throw CompileError(
        fmt::format("the data is {}, the model's input '{}' {}: {}", data.type().str(), input_name, input.str(), why));
  };
  if (input.rank() < 1 || data.rank() < 1) fail("both need a first axis of samples");
  std::vector<int64_t> dims{data.dims()[0]};
  int64_t want = 1, have = 1;
  for (size_t i = 1; i < input.shape.size(); ++i) {
    if (!input.shape[i].is_static()) fail("only the first dim may be open");
    dims.push_back(input.shape[i].value()), want *= dims.back();
  }
  for (size_t i = 1; i < data.dims().size(); ++i) have *= data.dims()[i];
  if (want != have) fail("a sample has another number of elements");
  Tensor shaped = data.reshaped(dims);
  if (data.dtype() == input.dtype) return shaped;
  if (is_float(data.dtype()) != is_float(input.dtype)) fail("one holds integers, the other fractions");
  Tensor out(input.dtype, dims);
  bool whole = !is_float(input.dtype);
  for (int64_t i = 0; i < out.size(); ++i) whole ? out.set_int(i, data.get_int(i)) : out.set(i, data.get(i));
  return out;
}

} // namespace trellis

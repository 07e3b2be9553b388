#include "compiler/frontend/trainer.h"
#include "ir/diag.h"
#include <cmath>
#include <gtest/gtest.h>

using namespace trellis;

// Ten samples whose input and target are their number.
static Dataset counting(int64_t n = 10) {
  Dataset d;
  d.inputs = Tensor(DType::f32, {n, 2});
  d.targets = Tensor(DType::i64, {n});
  for (int64_t i = 0; i < n; ++i)
    d.inputs.set(2 * i, double(i)), d.inputs.set(2 * i + 1, -double(i)), d.targets.set_int(i, i);
  d.classes = int(n);
  return d;
}

// Records what it is given; the loss is the mean of the targets, answers below 5 are right.
struct Recorder {
  std::vector<int64_t> made, seen, sizes;
  StepFactory factory() {
    return [this](int64_t batch) -> Step {
      made.push_back(batch);
      return [this, batch](const Tensor &x, const Tensor &t) {
        EXPECT_EQ(x.dims(), (std::vector<int64_t>{batch, 2}));
        EXPECT_EQ(t.dims(), (std::vector<int64_t>{batch}));
        StepResult r{0, 0};
        for (int64_t i = 0; i < batch; ++i) {
          EXPECT_EQ(x.get(2 * i + 1), -double(t.get_int(i)));
          seen.push_back(t.get_int(i));
          r.loss += double(t.get_int(i)) / double(batch);
          r.correct += t.get_int(i) < 5;
        }
        sizes.push_back(batch);
        return r;
      };
    };
  }
};

TEST(Trainer, EpochsSeeEverySampleOnceInAnOrderOfTheirOwn) {
  Recorder r;
  Trainer t({.batch = 4, .epochs = 2, .seed = 3}, r.factory());
  std::vector<EpochReport> reports;
  t.on_epoch = [&](const EpochReport &e) { return reports.push_back(e), true; };
  t.run(counting());
  EXPECT_EQ(r.made, (std::vector<int64_t>{4, 2})); // once a size
  EXPECT_EQ(r.sizes, (std::vector<int64_t>{4, 4, 2, 4, 4, 2}));
  ASSERT_EQ(r.seen.size(), 20u);
  std::vector<int64_t> first(r.seen.begin(), r.seen.begin() + 10), second(r.seen.begin() + 10, r.seen.end());
  EXPECT_NE(first, second);
  for (auto *epoch : {&first, &second}) {
    std::sort(epoch->begin(), epoch->end());
    for (int64_t i = 0; i < 10; ++i) EXPECT_EQ((*epoch)[size_t(i)], i);
  }
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_NEAR(reports[0].train.loss, 4.5, 1e-12); // weighted by the batches' sizes
  EXPECT_NEAR(reports[1].train.accuracy, 0.5, 1e-12);
  EXPECT_EQ(reports[1].train.samples, 10);
  EXPECT_EQ(reports[1].test.samples, 0);
  EXPECT_EQ(t.losses().size(), 6u);
}

TEST(Trainer, OrderDependsOnSeedAndEpochAlone) {
  auto order = [](TrainerOptions o) {
    Recorder r;
    Trainer(o, r.factory()).run(counting());
    return r.seen;
  };
  std::vector<int64_t> all = order({.batch = 4, .epochs = 3, .seed = 1});
  EXPECT_EQ(all, order({.batch = 4, .epochs = 3, .seed = 1}));
  EXPECT_NE(all, order({.batch = 4, .epochs = 3, .seed = 2}));
  // A resumed run goes on where the first stopped.
  std::vector<int64_t> rest = order({.batch = 4, .epochs = 3, .first_epoch = 1, .seed = 1});
  EXPECT_EQ(std::vector<int64_t>(all.begin() + 10, all.end()), rest);
  EXPECT_EQ(order({.batch = 10, .epochs = 1, .shuffle = false}), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Trainer, DropsTheLastBatchIfAsked) {
  Recorder r;
  Trainer t({.batch = 4, .drop_last = true}, r.factory());
  t.run(counting());
  EXPECT_EQ(r.sizes, (std::vector<int64_t>{4, 4}));
}

TEST(Trainer, EvaluatesInOrderAndStopsWhenTold) {
  Recorder r, test;
  Trainer t({.batch = 4, .epochs = 5}, r.factory(), test.factory());
  EpochReport last;
  t.on_epoch = [&](const EpochReport &e) { return last = e, e.epoch < 1; };
  Dataset held = counting(6);
  t.run(counting(), &held);
  EXPECT_EQ(last.epoch, 1);
  EXPECT_EQ(last.test.samples, 6);
  EXPECT_NEAR(last.test.loss, 2.5, 1e-12);
  EXPECT_NEAR(last.test.accuracy, 5.0 / 6, 1e-12);
  EXPECT_EQ(test.seen, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}));
  int steps = 0;
  Trainer short_run({.batch = 1, .epochs = 5}, r.factory());
  short_run.on_step = [&](const TrainProgress &p) {
    EXPECT_EQ(p.step, steps + 1);
    EXPECT_EQ(p.steps, 10);
    return ++steps < 3;
  };
  short_run.run(counting());
  EXPECT_EQ(steps, 3);
}

TEST(Trainer, Errors) {
  auto message = [](auto f) {
    try {
      f();
    } catch (const CompileError &e) { return std::string(e.what()); }
    return std::string();
  };
  Recorder r;
  EXPECT_NE(message([&] { Trainer({.batch = 0}, r.factory()); }).find("batch size is 0"), std::string::npos);
  EXPECT_NE(message([&] {
              Trainer({.batch = 20, .drop_last = true}, r.factory()).run(counting());
            }).find("fewer than a batch of 20"),
            std::string::npos);
  Dataset none = counting(0);
  none.where.file = std::make_shared<const std::string>("none.csv");
  EXPECT_EQ(message([&] { Trainer({}, r.factory()).run(none); }), "none.csv: error: the training set has no samples");
  StepFactory broken = [](int64_t) -> Step {
    return [](const Tensor &, const Tensor &) { return StepResult{std::nan(""), -1}; };
  };
  EXPECT_NE(
      message([&] { Trainer({.batch = 4}, broken).run(counting()); }).find("the loss is nan at step 1 of epoch 1"),
      std::string::npos);
}

TEST(Trainer, SamplesTakeTheShapeOfTheInput) {
  Tensor data(DType::u8, {5, 28, 28});
  data.set_int(784, 200);
  EXPECT_THROW(shape_samples(data, {DType::f32, {Dim::symbol("N"), 1, 28, 28}}, "x"), CompileError);
  Tensor floats(DType::f64, {5, 784});
  floats.set(784, 0.5);
  Tensor shaped = shape_samples(floats, {DType::f32, {Dim::symbol("N"), 1, 28, 28}}, "x");
  EXPECT_EQ(shaped.type().str(), "f32[5, 1, 28, 28]");
  EXPECT_EQ(shaped.get(784), 0.5);
  try {
    shape_samples(floats, {DType::f32, {Dim::symbol("N"), 10}}, "x");
    FAIL();
  } catch (const CompileError &e) {
    EXPECT_NE(std::string(e.what()).find(
                  "the data is f64[5, 784], the model's input 'x' f32[N, 10]: a sample has another number"),
              std::string::npos);
  }
}

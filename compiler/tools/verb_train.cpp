// trellis train: trains a model on data, with checkpoints.
#include "compiler/data/atomic_file.h"
#include "compiler/data/progress.h"
#include "compiler/data/svg.h"
#include "compiler/frontend/scaling.h"
#include "compiler/frontend/state.h"
#include "compiler/frontend/training_programs.h"
#include "compiler/tools/checkpoint.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/training_data.h"
#include "compiler/tools/verbs.h"
#include <cstdio>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

namespace trellis {

namespace {

struct TrainOptions {
  ModelOptions model;
  CodeArgs code;
  std::string data, output, resume, curve;
  // What a resumed run takes from its checkpoint where it is not given.
  std::optional<std::string> label, loss, optimiser;
  std::optional<int64_t> batch;
  std::optional<uint64_t> seed;
  int epochs = 4;
};

constexpr const char *kOptimiser = "adam";
constexpr int64_t kBatch = 64;

// The checkpoint that this run goes on from, with the options that override it; a new one where there is
// none.
Checkpoint beginning(const TrainOptions &o, const Graph &model) {
  Checkpoint c;
  if (!o.resume.empty())
    c = read_checkpoint(o.resume);
  else
    c.optimiser = kOptimiser, c.batch = kBatch;
  c.model = model.name;
  if (o.label) c.label = *o.label;
  if (o.loss) c.loss = *o.loss;
  if (o.optimiser) {
    if (!o.resume.empty())
      if (auto was = parse_optimiser(c.optimiser).kind; parse_optimiser(*o.optimiser).kind != was)
        throw CompileError(
            fmt::format("--optimizer {}: {} was trained by {}; a resumed run can change its options alone",
                        *o.optimiser, o.resume, name(was)));
    c.optimiser = *o.optimiser;
  }
  if (o.batch) c.batch = *o.batch;
  if (o.seed) c.seed = *o.seed;
  return c;
}

std::string result_line(const Score &s) {
  return s.accuracy >= 0 ? fmt::format("test accuracy {:.2f} %", s.accuracy * 100)
                         : fmt::format("test loss {:.6g}", s.loss);
}

// Samples and targets of the types that the program takes.
void fit(Dataset &d, const Graph &g, const DataInputs &in, const std::string &from) {
  d.inputs = shape_samples(d.inputs, in.sample.type(), name_of_input(in.sample));
  d.targets = shape_samples(d.targets, in.target.type(), name_of_input(in.target));
  require_known_classes(d, g, in.target, from);
}

DataInputs samples_and_targets(const Graph &g) {
  DataInputs in = data_inputs(g);
  if (!in.target)
    throw CompileError(in.sample.node->loc,
                       fmt::format("@{} has no input of targets: name a loss, e.g. --loss cross_entropy", g.name));
  return in;
}

// Every test sample counts, so a model of one batch size must divide them.
void require_whole(const Dataset &test, int64_t fixed_batch, const std::string &data) {
  if (fixed_batch && test.size() % fixed_batch)
    throw CompileError(
        fmt::format("--data {}: has {} test samples, no multiple of the model's batch of {}: give that dim a name",
                    data, test.size(), fixed_batch));
}

// The values that the model's file holds, then those that `init` says.
std::vector<NamedTensor> beginning_state(const Graph &step, const std::vector<NamedTensor> &own, uint64_t seed) {
  std::vector<NamedTensor> out;
  for (const NamedTensor &t : own)
    if (step.find_input(t.name)) out.push_back(t);
  for (NamedTensor &t : initial_state(step, seed, out)) out.push_back(std::move(t));
  return out;
}

// Nothing is written where the model or the data are.
void keep_sources(const TrainOptions &o) {
  std::error_code ignored; // of files that are not there
  for (const auto &[option, path] : {std::pair("-o", &o.output), std::pair("--curve", &o.curve)})
    for (const auto &[what, source] : {std::pair("model", &o.model.path()), std::pair("data", &o.data)})
      if (std::filesystem::equivalent(*path, *source, ignored))
        throw CompileError(fmt::format("{} {}: is the {} itself", option, *path, what));
  if (!o.curve.empty() && (o.curve == o.output || std::filesystem::equivalent(o.curve, o.output, ignored)))
    throw CompileError(fmt::format("--curve {}: is also where the checkpoint goes", o.curve));
}

void train(const TrainOptions &o) {
  TrainingPrograms::Options po;
  po.threads = o.code.threads(), po.compile = o.code.options(), po.dims = o.model.dims();
  keep_sources(o);
  for (const std::string &path : {o.output, o.curve})
    if (!path.empty()) AtomicFile writable(path); // said before the work, not after it
  Model m = o.model.open();
  Checkpoint at = beginning(o, *m.graph);
  if (o.epochs < 0) throw CompileError(fmt::format("--epochs {}: expected 0 or more", o.epochs));
  po.training.loss = at.loss, po.training.optimiser = parse_optimiser(at.optimiser);
  TrainingPrograms programs(m, po);
  if (programs.fixed_batch() && !o.batch) at.batch = programs.fixed_batch();
  if (programs.fixed_batch() && at.batch != programs.fixed_batch())
    throw CompileError(fmt::format("--batch {}: the model's batch is {}", at.batch, programs.fixed_batch()));
  if (at.batch < 1) throw CompileError(fmt::format("--batch {}: expected 1 or more", at.batch));

  std::unique_ptr<Graph> step = programs.training_graph(at.batch);
  DataInputs in = samples_and_targets(*step);
  programs.set_state(o.resume.empty() ? beginning_state(*step, m.weights, at.seed)
                                      : match_state(*step, at.state, o.resume));
  if (at.epochs > o.epochs)
    throw CompileError(fmt::format("--epochs {}: {} has {} epochs done already", o.epochs, o.resume, at.epochs));

  TrainingData data =
      load_data({o.data, at.label, is_integer(in.target.dtype()), in.sample.dtype(), at.seed, at.class_names});
  // Values that the model has already were made for data as they are.
  scale_columns(data, at.scaling, o.resume.empty() && m.weights.empty());
  at.class_names = data.table ? data.train.class_names : std::vector<std::string>();
  require_whole(data.test, programs.fixed_batch(), o.data);
  fit(data.train, *step, in, o.data), fit(data.test, *step, in, o.data);
  if (at.scaling)
    data.train.notes.push_back(
        fmt::format("{} columns are scaled, to mean 0 and deviation 1 of the training part", at.scaling->mean.size()));
  for (const std::string &note : data.train.notes) std::fprintf(stderr, "%s: %s\n", o.data.c_str(), note.c_str());

  bool short_batch = !programs.fixed_batch();
  int64_t steps = short_batch ? (data.train.size() + at.batch - 1) / at.batch : data.train.size() / at.batch;
  Progress shown({.epochs = o.epochs, .steps = steps, .done = at.epochs});
  Trainer trainer(
      {at.batch, o.epochs, int(at.epochs), at.seed, true, !short_batch},
      [&](int64_t batch) -> Step {
        return [&shown, batch, run = programs.training_step(batch)](const Tensor &inputs, const Tensor &targets) {
          StepResult r = run(inputs, targets);
          shown.step(batch, r.loss, r.correct < 0 ? std::nullopt : std::optional(r.correct));
          return r;
        };
      },
      [&](int64_t batch) { return programs.evaluation_step(batch); });
  LossCurve curve{.title = fmt::format("Training loss of {}", m.graph->name)};
  std::optional<Score> last;
  trainer.on_epoch = [&](const EpochReport &r) {
    last = r.test;
    shown.end_epoch(result_line(r.test));
    at.epochs = r.epoch + 1;
    if (!o.output.empty()) {
      at.state = programs.state();
      write_checkpoint(o.output, at);
    }
    curve.validation.emplace_back(double(trainer.losses().size()), r.test.loss);
    return true;
  };
  trainer.run(data.train, &data.test);
  if (!o.output.empty() && !last) { // nothing was left to do
    at.state = programs.state();
    write_checkpoint(o.output, at);
  }
  if (!o.curve.empty()) {
    curve.losses = trainer.losses();
    write_file(o.curve, loss_curve_svg(curve));
  }
  write_out(result_line(last ? *last : trainer.evaluate(data.test)) + "\n");
}

} // namespace

void add_train(Driver &d) {
  auto o = std::make_shared<TrainOptions>();
  CLI::App *app = d.app.add_subcommand("train", "Train a model and test it");
  o->model.declare(*app);
  app->add_option("--data", o->data, "a folder with MNIST's four files, a table FILE.csv, or the built-in digits")
      ->type_name("DIR|FILE.csv|digits")
      ->required();
  app->add_option("--label", o->label, "of a table: the target's column, by name or number; default: the last one")
      ->type_name("COLUMN");
  app->add_option("--loss", o->loss,
                  "cross_entropy, mse, bce or bce_with_logits of the first output; default: the model's own "
                  "scalar output")
      ->type_name("NAME");
  app->add_option("--optimizer", o->optimiser, "e.g. adam:lr=0.001 or sgd:lr=0.01,momentum=0.9 (default: adam)")
      ->type_name("SPEC");
  app->add_option("--batch", o->batch, "samples a step (default: 64)")->type_name("NUMBER");
  app->add_option("--epochs", o->epochs, "passes over the training data, those of a resumed run included")
      ->type_name("NUMBER")
      ->capture_default_str();
  app->add_option("--seed", o->seed, "of initial values and of the order of samples (default: 0)")
      ->type_name("NUMBER")
      ->check(CLI::Range(0.0, 0x1p64).description(""));
  app->add_option("-o,--output", o->output, "write a checkpoint after every epoch")
      ->type_name("FILE.safetensors")
      ->check(require_name());
  app->add_option("--resume", o->resume,
                  "go on from a checkpoint, with its options where none are given; --data is given again")
      ->type_name("FILE.safetensors");
  app->add_option("--curve", o->curve, "draw the loss curve")->type_name("FILE.svg");
  o->code.declare(*app);
  app->callback([&d, o] { d.chosen = [o] { train(*o); }; });
}

void add_eval(Driver &d) {
  struct Options {
    ModelOptions model;
    CodeArgs code;
    std::string weights, data;
    std::optional<std::string> label, loss;
    int64_t batch = kBatch;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand("eval", "Test a trained model on data");
  o->model.declare(*app);
  app->add_option("--weights", o->weights,
                  "a checkpoint of `trellis train`, or any file with the model's values; default: those that an ONNX "
                  "file holds")
      ->type_name("FILE.safetensors");
  app->add_option("--data", o->data, "as for `train`; its test part counts")
      ->type_name("DIR|FILE.csv|digits")
      ->required();
  app->add_option("--label", o->label, "as for `train`; default: as it was trained")->type_name("COLUMN");
  app->add_option("--loss", o->loss, "as for `train`; default: as it was trained")->type_name("NAME");
  app->add_option("--batch", o->batch, "samples at once")->type_name("NUMBER")->capture_default_str();
  o->code.declare(*app);
  app->callback([&d, o] {
    d.chosen = [o] {
      TrainingPrograms::Options po;
      po.threads = o->code.threads(), po.compile = o->code.options(), po.dims = o->model.dims();
      Model m = o->model.open();
      require_values(m, o->weights);
      SafeTensors file = o->weights.empty() ? SafeTensors{} : read_safetensors(o->weights);
      DataNotes notes = data_notes(file, o->weights);
      if (notes.scaling) m.bind = scale_samples(m.binder(), *notes.scaling, o->weights);
      po.training.loss = o->loss.value_or(notes.loss);
      TrainingPrograms programs(m, po);
      int64_t batch = programs.fixed_batch() ? programs.fixed_batch() : o->batch;
      if (batch < 1) throw CompileError(fmt::format("--batch {}: expected 1 or more", batch));
      std::unique_ptr<Graph> g = programs.evaluation_graph(batch);
      DataInputs in = samples_and_targets(*g);
      programs.set_state(o->weights.empty() ? beginning_state(*g, m.weights, 0) : weights_for(*g, file, o->weights));
      Dataset test = load_data({o->data, o->label.value_or(notes.label), is_integer(in.target.dtype()),
                                in.sample.dtype(), notes.seed, notes.class_names})
                         .test;
      require_whole(test, programs.fixed_batch(), o->data);
      fit(test, *g, in, o->data);
      Trainer trainer({batch, 1, 0, 0, false, false}, {}, [&](int64_t n) { return programs.evaluation_step(n); });
      Score s = trainer.evaluate(test);
      write_out(fmt::format("test loss {:.6f} over {} samples\n{}", s.loss, s.samples,
                            s.accuracy >= 0 ? result_line(s) + "\n" : ""));
    };
  });
}

} // namespace trellis

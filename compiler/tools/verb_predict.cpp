// trellis predict: what a trained model says about samples.
#include "compiler/frontend/scaling.h"
#include "compiler/frontend/state.h"
#include "compiler/tools/checkpoint.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/program_args.h"
#include "compiler/tools/tensor_args.h"
#include "compiler/tools/verbs.h"
#include "ir/literal.h"
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>

namespace trellis {

namespace {

/// What the numbers of an output's row are.
enum class Meaning { logits, probabilities, values };

using Names = std::vector<std::string>;

// Top class, by its name where that is known, and its probability.
std::string class_line(const Tensor &t, int64_t row, int64_t columns, Meaning meaning, const Names &names) {
  int64_t best = 0;
  auto at = [&](int64_t i) { return t.get(row * columns + i); };
  for (int64_t i = 1; i < columns; ++i)
    if (at(i) > at(best)) best = i;
  double p = at(best);
  if (meaning == Meaning::logits) {
    double sum = 0;
    for (int64_t i = 0; i < columns; ++i) sum += std::exp(at(i) - at(best));
    p = 1 / sum;
  }
  return fmt::format("{} {:.4f}\n", size_t(best) < names.size() ? names[size_t(best)] : std::to_string(best), p);
}

std::string lines(const Tensor &t, Meaning meaning, const Names &classes) {
  int64_t columns = t.rank() ? t.dims().back() : 1;
  std::string out;
  for (int64_t row = 0; columns > 0 && row < t.size() / columns; ++row) {
    if (meaning != Meaning::values) {
      out += class_line(t, row, columns, meaning, classes);
      continue;
    }
    for (int64_t i = 0; i < columns; ++i) out += (i ? " " : "") + format_element(t, row * columns + i);
    out += "\n";
  }
  return out;
}

// By the loss: its logits are the model's output, or what the model's own loss is made of.
Meaning meaning_of(const Graph &model, const Graph &inference, const std::string &loss) {
  Value y = inference.outputs[0].value;
  if (y.rank() < 2 || !is_float(y.dtype())) return Meaning::values;
  if (y.node->op == Op::softmax) return Meaning::probabilities;
  bool own = inference.outputs[0].name == "logits" && model.outputs.size() == 1 && model.outputs[0].value.rank() == 0;
  return loss == "cross_entropy" || own ? Meaning::logits : Meaning::values;
}

void predict(ModelOptions &options, const CodeArgs &code, const std::string &weights, const TensorArgs &tensors) {
  int threads = code.threads();
  std::map<std::string, Tensor> given = tensors.files();
  Model m = options.load(seen_by_import(options, tensors, given), Reading::trainable);
  require_values(m, weights);
  SafeTensors file = weights.empty() ? SafeTensors{} : read_safetensors(weights);
  DataNotes notes = data_notes(file, weights);
  if (!options.is_onnx()) resolve_dims(m.graph, options.dims(), tensors.types(*m.graph, given));
  tensors.add_literals(*m.graph, given);
  if (notes.scaling) m.graph = scale_samples(*m.graph, *notes.scaling, weights);
  std::unique_ptr<Graph> g = make_inference_graph(*m.graph);
  if (g->outputs.size() != 1)
    throw CompileError(g->location,
                       fmt::format("@{} has {} outputs: predict shows one; use `run`", g->name, g->outputs.size()));

  std::vector<NamedTensor> data;
  for (const auto &[name, t] : given) // but those that prediction does not need, such as the loss's target
    if (g->find_input(name) || !m.graph->find_input(name)) data.push_back({name, t});
  Session s(compile(*g, code.options()), threads);
  set_states(s, weights.empty() ? m.weights : weights_for(*m.graph, file, weights));
  std::vector<NamedTensor> out = s.run(std::span<const NamedTensor>(data));
  write_out(lines(out[0].tensor, meaning_of(*m.graph, *g, notes.loss), notes.class_names));
}

} // namespace

void add_predict(Driver &d) {
  struct Options {
    ModelOptions model;
    CodeArgs code;
    TensorArgs tensors;
    std::string weights;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand("predict", "Tell each sample's class and its probability, or its values");
  o->model.declare(*app);
  app->add_option("--weights", o->weights,
                  "a checkpoint of `trellis train`, or any file with the model's values; default: those that an ONNX "
                  "file holds")
      ->type_name("FILE.safetensors");
  o->tensors.declare_inputs(*app);
  o->code.declare(*app);
  app->callback([&d, o] { d.chosen = [o] { predict(o->model, o->code, o->weights, o->tensors); }; });
}

} // namespace trellis

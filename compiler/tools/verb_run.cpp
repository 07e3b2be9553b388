// trellis run: evaluates a model once.
#include "compiler/tools/model.h"
#include "compiler/tools/tensor_args.h"
#include "compiler/tools/verbs.h"
#include "ir/eval.h"
#include <memory>

namespace trellis {

void add_run(Driver &d) {
  struct Options {
    ModelOptions model;
    TensorArgs tensors;
    bool interpret = false;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand("run", "Evaluate a model once");
  o->model.declare(*app);
  o->tensors.declare(*app);
  app->add_flag("--interpret", o->interpret, "by the reference interpreter")->required();
  app->callback([&d, o] {
    d.chosen = [o] {
      Model m = o->model.load();
      std::map<std::string, Tensor> inputs = o->tensors.files();
      std::map<std::string, Type> types;
      for (const auto &[name, t] : inputs) types.emplace(name, t.type());
      resolve_dims(m.graph, o->model.dims(), types);
      o->tensors.add_literals(*m.graph, inputs);
      std::vector<Tensor> updates, outputs = evaluate(*m.graph, inputs, &updates);
      std::vector<NamedTensor> results;
      for (size_t i = 0; i < outputs.size(); ++i) results.push_back({m.graph->outputs[i].name, outputs[i]});
      for (size_t i = 0; i < updates.size(); ++i)
        results.push_back({m.graph->updates[i].state.node->attrs.word(Attr::name), updates[i]});
      o->tensors.write(results);
    };
  });
}

} // namespace trellis

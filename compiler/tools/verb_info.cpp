// trellis info: what a model is, at a glance.
#include "compiler/onnx/import.h"
#include "compiler/tools/model.h"
#include "compiler/tools/verbs.h"
#include <fmt/format.h>
#include <memory>

namespace trellis {

static std::string describe_model(const Graph &g) {
  std::string out = fmt::format("graph @{}\n", g.name);
  std::vector<std::string> dims = symbols(g);
  if (!dims.empty()) out += fmt::format("dims     {}\n", fmt::join(dims, ", "));
  int64_t elements = 0, bytes = 0;
  bool counted = true;
  for (std::string_view role : {"data", "param", "state"})
    for (Value v : g.inputs()) {
      if (v.node->attrs.get_or<std::string>(Attr::role, "data") != role) continue;
      std::string init = v.node->attrs.get_or<std::string>(Attr::init, "");
      out += fmt::format("{:<8} {} : {}{}\n", role == "data" ? "input" : role, v.node->attrs.word(Attr::name),
                         v.type().str(), init.empty() ? "" : fmt::format(" init({})", init));
      if (role != "param") continue;
      if (is_static(v.shape()))
        elements += v.type().size(), bytes += v.type().bytes();
      else
        counted = false;
    }
  for (const NamedValue &o : g.outputs)
    out += fmt::format("output   {} : {}\n", o.name, o.value.type().str());
  if (elements)
    out += fmt::format("trained  {} parameters in {} bytes{}\n", elements, bytes,
                       counted ? "" : ", and those of symbolic shape");
  std::map<std::string_view, int> count;
  int total = 0;
  for (const Node *n : g.reachable())
    if (n->op != Op::input) ++count[name(n->op)], ++total;
  out += fmt::format("nodes    {}", total);
  const char *comma = ": ";
  for (const auto &[op, k] : count) out += fmt::format("{}{} {}", comma, k, op), comma = ", ";
  return out + "\n";
}

// An ONNX file needs no binding to be told of; where all dims are bound its graph is made as well, and refused as it is.
static void describe_onnx(const ModelOptions &o) {
  onnx::File file = onnx::read_file(o.path());
  onnx::check_model(file);
  std::string text = onnx::describe(file);
  if (!o.dims().empty()) onnx::import_model(file, {{}, o.dims()});
  write_out(text);
}

void add_info(Driver &d) {
  auto o = std::make_shared<ModelOptions>();
  CLI::App *app = d.app.add_subcommand("info", "Tell a model's inputs, outputs, parameters and ops");
  o->declare(*app);
  app->callback([&d, o] {
    d.chosen = [o] {
      if (o->is_onnx()) return describe_onnx(*o);
      Model m = o->load();
      if (Bindings dims = o->dims(); !dims.empty()) resolve_dims(m.graph, dims);
      write_out(describe_model(*m.graph));
    };
  });
}

} // namespace trellis

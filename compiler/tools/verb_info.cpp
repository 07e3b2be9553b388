// trellis info: what a model is, at a glance.
#include "compiler/onnx/import.h"
#include "compiler/tools/code_args.h"
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
  for (const NamedValue &o : g.outputs) out += fmt::format("output   {} : {}\n", o.name, o.value.type().str());
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

// What a bound graph is compiled to: work and planned memory.
static std::string describe_program(const Graph &g, const CodeArgs &code) {
  Program p = lower_program(g, code.options());
  double flops = 0;
  int64_t states = 0, constants = 0;
  for (const ProgramCall &c : p.calls) flops += c.flops;
  for (const ProgramTensor &t : p.states) states += t.layout.size * size_of(t.type.dtype);
  for (const Tensor &t : p.constant_data) constants += t.bytes();
  return fmt::format("flops    {:.0f} of contractions\n"
                     "memory   {} bytes planned: arena {}, state {}, constants {}\n"
                     "program  {} calls of {} kernels\n",
                     flops, p.arena_bytes + states + constants, p.arena_bytes, states, constants, p.calls.size(),
                     p.kernels.size());
}

// An ONNX file needs no binding to be told of; where all dims are bound its program is told of as well. With --dim a
// graph that can not be made is refused.
static std::string describe_onnx(const ModelOptions &o, const CodeArgs &code) {
  onnx::File file = onnx::read_file(o.path());
  onnx::check_model(file);
  std::string text = onnx::describe(file);
  try {
    return text + describe_program(*o.load().graph, code);
  } catch (const CompileError &e) {
    if (!o.dims().empty()) throw;
    return text + fmt::format("program  not known: {}\n", e.diagnostics()[0].text);
  }
}

void add_info(Driver &d) {
  struct Options {
    ModelOptions model;
    CodeArgs code;
  };
  auto o = std::make_shared<Options>();
  CLI::App *app = d.app.add_subcommand(
      "info", "Tell a model's inputs, outputs, parameters and ops; where all dims are bound, its work and memory");
  o->model.declare(*app);
  o->model.declare_constants(*app);
  o->code.declare_target(*app);
  app->callback([&d, o] {
    d.chosen = [o] {
      if (o->model.is_onnx()) return write_out(describe_onnx(o->model, o->code));
      Model m = o->model.load();
      if (Bindings dims = o->model.dims(); !dims.empty()) resolve_dims(m.graph, dims);
      std::string text = describe_model(*m.graph);
      bool bound = true;
      for (const Node *n : m.graph->reachable())
        for (const Type &t : n->types) bound &= is_static(t.shape);
      if (bound) try {
          text += describe_program(*m.graph, o->code);
        } catch (const CompileError &e) { text += fmt::format("program  not known: {}\n", e.diagnostics()[0].text); }
      write_out(text);
    };
  });
}

} // namespace trellis

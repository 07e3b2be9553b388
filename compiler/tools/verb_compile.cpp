// trellis compile: a model as code, or as text of any stage on the way there.
#include "compiler/aot.h"
#include "compiler/data/atomic_file.h"
#include "compiler/loops/plan.h"
#include "compiler/onnx/export.h"
#include "compiler/tools/code_args.h"
#include "compiler/tools/model.h"
#include "compiler/tools/program_args.h"
#include "compiler/tools/stream_args.h"
#include "compiler/tools/verbs.h"
#include <filesystem>
#include <fmt/format.h>
#include <memory>

namespace trellis {

namespace {

struct CompileVerb {
  ModelOptions model;
  CodeArgs code;
  WeightArgs weights;
  ProgramArgs program;
  StreamArgs stream;
  std::string output, emit, header;
};

struct Form {
  const char *name, *extension, *doc;
};
constexpr Form kForms[] = {
    {"trl", ".trl", "the graph after the passes"},
    {"loops", ".loops", "fused groups and their kernels"},
    {"llvm", ".ll", "LLVM IR"},
    {"asm", ".s", "assembly"},
    {"obj", ".o", "an object file"},
    {"so", ".so", "a shared library"},
    {"onnx", ".onnx", "the graph as standard ONNX, with its values"},
};

// What --emit says, or else the extension of -o.
std::string form_of(const CompileVerb &o) {
  if (!o.emit.empty()) return o.emit;
  if (o.output.empty()) return "so";
  std::string known;
  for (const Form &f : kForms) {
    if (std::filesystem::path(o.output).extension() == f.extension) return f.name;
    known += (known.empty() ? "" : ", ") + std::string(f.extension);
  }
  throw CompileError(fmt::format("-o {}: the extension says no form ({}); give --emit", o.output, known));
}

std::string loops_text(const Graph &legal, const CompileOptions &options, const Target &target) {
  Fusion fusion = fuse(legal, options.fuse);
  Program p = plan_program(legal, fusion, target, options.fuse);
  std::string out = print(fusion, legal) + "\n";
  for (const Kernel &k : p.kernels) out += print(k) + "\n";
  bool control = false;
  for (const ProgramCall &c : p.calls) control |= c.kind != ProgramCall::Kind::kernel;
  if (control) out += print_calls(p) + "\n";
  int64_t states = 0, constants = 0;
  for (const ProgramTensor &t : p.states) states += t.layout.size * size_of(t.type.dtype);
  for (const Tensor &t : p.constant_data) constants += t.bytes();
  return out + fmt::format("plan: {} calls of {} kernels; arena {} bytes, state {} bytes, constants {} bytes\n",
                           p.calls.size(), p.kernels.size(), p.arena_bytes, states, constants);
}

void compile_model(CompileVerb &o) {
  CompileOptions options = o.code.options();
  Target target = make_target(options.target);
  std::string form = form_of(o);
  bool binary = form == "obj" || form == "so";
  if (!binary && !o.header.empty())
    throw CompileError(fmt::format("--header {}: only --emit=obj and --emit=so have one", o.header));
  Model m = o.model.load({}, o.program.reading());
  if (!o.model.is_onnx()) resolve_dims(m.graph, o.model.dims());
  o.weights.scale_samples(m.graph);
  o.program.apply(m.graph);
  o.stream.apply(m.graph);
  if (form == "onnx") {
    if (o.output.empty()) throw CompileError("--emit=onnx needs -o FILE.onnx");
    return onnx::write_model(o.output, *m.graph, o.weights.values(*m.graph, m.weights));
  }
  if (form == "trl") {
    m.graph = legal_graph(*m.graph, options);
    return save(m, o.output.empty() ? "-" : o.output);
  }
  if (!binary) {
    std::string text;
    if (form == "loops") {
      m.graph = legal_graph(*m.graph, options);
      text = loops_text(*m.graph, options, target);
    } else {
      text = program_text(lower_program(*m.graph, options), target,
                          form == "asm" ? CodeText::assembly : CodeText::optimized_llvm);
    }
    return o.output.empty() || o.output == "-" ? write_out(text) : write_file(o.output, text);
  }
  std::set<std::string> zero; // carried inputs, which begin so without being told
  for (const Carry &c : o.stream.carries()) zero.insert(c.input);
  std::vector<NamedTensor> state = o.weights.values(*m.graph, m.weights, zero);
  Program p = lower_program(*m.graph, options);
  AotOptions aot{options.threads, state};
  std::string path = o.output;
  if (path.empty()) path = m.graph->name + (form == "so" ? ".so" : ".o");
  std::error_code ignored;
  if (o.header == path || std::filesystem::equivalent(o.header, path, ignored))
    throw CompileError(fmt::format("--header {}: is also where the code goes", o.header));
  if (!o.header.empty()) AtomicFile writable(o.header); // said before the code is there without its header
  (form == "so" ? write_shared_library : write_object)(path, p, target, aot);
  if (!o.header.empty()) write_c_header(o.header, p, target, aot);
}

} // namespace

void add_compile(Driver &d) {
  auto o = std::make_shared<CompileVerb>();
  CLI::App *app = d.app.add_subcommand("compile", "Compile a model to a library, an object, or text of a stage");
  o->model.declare(*app);
  o->model.declare_constants(*app);
  std::vector<std::string> names;
  std::string doc = "what to write; default: as FILE's extension says, or so";
  for (const Form &f : kForms) {
    names.push_back(f.name);
    doc += fmt::format("\n{} ({}): {}", f.name, f.extension, f.doc);
  }
  app->add_option("-o,--output", o->output, "where it goes; default: NAME.so, NAME.o, and text to standard output")
      ->type_name("FILE")
      ->check(require_name());
  app->add_option("--emit", o->emit, doc)->type_name("FORM")->check(CLI::IsMember(names).description(""));
  app->add_option("--header", o->header, "also write the C header of the library or object")->type_name("FILE.h");
  o->weights.declare(*app);
  o->program.declare_inference(*app);
  o->program.declare(*app);
  o->stream.declare(*app);
  o->code.declare(*app);
  app->callback([&d, o] { d.chosen = [o] { compile_model(*o); }; });
}

} // namespace trellis

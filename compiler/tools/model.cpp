#include "compiler/tools/model.h"
#include "compiler/data/atomic_file.h"
#include "compiler/data/input.h"
#include "compiler/data/safetensors.h"
#include "compiler/onnx/export.h"
#include "compiler/tools/verbs.h"
#include "ir/literal.h"
#include "ir/print.h"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>

namespace trellis {

void ModelOptions::declare(CLI::App &app) {
  app.add_option("FILE", path_, "model: a .trl text, an .onnx file, or - for standard input")->required();
  app.add_option("--dim", dims_, "number of a symbolic dim, e.g. --dim N=8")
      ->type_name("NAME=NUMBER")
      ->allow_extra_args(false);
}

void ModelOptions::declare_constants(CLI::App &app) {
  constants_.declare_single(app, "--constant", "an input that is always this, and built in");
}

Bindings ModelOptions::dims() const {
  Bindings out;
  for (const std::string &d : dims_) {
    size_t eq = d.find('=');
    int64_t n = 0;
    if (eq == std::string::npos || eq == 0 || !parse_integer(std::string_view(d).substr(eq + 1), n))
      throw CompileError(fmt::format("--dim {}: expected NAME=NUMBER", quote_name(d)));
    if (!out.emplace(d.substr(0, eq), n).second)
      throw CompileError(fmt::format("--dim {}: this dim is given twice", quote_name(d)));
  }
  return out;
}

static std::string read_standard_input() {
  std::string text;
  char buffer[1 << 16];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  if (std::ferror(stdin)) throw CompileError(std::string("standard input: ") + std::strerror(errno));
  return text;
}

Model ModelOptions::load(const std::map<std::string, Tensor> &given, Reading reading) const {
  auto read = [&](const std::map<std::string, Tensor> &tensors) {
    if (path_ == "-") return parse_model(read_standard_input(), "<stdin>", "");
    return load_model(path_, {dims(), tensors, reading});
  };
  if (!constants_.any()) return read(given);
  std::map<std::string, Tensor> constants = constants_.files(),
                                all = seen_by_import(*this, constants_, constants, false, Literals::all);
  all.insert(given.begin(), given.end());
  Model m = read(all);
  constants_.add_literals(*m.graph, constants);
  m.graph = with_constants(*m.graph, constants);
  return m;
}

Model ModelOptions::open() const { return path_ == "-" ? load() : open_model(path_); }

std::map<std::string, Tensor> seen_by_import(const ModelOptions &o, const TensorArgs &tensors,
                                             std::map<std::string, Tensor> files, bool steps, Literals which) {
  if (o.is_onnx() && tensors.has_literals()) tensors.add_literals(*o.open().graph, files, steps, which);
  return files;
}

void resolve_dims(std::unique_ptr<Graph> &g, Bindings given, const std::map<std::string, Type> &inputs) {
  for (const auto &[name, n] : bindings_of(*g, inputs)) {
    auto [it, fresh] = given.emplace(name, n);
    if (!fresh && it->second != n)
      throw CompileError(fmt::format("dim '{}' is {} by --dim, but {} by the inputs", name, it->second, n));
  }
  std::vector<std::string> open = symbols(*g);
  if (given.empty() && open.empty()) return;
  bool known = std::all_of(given.begin(), given.end(), [&](const auto &d) {
    return std::find(open.begin(), open.end(), d.first) != open.end();
  }); // bind_dims says which one is not
  for (const std::string &name : open) {
    if (given.count(name) || !known) continue;
    Location where; // of the first input that has it
    for (Value v : g->inputs())
      for (Dim d : v.shape())
        if (!where.known() && d.is_symbol() && d.str() == name) where = v.node->loc;
    throw CompileError(where,
                       fmt::format("dim '{}' of graph @{} has no number: give --dim {}=8, or an input that has it",
                                   name, g->name, name));
  }
  g = bind_dims(*g, given);
}

void require_values(const Model &m, const std::string &weights) {
  if (weights.empty() && m.weights.empty())
    throw CompileError(fmt::format("{} holds no values: give them by --weights FILE.safetensors", m.path));
}

void save(const Model &m, const std::string &path) {
  if (path == "-") return write_out(text_of(m));
  if (is_onnx(path)) return onnx::write_model(path, *m.graph, m.weights);
  SafeTensors beside;
  std::filesystem::path file = std::filesystem::path(path).replace_extension(".safetensors");
  PrintOptions options;
  options.data = [&](const Tensor &t, std::string_view name) {
    beside.tensors.push_back({std::string(name), t});
    return DataRef{file.filename().string(), std::string(name)};
  };
  std::string text = print(*m.graph, options);
  if (!beside.tensors.empty()) write_safetensors(file.string(), beside);
  write_file(path, text);
}

} // namespace trellis

#include "compiler/frontend/model_file.h"
#include "compiler/data/input.h"
#include "compiler/data/safetensors.h"
#include "compiler/onnx/import.h"
#include "ir/print.h"
#include "ir/verify.h"
#include <filesystem>
#include <fmt/format.h>

namespace trellis {

Model parse_model(std::string_view text, const std::string &file, const std::string &folder) {
  Model m{.path = file};
  std::map<std::string, SafeTensors> files;
  ParseOptions options;
  options.data = [&](const DataRef &ref) {
    auto [it, fresh] = files.try_emplace(ref.file);
    if (fresh) it->second = read_safetensors((std::filesystem::path(folder) / ref.file).string());
    const Tensor *t = it->second.find(ref.name);
    if (!t) throw CompileError(fmt::format("'{}' holds no tensor {}", ref.file, quote_name(ref.name)));
    m.data.emplace(t->data(), ref);
    return *t;
  };
  m.graph = parse(text, file, options);
  verify(*m.graph);
  return m;
}

static Model load_text(const std::string &path) {
  return parse_model(InputFile(path).read_all(), path, std::filesystem::path(path).parent_path().string());
}

bool is_onnx(std::string_view path) { return path.ends_with(".onnx"); }

Model load_model(const std::string &path, const LoadOptions &options) {
  if (!is_onnx(path)) return load_text(path);
  onnx::Imported imported =
      onnx::import_model(onnx::read_file(path), {options.given, options.dims, options.reading == Reading::trainable});
  verify(*imported.graph);
  return {.path = path,
          .graph = std::move(imported.graph),
          .weights = std::move(imported.weights),
          .counted = std::move(imported.counted)};
}

Model open_model(const std::string &path) {
  if (!is_onnx(path)) return load_text(path);
  auto file = std::make_shared<const onnx::File>(onnx::read_file(path));
  onnx::Interface interface = onnx::interface_of(*file);
  Model m{.path = path, .graph = std::move(interface.inputs), .weights = std::move(interface.weights)};
  m.bind = [file](const Bindings &dims, Reading reading) {
    std::unique_ptr<Graph> g = onnx::import_model(*file, {{}, dims, reading == Reading::trainable}).graph;
    verify(*g);
    return g;
  };
  for (onnx::Declared &o : interface.outputs) m.outputs.emplace_back(std::move(o.name), std::move(o.type));
  return m;
}

Binder Model::binder() const {
  if (bind) return bind;
  return [g = graph.get()](const Bindings &dims, Reading) { return bind_dims(*g, dims); };
}

std::string text_of(const Model &m) {
  if (m.bind) return "";
  PrintOptions options;
  options.data = [&](const Tensor &t, std::string_view) -> std::optional<DataRef> {
    auto it = m.data.find(t.data());
    return it == m.data.end() ? std::nullopt : std::optional(it->second);
  };
  return print(*m.graph, options);
}

} // namespace trellis

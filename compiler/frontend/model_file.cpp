#include "compiler/frontend/model_file.h"
#include "compiler/data/input.h"
#include "compiler/data/safetensors.h"
#include "ir/print.h"
#include "ir/verify.h"
#include <filesystem>
#include <fmt/format.h>

namespace trellis {

Model parse_model(std::string_view text, const std::string &file, const std::string &folder) {
  Model m{file, nullptr, {}, {}};
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

Model load_model(const std::string &path) {
  return parse_model(InputFile(path).read_all(), path, std::filesystem::path(path).parent_path().string());
}

std::string text_of(const Model &m) {
  PrintOptions options;
  options.data = [&](const Tensor &t, std::string_view) -> std::optional<DataRef> {
    auto it = m.data.find(t.data());
    return it == m.data.end() ? std::nullopt : std::optional(it->second);
  };
  return print(*m.graph, options);
}

} // namespace trellis

#include "compiler/onnx/test_data.h"
#include "ir/literal.h"
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <map>

namespace trellis::onnx {

namespace fs = std::filesystem;

// "input_3.pb" begins with `kind` and ends with its number.
static std::optional<int64_t> number_of(const std::string &file, std::string_view kind) {
  int64_t n = -1;
  std::string_view s = file;
  if (!s.starts_with(kind) || !s.ends_with(".pb")) return {};
  s.remove_prefix(kind.size()), s.remove_suffix(3);
  return parse_integer(s, n) && n >= 0 ? std::optional(n) : std::nullopt;
}

static std::map<int64_t, std::string> files_of(const std::string &folder, std::string_view kind) {
  std::map<int64_t, std::string> out;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (auto n = number_of(it->path().filename().string(), kind)) out[*n] = it->path().string();
  if (error) throw CompileError(file_location(folder), fmt::format("can not be read: {}", error.message()));
  return out;
}

std::vector<std::string> find_test_data(const std::string &folder) {
  if (!files_of(folder.empty() ? "." : folder, "output_").empty()) return {folder};
  std::map<std::pair<size_t, std::string>, std::string> sets; // by length first: 2 before 10
  std::error_code error;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (name.starts_with("test_data_set_") && it->is_directory(error)) sets[{name.size(), name}] = it->path().string();
  }
  std::vector<std::string> out;
  for (auto &[key, path] : sets) out.push_back(path);
  return out;
}

static NamedTensor read_tensor(const std::string &path) {
  Location where = file_location(path);
  InputFile in(path);
  if (in.size() > uint64_t(std::numeric_limits<int>::max())) throw CompileError(where, "larger than 2 GiB");
  std::shared_ptr<void> bytes = in.map();
  auto model = std::make_shared<ModelProto>(); // keeps the elements
  TensorProto *t = model->mutable_graph()->add_initializer();
  if (in.size() && !t->ParseFromArray(bytes.get(), int(in.size())))
    throw CompileError(where, "holds no tensor: its message is cut off, malformed or of another kind");
  File file{path, fs::path(path).parent_path().string(), model};
  return {t->name(), tensor_of(file, *t, where)};
}

template <class List>
static std::vector<NamedTensor> named(const std::string &folder, std::string_view kind, const List &declared) {
  std::vector<NamedTensor> out;
  for (const auto &[number, path] : files_of(folder, kind)) {
    NamedTensor t = read_tensor(path);
    if (std::find(declared.begin(), declared.end(), t.name) == declared.end()) {
      if (size_t(number) >= declared.size())
        throw CompileError(file_location(path), fmt::format("belongs to none of the model's {}", declared.size()));
      t.name = declared[size_t(number)];
    }
    if (find(out, t.name)) throw CompileError(file_location(path), fmt::format("gives '{}' again", t.name));
    out.push_back(std::move(t));
  }
  return out;
}

TestData read_test_data(const File &model, const std::string &folder) {
  const GraphProto &g = model.model->graph();
  std::vector<std::string> inputs, outputs;
  for (const ValueInfoProto &v : g.input()) { // old files list initialisers among the inputs
    bool initialised = std::any_of(g.initializer().begin(), g.initializer().end(),
                                   [&](const TensorProto &t) { return t.name() == v.name(); });
    if (!initialised || model.model->ir_version() >= 4) inputs.push_back(v.name());
  }
  for (const ValueInfoProto &v : g.output()) outputs.push_back(v.name());
  return {folder, named(folder, "input_", inputs), named(folder, "output_", outputs)};
}

} // namespace trellis::onnx

#include "compiler/tools/tensor_args.h"
#include "compiler/data/npy.h"
#include "compiler/data/npz.h"
#include "compiler/tools/verbs.h"
#include "ir/literal.h"
#include "ir/nearest.h"
#include <algorithm>
#include <fmt/format.h>
#include <optional>

namespace trellis {

void TensorArgs::declare_single(CLI::App &app, const char *option, const std::string &doc) {
  single_ = option;
  app.add_option(option, input_, doc + ": NAME=FILE.npy, or its elements, NAME='[1, 2]'")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
}

void TensorArgs::declare_inputs(CLI::App &app) {
  declare_single(app, "--input", "an input");
  app.add_option("--inputs", inputs_, "an archive that holds inputs under their names")
      ->type_name("FILE.npz")
      ->allow_extra_args(false);
}

void TensorArgs::declare(CLI::App &app) {
  declare_inputs(app);
  app.add_option("--output", output_, "write an output: NAME=FILE.npy")
      ->type_name("NAME=FILE")
      ->allow_extra_args(false);
  app.add_option("--outputs", outputs_,
                 "write all outputs to an archive (FILE.npz), or choose what is shown: names of any values")
      ->type_name("FILE.npz|NAME,...")
      ->allow_extra_args(false);
}

static bool is_archive(const std::string &text) { return text.ends_with(".npz"); }

std::vector<std::string> TensorArgs::shown() const {
  std::vector<std::string> names;
  for (const std::string &text : outputs_) {
    if (is_archive(text)) continue;
    for (size_t from = 0; from <= text.size();) {
      size_t to = std::min(text.find(',', from), text.size());
      names.push_back(text.substr(from, to - from));
      from = to + 1;
    }
  }
  return names;
}

// NAME=REST.
static std::pair<std::string, std::string> split(const char *option, const std::string &text) {
  size_t eq = text.find('=');
  if (eq == std::string::npos || eq == 0) throw CompileError(fmt::format("{} {}: expected NAME=...", option, text));
  return {text.substr(0, eq), text.substr(eq + 1)};
}

std::vector<std::string> TensorArgs::written() const {
  std::vector<std::string> names;
  for (const std::string &text : output_) names.push_back(split("--output", text).first);
  return names;
}

// A list, or one element; file names do not begin so.
static bool is_literal(std::string_view value) {
  double number = 0;
  return value.starts_with("[") || value == "true" || value == "false" || value == "inf" || value == "-inf" ||
         value == "nan" || value.starts_with("nan(") || parse_real(value, number);
}

static void add(std::map<std::string, Tensor> &to, const std::string &name, Tensor t) {
  if (!to.emplace(name, std::move(t)).second) throw CompileError(fmt::format("input '{}' is given twice", name));
}

std::map<std::string, Tensor> TensorArgs::files() const {
  std::map<std::string, Tensor> out;
  for (const std::string &path : inputs_)
    for (NamedTensor &t : read_npz(path)) add(out, t.name, std::move(t.tensor));
  for (const std::string &text : input_)
    if (auto [name, value] = split(single_, text); !is_literal(value)) add(out, name, read_npy(value));
  return out;
}

// Extents of a list like [[1, 2], [3, 4]] by its first elements; of another depth than `rank`: nothing.
static std::optional<Shape> nesting(std::string_view text, int rank) {
  std::vector<int64_t> extents;
  std::vector<bool> counted; // the first list of this depth is complete
  int depth = 0;
  bool element = false; // inside a number
  for (char c : text) {
    if (c == '[') {
      if (++depth > int(extents.size())) extents.push_back(0), counted.push_back(false);
      if (depth > 1 && !counted[size_t(depth) - 2]) ++extents[size_t(depth) - 2];
    } else if (c == ']') {
      if (depth == 0) return {};
      counted[size_t(--depth)] = true;
    }
    bool part = c != '[' && c != ']' && c != ',' && c != ' ' && c != '\n' && c != '\t';
    if (part && !element && depth > 0 && !counted[size_t(depth) - 1]) ++extents[size_t(depth) - 1];
    element = part;
  }
  if (int(extents.size()) != rank) return {};
  return shape_of(extents);
}

std::map<std::string, Type> TensorArgs::types(const Graph &g, const std::map<std::string, Tensor> &files,
                                              bool steps) const {
  std::map<std::string, Type> out;
  for (const auto &[name, t] : files) out.emplace(name, t.type());
  for (const std::string &text : input_) {
    auto [name, value] = split(single_, text);
    Value v = g.find_input(name);
    if (!v || !is_literal(value) || is_static(v.shape())) continue;
    if (std::optional<Shape> shape = nesting(value, v.rank())) out.emplace(name, Type{v.dtype(), *shape});
    if (std::optional<Shape> shape = steps ? nesting(value, v.rank() + 1) : std::nullopt)
      out.emplace(name, Type{v.dtype(), *shape});
  }
  return out;
}

// The elements of a list like [1, [2, 3]]: inner brackets group for the reader alone.
static Tensor literal(const std::string &option, std::string_view text, const Type &type) {
  std::vector<std::string_view> elements;
  int depth = 0;
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    depth += (c == '[') - (c == ']');
    if (depth < 0) throw CompileError(fmt::format("{}: a ']' without its '['", option));
    if (c == '[' || c == ']' || c == ',' || c == ' ' || c == '\n' || c == '\t') {
      ++i;
      continue;
    }
    size_t end = std::min(text.find_first_of("[], \n\t", i), text.size());
    elements.push_back(text.substr(i, end - i));
    i = end;
  }
  if (depth) throw CompileError(fmt::format("{}: a '[' without its ']'", option));
  if (int64_t(elements.size()) != type.size())
    throw CompileError(
        fmt::format("{}: {} has {} elements, but {} are given", option, type.str(), type.size(), elements.size()));
  Tensor t(type.dtype, dims_of(type.shape));
  for (size_t i = 0; i < elements.size(); ++i)
    if (std::string problem = set_element(t, int64_t(i), elements[i]); !problem.empty())
      throw CompileError(fmt::format("{}: {}", option, problem));
  return t;
}

bool TensorArgs::has_literals() const {
  return std::any_of(input_.begin(), input_.end(),
                     [&](const std::string &text) { return is_literal(split(single_, text).second); });
}

void TensorArgs::add_literals(const Graph &g, std::map<std::string, Tensor> &to, bool steps, Literals which) const {
  for (const std::string &text : input_) {
    auto [name, value] = split(single_, text);
    if (!is_literal(value)) continue;
    Value v = g.find_input(name);
    if (!v && which == Literals::known) continue;
    if (!v) {
      std::vector<std::string_view> names;
      for (Value i : g.inputs()) names.push_back(i.node->attrs.word(Attr::name));
      throw CompileError(
          fmt::format("{} {}: graph @{} has no input '{}'{}", single_, text, g.name, name, did_you_mean(name, names)));
    }
    Type type = v.type();
    std::optional<Shape> one = nesting(value, v.rank()), all = steps ? nesting(value, v.rank() + 1) : std::nullopt;
    if (all) {
      type.shape.insert(type.shape.begin(), (*all)[0]);
      one = all;
    }
    if (!is_static(type.shape)) {
      if (!one) throw CompileError(fmt::format("{} {}: expected brackets for {}", single_, name, type.str()));
      type.shape = *one;
    }
    add(to, name, literal(fmt::format("{} {}", single_, name), value, type));
  }
}

void TensorArgs::write(const std::vector<NamedTensor> &results) const {
  for (const std::string &text : output_) {
    auto [name, path] = split("--output", text);
    const Tensor *t = find(results, name);
    if (!t) {
      std::vector<std::string_view> names;
      for (const NamedTensor &r : results) names.push_back(r.name);
      throw CompileError(fmt::format("--output {}: there is no output '{}'{}", text, name, did_you_mean(name, names)));
    }
    write_npy(path, *t);
  }
  bool files = !output_.empty();
  for (const std::string &path : outputs_)
    if (is_archive(path)) write_npz(path, results), files = true;
  if (files) return;
  std::string out;
  for (const NamedTensor &r : results) {
    const Tensor &t = r.tensor;
    out += fmt::format("{} : {} {}", r.name, t.type().str(), t.rank() ? "[" : "");
    for (int64_t i = 0; i < t.size(); ++i) out += (i ? ", " : "") + format_element(t, i);
    out += t.rank() ? "]\n" : "\n";
  }
  write_out(out);
}

} // namespace trellis

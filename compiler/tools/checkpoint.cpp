#include "compiler/tools/checkpoint.h"
#include "compiler/data/input.h"
#include "compiler/frontend/optimiser.h"
#include "compiler/frontend/scaling.h"
#include <charconv>
#include <fmt/format.h>

namespace trellis {

namespace {

/// Metadata of one file by key.
struct Notes {
  const SafeTensors &file;
  const std::string &path;

  std::string text(const char *key) const {
    const std::string *found = file.find_metadata(key);
    return found ? *found : "";
  }
  uint64_t number(const char *key) const {
    std::string digits = text(key);
    uint64_t n = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
      throw CompileError(file_location(path),
                         fmt::format("is no checkpoint of `trellis train`: its metadata has {} {}, expected a number",
                                     key, quote_name(digits)));
    return n;
  }
};

} // namespace

void write_checkpoint(const std::string &path, const Checkpoint &c) {
  SafeTensors file;
  file.tensors = c.state;
  file.metadata = {{"model", c.model},
                   {"optimizer", c.optimiser},
                   {"loss", c.loss},
                   {"epochs", std::to_string(c.epochs)},
                   {"batch", std::to_string(c.batch)},
                   {"seed", std::to_string(c.seed)}};
  if (!c.label.empty()) file.metadata.emplace_back("label", c.label);
  for (size_t i = 0; i < c.class_names.size(); ++i)
    file.metadata.emplace_back(fmt::format("class.{}", i), c.class_names[i]);
  if (c.scaling) note_scaling(file, *c.scaling);
  write_safetensors(path, file);
}

DataNotes data_notes(const SafeTensors &file, const std::string &path) {
  Notes notes{file, path};
  DataNotes out{notes.text("loss"), notes.text("label"), file.find_metadata("seed") ? notes.number("seed") : 0, {}, {}};
  while (const std::string *s = file.find_metadata(fmt::format("class.{}", out.class_names.size())))
    out.class_names.push_back(*s);
  out.scaling = scaling_of(file, path);
  return out;
}

Checkpoint read_checkpoint(const std::string &path) {
  SafeTensors file = read_safetensors(path);
  Notes notes{file, path};
  DataNotes data = data_notes(file, path);
  Checkpoint c;
  c.epochs = int64_t(notes.number("epochs")), c.batch = int64_t(notes.number("batch")), c.seed = notes.number("seed");
  c.model = notes.text("model"), c.optimiser = notes.text("optimizer"), c.loss = data.loss, c.label = data.label;
  try {
    parse_optimiser(c.optimiser);
  } catch (const CompileError &e) {
    throw CompileError(file_location(path), fmt::format("metadata optimizer: {}", e.diagnostics()[0].text));
  }
  c.scaling = data.scaling, c.class_names = data.class_names;
  c.state = std::move(file.tensors);
  return c;
}

} // namespace trellis

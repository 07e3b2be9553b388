#include "compiler/tools/stream_args.h"
#include <cstring>
#include <fmt/format.h>

namespace trellis {

void StreamArgs::declare(CLI::App &app) {
  app.add_option("--carry", carries_,
                 "an output that is an input of the next call, zero at the first (or as --input says)")
      ->type_name("OUTPUT=INPUT")
      ->allow_extra_args(false);
}

std::vector<Carry> StreamArgs::carries() const {
  std::vector<Carry> out;
  for (const std::string &text : carries_) {
    size_t eq = text.find('=');
    if (eq == std::string::npos || eq == 0 || eq + 1 == text.size())
      throw CompileError(fmt::format("--carry {}: expected OUTPUT=INPUT", text));
    out.push_back({text.substr(0, eq), text.substr(eq + 1)});
  }
  return out;
}

void StreamArgs::apply(std::unique_ptr<Graph> &g) const {
  if (any()) g = carry(*g, carries());
}

Sequence split_steps(const Graph &g, std::map<std::string, Tensor> given) {
  Sequence s;
  std::string first;
  for (auto &[name, t] : given) {
    Value v = g.find_input(name);
    if (!v || t.rank() != v.rank() + 1) {
      s.fixed.emplace(name, std::move(t));
      continue;
    }
    if (!first.empty() && t.dims()[0] != s.steps)
      throw CompileError(fmt::format("input '{}' has {} steps, but '{}' has {}", name, t.dims()[0], first, s.steps));
    first = name, s.steps = t.dims()[0];
    s.stepped.emplace(name, std::move(t));
  }
  if (s.steps == 0) throw CompileError(fmt::format("input '{}' has no steps", first));
  return s;
}

// Step `i` of a sequence, in its memory.
static Tensor slice(const Tensor &t, int64_t i) {
  std::vector<int64_t> dims(t.dims().begin() + 1, t.dims().end());
  auto whole = std::make_shared<Tensor>(t);
  int64_t bytes = t.bytes() / t.dims()[0];
  return Tensor(t.dtype(), std::move(dims), whole, whole->data() + i * bytes);
}

std::vector<NamedTensor>
run_steps(const Sequence &s, const std::function<std::vector<NamedTensor>(const std::map<std::string, Tensor> &)> &step,
          const std::function<bool(const std::string &)> &last) {
  std::vector<NamedTensor> out;
  for (int64_t i = 0; i < s.steps; ++i) {
    std::map<std::string, Tensor> inputs = s.fixed;
    for (const auto &[name, t] : s.stepped) inputs.emplace(name, slice(t, i));
    std::vector<NamedTensor> results = step(inputs);
    if (s.single()) return results;
    for (size_t k = 0; k < results.size(); ++k) {
      NamedTensor &r = results[k];
      if (i == 0) {
        std::vector<int64_t> dims = r.tensor.dims();
        dims.insert(dims.begin(), s.steps);
        out.push_back({r.name, last(r.name) ? Tensor() : Tensor(r.tensor.dtype(), dims)});
      }
      if (last(r.name))
        out[k].tensor = r.tensor;
      else if (r.tensor.bytes() > 0)
        std::memcpy(out[k].tensor.data() + i * r.tensor.bytes(), r.tensor.data(), size_t(r.tensor.bytes()));
    }
  }
  return out;
}

} // namespace trellis

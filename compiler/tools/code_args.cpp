#include "compiler/tools/code_args.h"
#include "compiler/frontend/init.h"
#include "compiler/frontend/scaling.h"
#include <fmt/format.h>
#include <thread>

namespace trellis {

void CodeArgs::declare_target(CLI::App &app) {
  app.add_option("--target", target_, "machine: host, x86-64, x86-64-v3, x86-64-v4 or aarch64")
      ->type_name("NAME")
      ->capture_default_str();
}

void CodeArgs::declare_threads(CLI::App &app) {
  app.add_option("--threads", threads_, "threads that run it; results do not depend on them")
      ->type_name("NUMBER")
      ->capture_default_str();
}

void CodeArgs::declare(CLI::App &app) {
  declare_threads(app);
  declare_target(app);
}

int CodeArgs::threads() const {
  if (threads_ < 1 || threads_ > TRELLIS_MAX_THREADS)
    throw CompileError(fmt::format("--threads {}: expected 1 to {}", threads_, TRELLIS_MAX_THREADS));
  return threads_;
}

CompileOptions CodeArgs::options() const {
  CompileOptions o;
  // Compiling uses what there is: code does not depend on it.
  o.target = target_, o.threads = std::max(threads(), int(std::thread::hardware_concurrency()));
  return o;
}

void WeightArgs::declare(CLI::App &app) {
  app.add_option("--weights", file_, "values of parameters and state, e.g. a checkpoint of `trellis train`")
      ->type_name("FILE.safetensors");
  app.add_option("--seed", seed_, "of the initial values, where there is no file")
      ->type_name("NUMBER")
      ->check(CLI::Range(0.0, 0x1p64).description(""))
      ->capture_default_str();
}

const SafeTensors &WeightArgs::read() {
  if (!values_) values_ = read_safetensors(file_);
  return *values_;
}

void WeightArgs::scale_samples(std::unique_ptr<Graph> &g) {
  if (file_.empty()) return;
  if (std::optional<Scaling> s = scaling_of(read(), file_)) g = trellis::scale_samples(*g, *s, file_);
}

std::vector<NamedTensor> WeightArgs::values(const Graph &g, std::span<const NamedTensor> own,
                                            const std::set<std::string> &given) {
  if (!file_.empty()) return weights_for(g, read(), file_);
  std::vector<NamedTensor> out;
  for (Value v : g.inputs()) {
    std::string name(name_of_input(v));
    if (role_of(v) == "data" || given.count(name)) continue;
    if (const Tensor *t = find(own, name)) {
      out.push_back({name, *t});
      continue;
    }
    std::string init = v.node->attrs.get_or<std::string>(Attr::init, "");
    if (init.empty())
      throw CompileError(
          v.node->loc,
          fmt::format("'{}' has no initialiser: give its values by --weights FILE or --input {}=FILE.npy", name, name));
    out.push_back({name, initial_value(init, v.type(), name, seed_, v.node->loc)});
  }
  return out;
}

} // namespace trellis

// Options of verbs that run compiled code: the machine, threads, and the values of parameters.
#pragma once
#include "compiler/compile.h"
#include "compiler/frontend/state.h"
#include <CLI/CLI.hpp>
#include <optional>
#include <set>
#include <string>

namespace trellis {

/// --threads and --target.
class CodeArgs {
public:
  void declare(CLI::App &app);
  /// One of the two alone.
  void declare_threads(CLI::App &app);
  void declare_target(CLI::App &app);
  /// 1 to TRELLIS_MAX_THREADS; a CompileError otherwise.
  int threads() const;
  CompileOptions options() const;

private:
  int threads_ = 1;
  std::string target_ = "host";
};

/// --weights and --seed: what parameters and state begin with.
class WeightArgs {
public:
  void declare(CLI::App &app);
  /// Makes `g`, whose dims are bound and whose inputs are the model's own, take samples as they are where the file says that they
  /// were scaled.
  void scale_samples(std::unique_ptr<Graph> &g);
  /// From the file, or from `own` (what the model itself holds), or from the initialisers. `given`: names that get their
  /// values elsewhere.
  std::vector<NamedTensor> values(const Graph &g, std::span<const NamedTensor> own,
                                  const std::set<std::string> &given = {});

private:
  const SafeTensors &read();

  std::string file_;
  std::optional<SafeTensors> values_; ///< of the file, once it was read
  uint64_t seed_ = 0;
};

} // namespace trellis

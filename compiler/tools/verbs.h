// The verbs of the `trellis` program. Each has a file of its own (verb_NAME.cpp) and a function here, which
// declares its subcommand and options; what the user chose is left in `chosen` for main to run.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string_view>

namespace trellis {

struct Driver {
  CLI::App app{"trellis: a graph compiler for neural networks"};
  std::function<void()> chosen; ///< throws CompileError
};

void add_bench(Driver &d);
void add_compile(Driver &d);
void add_eval(Driver &d);
void add_info(Driver &d);
void add_ops(Driver &d);
void add_opt(Driver &d);
void add_passes(Driver &d);
void add_predict(Driver &d);
void add_run(Driver &d);
void add_train(Driver &d);
void add_verify(Driver &d);

/// Of an option that names a file to write: an empty name is wrong usage, not an option that is not there.
inline CLI::Validator require_name() {
  return CLI::Validator([](std::string &path) { return path.empty() ? "should name a file" : ""; }, "");
}

/// Writes to standard output; a CompileError where that fails.
void write_out(std::string_view text);

} // namespace trellis

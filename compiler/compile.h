// Graph to executable: the whole pipeline reads as one list of calls in compile.cpp.
#pragma once
#include "compiler/executable.h"
#include "compiler/llvm/target.h"
#include "passes/fuse.h"
#include "passes/pass.h"

namespace trellis {

struct CompileOptions {
  std::string target = "host";
  int threads = 1;    ///< that compile; the code does not depend on it
  PassOptions passes; ///< dumps, off-switches
  FuseOptions fuse;
};

/// The passes that make a bound graph legal for a target, in order, by name (passes.def). No inexact rule may run
/// after legalize: it would undo (x + c) - c.
std::vector<std::string> lowering_passes(const Target &t);

/// A copy of `g` after those passes.
GraphPtr legal_graph(const Graph &g, const CompileOptions &options = {});

/// Kernels on planned memory. `g` is copied, not changed.
Program lower_program(const Graph &g, const CompileOptions &options = {});

/// Everything: throws CompileError with the node's location where an op has no native code.
std::shared_ptr<const Executable> compile(const Graph &g, const CompileOptions &options = {});

} // namespace trellis

/// Ahead of time: a program as an object file, a shared library and a C header.
#pragma once
#include "compiler/data/named_tensor.h"
#include "compiler/llvm/program_emit.h"

namespace trellis {

struct AotOptions {
  int threads = 1;                    ///< that compile
  std::span<const NamedTensor> state; ///< values that a new context starts from, dense; others start at zero
};

/// One relocatable object: code, weights and, for this machine's architecture, the runtime, under names that
/// begin with the program's, so that several models can be linked into one program. Needs libc, libm and
/// threads. An object for another architecture leaves the runtime to be linked: libtrellis_runtime.a, built
/// there.
CompileStats write_object(const std::string &path, const Program &p, const Target &t, const AotOptions &options);

/// A shared library with the same contents, linked by this program itself. For this machine's architecture
/// alone.
CompileStats write_shared_library(const std::string &path, const Program &p, const Target &t,
                                  const AotOptions &options);

/// The C interface of both: self-contained C and C++.
std::string c_header(const Program &p, const Target &t, const AotOptions &options);
void write_c_header(const std::string &path, const Program &p, const Target &t, const AotOptions &options);

} // namespace trellis

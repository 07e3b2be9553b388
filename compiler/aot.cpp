#include "compiler/aot.h"
#include "compiler/data/atomic_file.h"
#include "compiler/llvm/data_object.h"
#include "compiler/llvm/link.h"
#include "ir/diag.h"
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <link.h>

extern "C" {
extern const char trellis_embedded_runtime[], trellis_embedded_runtime_end[];
}

namespace trellis {

namespace {

/// Everything that goes into the output, as files that the linker can open.
class Parts {
public:
  Parts(const Program &p, const Target &t, const AotOptions &options) {
    std::vector<DataSymbol> data;
    for (size_t i = 0; i < p.constant_data.size(); ++i) {
      const Tensor &c = p.constant_data[i];
      data.push_back({constant_symbol(p, int(i)), c.data(), size_t(c.bytes())});
    }
    std::vector<int> initial;
    for (const NamedTensor &s : options.state) {
      int i = find_state(p, s);
      initial.push_back(i);
      data.push_back({initial_symbol(p, i), s.tensor.data(), size_t(s.tensor.bytes())});
    }
    ProgramObjects built = emit_program(p, t, options.threads);
    stats = built.stats;
    std::string prefix = is_this_architecture(t) ? c_identifier(p.name) + "." : "";
    add("interface", emit_interface_object(p, t, initial, prefix));
    for (const std::string &o : built.objects) add("kernels", o);
    if (is_this_architecture(t))
      add("runtime", prefix_definitions({trellis_embedded_runtime, trellis_embedded_runtime_end}, prefix));
    MemoryFile weights("weights");
    write_data_object(t, data, [&](const void *from, size_t bytes) { weights.write(from, bytes); });
    files_.push_back(std::move(weights));
  }

  std::vector<std::string> paths() const {
    std::vector<std::string> all;
    for (const MemoryFile &f : files_) all.push_back(f.path());
    return all;
  }

  CompileStats stats;

private:
  void add(const char *name, std::string_view bytes) { files_.emplace_back(name, bytes); }

  static int find_state(const Program &p, const NamedTensor &given) {
    for (size_t i = 0; i < p.states.size(); ++i) {
      const ProgramTensor &s = p.states[i];
      if (s.name != given.name) continue;
      if (given.tensor.type() == s.type) return int(i);
      throw CompileError(fmt::format("{}: state '{}' should be {}, but is {}", p.name, s.name, s.type.str(),
                                     given.tensor.type().str()));
    }
    throw CompileError(fmt::format("{}: no state is called '{}'", p.name, given.name));
  }

  std::vector<MemoryFile> files_;
};

// The libraries that this process runs on, wherever this system keeps them.
static std::vector<std::string> c_libraries() {
  std::vector<std::string> found;
  auto visit = [](dl_phdr_info *info, size_t, void *data) {
    std::string_view path = info->dlpi_name, file = path.substr(path.rfind('/') + 1);
    if (file == "libc.so.6" || file == "libm.so.6") static_cast<std::vector<std::string> *>(data)->emplace_back(path);
    return 0;
  };
  dl_iterate_phdr(visit, &found);
  if (found.size() != 2)
    throw CompileError("cannot link a shared library: this process does not use libc.so.6 and libm.so.6");
  return found;
}

template <class F> CompileStats link_parts(Parts parts, AtomicFile &out, F link) {
  auto start = std::chrono::steady_clock::now();
  link(LinkOutput{[&](const void *from, size_t bytes) { out.write(from, bytes); }, out.path()}, parts.paths());
  parts.stats.link_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  parts.stats.total_ms += parts.stats.link_ms;
  out.commit();
  return parts.stats;
}

} // namespace

CompileStats write_object(const std::string &path, const Program &p, const Target &t, const AotOptions &options) {
  AtomicFile out(path);
  return link_parts(Parts(p, t, options), out,
                    [](const LinkOutput &to, const std::vector<std::string> &from) { link_object(to, from); });
}

CompileStats write_shared_library(const std::string &path, const Program &p, const Target &t,
                                  const AotOptions &options) {
  if (!is_this_architecture(t))
    throw CompileError(fmt::format("target '{}': a shared library needs the C library of that machine; write an "
                                   "object file (.o) and link it there",
                                   t.name));
  AtomicFile out(path, true);
  std::string soname = std::filesystem::path(path).filename().string();
  return link_parts(Parts(p, t, options), out, [&](const LinkOutput &to, const std::vector<std::string> &from) {
    std::vector<std::string> all = from;
    for (std::string &library : c_libraries()) all.push_back(std::move(library));
    link_shared_library(to, all, soname, c_identifier(p.name) + "_");
  });
}

void write_c_header(const std::string &path, const Program &p, const Target &t, const AotOptions &options) {
  write_file(path, c_header(p, t, options));
}

} // namespace trellis

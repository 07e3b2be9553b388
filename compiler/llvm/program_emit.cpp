#include "compiler/llvm/program_emit.h"
#include "compiler/llvm/emit.h"
#include "compiler/llvm/interface_emit.h"
#include "compiler/llvm/kernel_key.h"
#include "compiler/llvm/object.h"
#include "compiler/llvm/table_emit.h"
#include <atomic>
#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <thread>
#include <unordered_set>

namespace trellis {

namespace {

using Clock = std::chrono::steady_clock;
double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Kernels of one module. A module costs its share of pass set-up and linking, a large one hinders balance.
constexpr size_t kKernelsPerModule = 4;

/// What to emit under which name, decided before any thread starts.
struct Plan {
  std::vector<int> distinct;       ///< kernel numbers
  std::vector<KernelCode> kernels; ///< of every kernel; equal kernels share a symbol

  explicit Plan(const Program &p) {
    std::vector<SharedKernel> shared = share_kernels(p.kernels);
    std::unordered_set<std::string> taken;
    for (size_t i = 0; i < p.kernels.size(); ++i) {
      if (shared[i].kernel != int(i)) {
        kernels.push_back({kernels[size_t(shared[i].kernel)].symbol, std::move(shared[i].args)});
        continue;
      }
      std::string base = fmt::format("{}.{}", c_identifier(p.name), p.kernels[i].name), symbol = base;
      for (int n = 2; !taken.insert(symbol).second; ++n) symbol = fmt::format("{}.{}", base, n);
      distinct.push_back(int(i));
      kernels.push_back({symbol, std::move(shared[i].args)});
    }
  }
};

std::unique_ptr<llvm::Module> new_module(llvm::LLVMContext &c, const std::string &name,
                                         const llvm::TargetMachine &machine) {
  auto m = std::make_unique<llvm::Module>(name, c);
  m->setTargetTriple(machine.getTargetTriple().str());
  m->setDataLayout(machine.createDataLayout());
  return m;
}

int64_t code_bytes(const std::string &object) {
  auto file = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(object, ""));
  if (!file) {
    llvm::consumeError(file.takeError());
    return 0;
  }
  int64_t bytes = 0;
  for (const llvm::object::SectionRef &s : (*file)->sections())
    if (s.isText() || s.isData()) bytes += int64_t(s.getSize());
  return bytes;
}

/// One thread's share of the work: it takes modules by number until none is left. Module numbers, not
/// threads, name the results.
class Worker {
public:
  Worker(const Program &p, const Target &t, const Plan &plan, Instrument instrument)
      : p_(p), t_(t), plan_(plan), instrument_(instrument), machine_(make_machine(t)) {}

  std::string kernels(size_t module) {
    auto start = Clock::now();
    auto m = new_module(context_, fmt::format("{}.{}", p_.name, module), *machine_);
    size_t first = module * kKernelsPerModule, last = std::min(first + kKernelsPerModule, plan_.distinct.size());
    for (size_t i = first; i < last; ++i) {
      size_t k = size_t(plan_.distinct[i]);
      emit_kernel(*m, p_.kernels[k], t_, plan_.kernels[k].symbol);
    }
    stats.emit_ms += ms_since(start);
    return object(std::move(m));
  }

  std::string table() {
    auto m = new_module(context_, p_.name, *machine_);
    std::vector<std::string> constants;
    for (size_t i = 0; i < p_.constants.size(); ++i) constants.push_back(constant_symbol(p_, int(i)));
    emit_table(*m, p_, program_symbol(p_), plan_.kernels, constants);
    return make_object(*m, *machine_);
  }

  CompileStats stats;

private:
  std::string object(std::unique_ptr<llvm::Module> m) {
    auto start = Clock::now();
    optimize(*m, *machine_);
    if (instrument_ == Instrument::addresses) check_addresses(*m);
    stats.optimize_ms += ms_since(start);
    start = Clock::now();
    std::string bytes = make_object(*m, *machine_);
    stats.codegen_ms += ms_since(start);
    stats.code_bytes += code_bytes(bytes);
    return bytes;
  }

  const Program &p_;
  const Target &t_;
  const Plan &plan_;
  Instrument instrument_;
  std::unique_ptr<llvm::TargetMachine> machine_;
  llvm::LLVMContext context_;
};

} // namespace

std::string c_identifier(std::string_view name) {
  std::string out;
  for (char c : name)
    out += std::isalnum(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 128 ? c : '_';
  return out.empty() || std::isdigit(static_cast<unsigned char>(out[0])) ? "_" + out : out;
}
std::string program_symbol(const Program &p) { return c_identifier(p.name) + "_program"; }
std::string constant_symbol(const Program &p, int index) {
  return fmt::format("{}.constant.{}", c_identifier(p.name), index);
}
std::string initial_symbol(const Program &p, int state) {
  return fmt::format("{}.initial.{}", c_identifier(p.name), state);
}

Instrument process_instrument() {
#ifdef TRELLIS_ADDRESS_SANITIZER
  return Instrument::addresses;
#else
  return Instrument::none;
#endif
}

ProgramObjects emit_program(const Program &p, const Target &t, int threads, Instrument instrument) {
  auto start = Clock::now();
  Plan plan(p);
  size_t modules = (plan.distinct.size() + kKernelsPerModule - 1) / kKernelsPerModule;
  ProgramObjects out;
  out.objects.resize(modules + 1); // the last one is the table
  size_t workers = std::clamp<size_t>(size_t(threads), 1, out.objects.size());
  std::vector<std::exception_ptr> failures(out.objects.size());
  std::vector<CompileStats> stats(workers);
  std::atomic<size_t> next = 0;
  auto work = [&](size_t w) {
    Worker worker(p, t, plan, instrument);
    for (size_t i; (i = next.fetch_add(1)) < out.objects.size();) try {
        out.objects[i] = i < modules ? worker.kernels(i) : worker.table();
      } catch (...) { failures[i] = std::current_exception(); }
    stats[w] = worker.stats;
  };
  {
    std::vector<std::jthread> others;
    for (size_t w = 1; w < workers; ++w) others.emplace_back(work, w);
    work(0);
  }
  for (auto &f : failures)
    if (f) std::rethrow_exception(f); // the first module's, whichever thread had it

  for (const CompileStats &s : stats) {
    out.stats.emit_ms += s.emit_ms, out.stats.optimize_ms += s.optimize_ms, out.stats.codegen_ms += s.codegen_ms;
    out.stats.code_bytes += s.code_bytes;
  }
  for (const std::string &o : out.objects) out.stats.object_bytes += int64_t(o.size());
  out.stats.kernels = int(plan.distinct.size());
  out.stats.calls = int(p.calls.size());
  out.stats.total_ms = ms_since(start);
  return out;
}

std::string emit_interface_object(const Program &p, const Target &t, std::span<const int> initial,
                                  const std::string &runtime_prefix) {
  auto machine = make_machine(t);
  llvm::LLVMContext context;
  auto m = new_module(context, p.name + ".interface", *machine);
  emit_interface(*m, p, initial, runtime_prefix);
  return make_object(*m, *machine);
}

std::string program_text(const Program &p, const Target &t, CodeText kind) {
  Plan plan(p);
  auto machine = make_machine(t);
  llvm::LLVMContext context;
  auto m = new_module(context, p.name, *machine);
  for (int k : plan.distinct) emit_kernel(*m, p.kernels[size_t(k)], t, plan.kernels[size_t(k)].symbol);
  if (kind != CodeText::llvm) optimize(*m, *machine);
  if (kind == CodeText::assembly) return make_assembly(*m, *machine);
  std::string text;
  llvm::raw_string_ostream(text) << *m;
  return text;
}

} // namespace trellis

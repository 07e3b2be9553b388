/// One user's side of a program: arena, state and the resolved arguments of every kernel call.
#pragma once
#include "runtime/text.h"
#include "runtime/trellis.h"

// Whether AddressSanitizer instruments this translation unit: g++ says so by a macro, clang by a feature.
#ifdef __SANITIZE_ADDRESS__
#define TRELLIS_UNDER_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRELLIS_UNDER_ASAN
#endif
#endif

namespace trellis::runtime {

/// Zeroed memory, 64-byte aligned; in huge pages, where the system has them, when it is large.
class Block {
public:
  Block() = default;
  ~Block();
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  bool allocate(int64_t bytes);
  char *data() const { return base; }

private:
  char *base = nullptr;
  size_t mapped = 0; // bytes; 0: from the heap
};

/// Resolving happens once: a steady-state run stores the callers' addresses where kernels expect them, then
/// calls the kernels in order. It allocates nothing, locks nothing and looks nothing up.
class Context {
public:
  Context() = default;
  ~Context();
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;

  /// Once, before all else; the program has passed check_program.
  trellis_status init(const trellis_program &program, int threads, Text &error);
  void run(void *const *inputs, void *const *outputs);

  trellis_status set_threads(int threads, Text &error);
  int threads() const { return thread_count; }
  const trellis_program &program() const { return *prog; }

  /// Room for one pointer per input, then one per output.
  void **pointers() const { return callers; }

  void *state(uint32_t index) const { return states[index]; }
  /// Null: the context's own storage.
  void bind_state(uint32_t index, void *storage);

  bool set_profile(bool on);
  const uint64_t *profile(uint64_t *runs) const;

private:
  /// args[arg] = the callers' pointer `index` + offset, before each run.
  struct Patch {
    uint32_t arg;
    int32_t index;
    int64_t offset;
  };

  /// args[arg] moves by `stride` bytes with each iteration of a loop.
  struct Shift {
    uint32_t arg;
    int64_t stride;
  };

  bool resolve();
  bool resolve_loops();
  uint32_t control(uint32_t call);
  void shift(uint32_t loop, int64_t iterations);
  void *address(const trellis_slot &slot) const;
  void expose(uint32_t call) const;

  const trellis_program *prog = nullptr;
  int thread_count = 0;  // 0: nothing reserved in the pool
  bool parallel = false; // some call is worth more than one thread
  Block arena, state_block;
  int64_t state_bytes = 0;
  void **states = nullptr;         // where each state lives now
  void **own_states = nullptr;     // where state_block holds it
  void **args = nullptr;           // of all calls, in order
  uint32_t *first_arg = nullptr;   // of each call
  int64_t *counters = nullptr;     // iterations that each running loop has behind it
  Shift *shifts = nullptr;         // by loop
  uint32_t *first_shift = nullptr; // of each loop, and behind the last
  void **callers = nullptr;
  Patch *input_patches = nullptr, *output_patches = nullptr;
  uint32_t input_patch_count = 0, output_patch_count = 0;
  uint64_t *times = nullptr; // per call, while profiling
  uint64_t profiled_runs = 0;
};

} // namespace trellis::runtime

#include "runtime/context.h"
#include "runtime/fpenv.h"
#include "runtime/pool.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#ifdef TRELLIS_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace trellis::runtime {
namespace {

static_assert(max_threads == TRELLIS_MAX_THREADS);

constexpr int64_t alignment = 64, huge_page = 2 << 20;

int64_t round_up(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

template <class T> T *new_array(size_t count) { return static_cast<T *>(calloc(count > 0 ? count : 1, sizeof(T))); }

#ifdef TRELLIS_UNDER_ASAN
void set_poisoned(const void *at, int64_t bytes, bool poisoned) {
  (poisoned ? __asan_poison_memory_region : __asan_unpoison_memory_region)(at, static_cast<size_t>(bytes));
}
#else
void set_poisoned(const void *, int64_t, bool) {}
#endif

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

} // namespace

bool Block::allocate(int64_t bytes) {
  if (bytes > INT64_MAX / 2) return false;
  if (bytes < 2 * huge_page) {
    size_t size = static_cast<size_t>(round_up(bytes > 0 ? bytes : 1, alignment));
    base = static_cast<char *>(aligned_alloc(alignment, size));
    if (base != nullptr) memset(base, 0, size);
    return base != nullptr;
  }
  // One huge page more than needed, so that a huge-page boundary lies within; the rest goes back.
  size_t size = static_cast<size_t>(round_up(bytes, huge_page)), whole = size + huge_page;
  void *map = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) return false;
  auto at = reinterpret_cast<uintptr_t>(map);
  size_t before = (huge_page - at % huge_page) % huge_page, after = whole - size - before;
  if (before > 0) munmap(map, before);
  base = static_cast<char *>(map) + before;
  if (after > 0) munmap(base + size, after);
  mapped = size;
  madvise(base, size, MADV_HUGEPAGE); // advice: without it all is only slower
  return true;
}

Block::~Block() {
  if (mapped > 0)
    munmap(base, mapped);
  else
    free(base);
}

trellis_status Context::init(const trellis_program &program, int threads, Text &error) {
  prog = &program;
  for (uint32_t s = 0; s < program.state_count; ++s) {
    int64_t bytes = program.states[s].bytes;
    if (bytes > INT64_MAX / 4 || __builtin_add_overflow(state_bytes, round_up(bytes, alignment), &state_bytes))
      state_bytes = INT64_MAX;
  }
  if (!arena.allocate(program.arena_bytes) || !state_block.allocate(state_bytes)) {
    error.add("out of memory: the program needs %" PRId64 " bytes of arena and %" PRId64 " of state",
              program.arena_bytes, state_bytes);
    return TRELLIS_OUT_OF_MEMORY;
  }
  states = new_array<void *>(program.state_count);
  own_states = new_array<void *>(program.state_count);
  if (states == nullptr || own_states == nullptr) {
    error.add("out of memory");
    return TRELLIS_OUT_OF_MEMORY;
  }
  char *at = state_block.data();
  for (uint32_t s = 0; s < program.state_count; ++s) {
    states[s] = own_states[s] = at;
    int64_t bytes = program.states[s].bytes, span = round_up(bytes, alignment);
    set_poisoned(at + bytes, span - bytes, true);
    at += span;
  }
  if (!resolve()) {
    error.add("out of memory for the arguments of %" PRIu32 " kernel calls", program.call_count);
    return TRELLIS_OUT_OF_MEMORY;
  }
  for (uint32_t c = 0; c < program.call_count; ++c) {
    const trellis_call &call = program.calls[c];
    parallel |= call.kind == TRELLIS_CALL_KERNEL && call.trip / (call.grain > 1 ? call.grain : 1) > 1;
  }
  return set_threads(threads, error);
}

Context::~Context() {
  if (thread_count > 0) pool_release(thread_count);
  set_poisoned(state_block.data(), state_bytes, false);
  free(states);
  free(own_states);
  free(args);
  free(first_arg);
  free(counters);
  free(shifts);
  free(first_shift);
  free(callers);
  free(input_patches);
  free(output_patches);
  free(times);
}

void *Context::address(const trellis_slot &slot) const {
  char *base = nullptr;
  switch (slot.kind) {
  case TRELLIS_SLOT_ARENA: base = arena.data(); break;
  case TRELLIS_SLOT_STATE: base = static_cast<char *>(states[slot.index]); break;
  case TRELLIS_SLOT_CONSTANT: // kernels only read it
    base = static_cast<char *>(const_cast<void *>(prog->constant_data[slot.index]));
    break;
  default: return nullptr; // callers' memory: patched
  }
  return base == nullptr ? nullptr : base + slot.offset;
}

bool Context::resolve() {
  size_t total = 0, from_inputs = 0, from_outputs = 0;
  for (uint32_t c = 0; c < prog->call_count; ++c) {
    const trellis_call &call = prog->calls[c];
    total += call.arg_count;
    for (uint32_t a = 0; a < call.arg_count; ++a) {
      int32_t kind = prog->slots[call.args[a]].kind;
      from_inputs += kind == TRELLIS_SLOT_INPUT;
      from_outputs += kind == TRELLIS_SLOT_OUTPUT;
    }
  }
  if (total > UINT32_MAX) return false;
  args = new_array<void *>(total);
  callers = new_array<void *>(size_t{prog->input_count} + prog->output_count);
  input_patches = new_array<Patch>(from_inputs);
  output_patches = new_array<Patch>(from_outputs);
  first_arg = new_array<uint32_t>(prog->call_count);
  if (args == nullptr || callers == nullptr || input_patches == nullptr || output_patches == nullptr ||
      first_arg == nullptr)
    return false;
  uint32_t arg = 0;
  for (uint32_t c = 0; c < prog->call_count; ++c) {
    first_arg[c] = arg;
    for (uint32_t a = 0; a < prog->calls[c].arg_count; ++a, ++arg) {
      const trellis_slot &slot = prog->slots[prog->calls[c].args[a]];
      Patch patch{arg, slot.index, slot.offset};
      if (slot.kind == TRELLIS_SLOT_INPUT)
        input_patches[input_patch_count++] = patch;
      else if (slot.kind == TRELLIS_SLOT_OUTPUT)
        output_patches[output_patch_count++] = patch;
      else
        args[arg] = address(slot);
    }
  }
  return resolve_loops();
}

bool Context::resolve_loops() {
  counters = new_array<int64_t>(prog->loop_count);
  first_shift = new_array<uint32_t>(size_t{prog->loop_count} + 1);
  if (counters == nullptr || first_shift == nullptr) return false;
  // Twice over every argument's moves: to count, then to place.
  auto each = [&](auto f) {
    for (uint32_t c = 0; c < prog->call_count; ++c)
      for (uint32_t a = 0; a < prog->calls[c].arg_count; ++a) {
        uint32_t slot = prog->calls[c].args[a], low = 0, high = prog->move_count;
        while (low < high) {
          uint32_t middle = low + (high - low) / 2;
          if (prog->moves[middle].slot < slot)
            low = middle + 1;
          else
            high = middle;
        }
        for (; low < prog->move_count && prog->moves[low].slot == slot; ++low) f(first_arg[c] + a, prog->moves[low]);
      }
  };
  size_t total = 0;
  each([&](uint32_t, const trellis_move &move) { ++first_shift[move.loop + 1], ++total; });
  if (total > UINT32_MAX) return false;
  shifts = new_array<Shift>(total);
  auto *filled = new_array<uint32_t>(prog->loop_count);
  bool ok = shifts != nullptr && filled != nullptr;
  if (ok) {
    for (uint32_t l = 0; l < prog->loop_count; ++l) first_shift[l + 1] += first_shift[l];
    each([&](uint32_t arg, const trellis_move &move) {
      shifts[first_shift[move.loop] + filled[move.loop]++] = {arg, move.stride};
    });
  }
  free(filled);
  return ok;
}

void Context::bind_state(uint32_t index, void *storage) {
  states[index] = storage != nullptr ? storage : own_states[index];
  uint32_t arg = 0;
  for (uint32_t c = 0; c < prog->call_count; ++c)
    for (uint32_t a = 0; a < prog->calls[c].arg_count; ++a, ++arg) {
      const trellis_slot &slot = prog->slots[prog->calls[c].args[a]];
      if (slot.kind == TRELLIS_SLOT_STATE && static_cast<uint32_t>(slot.index) == index) args[arg] = address(slot);
    }
}

trellis_status Context::set_threads(int threads, Text &error) {
  if (threads < 1 || threads > max_threads) {
    error.add("threads should be 1 to %d, but is %d", max_threads, threads);
    return TRELLIS_BAD_THREADS;
  }
  if (!pool_reserve(threads)) {
    error.add("the system refuses to start %d threads", threads);
    return TRELLIS_BAD_THREADS;
  }
  if (thread_count > 0) pool_release(thread_count);
  thread_count = threads;
  return TRELLIS_OK;
}

void Context::shift(uint32_t loop, int64_t iterations) {
  for (uint32_t s = first_shift[loop]; s < first_shift[loop + 1]; ++s)
    args[shifts[s].arg] = static_cast<char *>(args[shifts[s].arg]) + shifts[s].stride * iterations;
}

// Number of the call after this word of control.
uint32_t Context::control(uint32_t c) {
  const trellis_call &call = prog->calls[c];
  switch (call.kind) {
  case TRELLIS_CALL_LOOP: counters[call.loop] = 0; return call.trip > 0 ? c + 1 : call.target;
  case TRELLIS_CALL_NEXT:
    if (++counters[call.loop] < call.trip) {
      shift(call.loop, 1);
      return call.target;
    }
    shift(call.loop, 1 - call.trip);
    return c + 1;
  case TRELLIS_CALL_BRANCH: return *static_cast<const uint8_t *>(args[first_arg[c]]) != 0 ? c + 1 : call.target;
  default: return call.target;
  }
}

// Under AddressSanitizer the arena is poisoned but for what the call's slots span. Elsewhere it is nothing.
void Context::expose([[maybe_unused]] uint32_t c) const {
#ifdef TRELLIS_UNDER_ASAN
  set_poisoned(arena.data(), prog->arena_bytes, true);
  for (uint32_t a = 0; a < prog->calls[c].arg_count; ++a) {
    const trellis_slot &slot = prog->slots[prog->calls[c].args[a]];
    if (slot.kind == TRELLIS_SLOT_ARENA) set_poisoned(args[first_arg[c] + a], slot.bytes, false);
  }
#endif
}

void Context::run(void *const *inputs, void *const *outputs) {
  for (uint32_t p = 0; p < input_patch_count; ++p)
    args[input_patches[p].arg] = static_cast<char *>(inputs[input_patches[p].index]) + input_patches[p].offset;
  for (uint32_t p = 0; p < output_patch_count; ++p)
    args[output_patches[p].arg] = static_cast<char *>(outputs[output_patches[p].index]) + output_patches[p].offset;

  FpScope environment;
  Team team(parallel ? thread_count : 1);
  uint64_t before = times != nullptr ? now_ns() : 0;
  for (uint32_t next = 0; next < prog->call_count;) {
    uint32_t c = next;
    const trellis_call &call = prog->calls[c];
    expose(c);
    if (call.kind == TRELLIS_CALL_KERNEL) {
      team.run(call.kernel, args + first_arg[c], call.trip, call.grain);
      ++next;
    } else {
      next = control(c);
    }
    if (times != nullptr) {
      uint64_t after = now_ns();
      times[c] += after - before;
      before = after;
    }
  }
  profiled_runs += times != nullptr;
  set_poisoned(arena.data(), prog->arena_bytes, false);
}

bool Context::set_profile(bool on) {
  free(times);
  times = on ? new_array<uint64_t>(prog->call_count) : nullptr;
  profiled_runs = 0;
  return !on || times != nullptr;
}

const uint64_t *Context::profile(uint64_t *runs) const {
  if (runs != nullptr) *runs = profiled_runs;
  return times;
}

} // namespace trellis::runtime

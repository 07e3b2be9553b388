#include "runtime/check.h"
#include "runtime/layout.h"
#include <inttypes.h>

namespace trellis::runtime {

namespace {

/// The storage that a slot of this kind and index points into; -1: there is none.
int64_t storage_bytes(const trellis_program &program, const trellis_slot &slot) {
  auto of = [&](const trellis_tensor_info *infos, uint32_t count) {
    return slot.index >= 0 && static_cast<uint32_t>(slot.index) < count ? infos[slot.index].bytes : -1;
  };
  switch (slot.kind) {
  case TRELLIS_SLOT_ARENA: return slot.index == 0 ? program.arena_bytes : -1;
  case TRELLIS_SLOT_INPUT: return of(program.inputs, program.input_count);
  case TRELLIS_SLOT_OUTPUT: return of(program.outputs, program.output_count);
  case TRELLIS_SLOT_STATE: return of(program.states, program.state_count);
  case TRELLIS_SLOT_CONSTANT: return of(program.constants, program.constant_count);
  }
  return -1;
}

bool is_integer(int32_t dtype) { return dtype >= TRELLIS_I8 && dtype <= TRELLIS_U64; }

const char *check_info(const trellis_tensor_info &info, bool dense) {
  if (info.name == nullptr) return "has no name";
  if (dtype_bytes(info.dtype) == 0) return "has an unknown dtype";
  if (info.rank < 0 || (info.rank > 0 && info.dims == nullptr)) return "has no dims";
  if (element_count(info.rank, info.dims) < 0) return "has bad dims";
  if (!layout_fits(info)) return "does not fit in its bytes";
  if (dense && (info.layout != nullptr || info.bytes != element_count(info.rank, info.dims) * dtype_bytes(info.dtype)))
    return "should be dense and row-major";
  return nullptr;
}

bool check_infos(const char *role, const trellis_tensor_info *infos, uint32_t count, bool dense, Text &error) {
  for (uint32_t i = 0; i < count; ++i)
    if (const char *what = check_info(infos[i], dense)) {
      error.add("malformed program: %s %" PRIu32 " (%s) %s", role, i, infos[i].name ? infos[i].name : "?", what);
      return false;
    }
  return true;
}

const char *check_slot(const trellis_program &program, const trellis_slot &slot) {
  int64_t bytes = storage_bytes(program, slot);
  if (bytes < 0) return "names storage that does not exist";
  return slot.offset < 0 || slot.bytes < 0 || slot.bytes > bytes || slot.offset > bytes - slot.bytes
             ? "lies outside its storage"
             : nullptr;
}

/// `loops`: how many began before call `c`.
const char *check_program_call(const trellis_program &program, uint32_t c, uint32_t loops) {
  const trellis_call &call = program.calls[c];
  if (call.name == nullptr || (call.kernel == nullptr) != (call.kind != TRELLIS_CALL_KERNEL))
    return "has no kernel or no name";
  if (call.trip < 0) return "has a negative trip count";
  for (uint32_t a = 0; a < call.arg_count; ++a)
    if (call.args[a] >= program.slot_count) return "names a slot that does not exist";
  bool ahead = call.target > c && call.target <= program.call_count;
  switch (call.kind) {
  case TRELLIS_CALL_KERNEL: return nullptr;
  case TRELLIS_CALL_LOOP:
    if (call.loop != loops || loops >= program.loop_count) return "begins a loop out of order";
    if (!ahead || program.calls[call.target - 1].kind != TRELLIS_CALL_NEXT ||
        program.calls[call.target - 1].loop != call.loop)
      return "begins a loop that does not end";
    return nullptr;
  case TRELLIS_CALL_NEXT: {
    if (call.target == 0 || call.target > c) return "ends a loop that does not begin";
    const trellis_call &begin = program.calls[call.target - 1];
    if (begin.kind != TRELLIS_CALL_LOOP || begin.loop != call.loop || begin.trip != call.trip)
      return "ends a loop that does not begin";
    return nullptr;
  }
  case TRELLIS_CALL_BRANCH: return !ahead || call.arg_count != 1 ? "goes nowhere" : nullptr;
  case TRELLIS_CALL_JUMP: return !ahead ? "goes nowhere" : nullptr;
  }
  return "is of an unknown kind";
}

/// Whether a slot that moves stays in its storage: its moves are [first, last).
const char *check_moves(const trellis_program &program, uint32_t first, uint32_t last) {
  const trellis_slot &slot = program.slots[program.moves[first].slot];
  int64_t low = slot.offset, high = slot.offset;
  for (uint32_t m = first; m < last; ++m) {
    const trellis_move &move = program.moves[m];
    int64_t trip = -1, span = 0;
    for (uint32_t c = 0; c < program.call_count; ++c)
      if (program.calls[c].kind == TRELLIS_CALL_LOOP && program.calls[c].loop == move.loop)
        trip = program.calls[c].trip;
    if (trip < 0) return "follows a loop that does not exist";
    if (__builtin_mul_overflow(trip > 0 ? trip - 1 : 0, move.stride, &span) ||
        __builtin_add_overflow(span < 0 ? low : high, span, span < 0 ? &low : &high))
      return "leaves its storage";
  }
  return low < 0 || high > storage_bytes(program, slot) - slot.bytes ? "leaves its storage" : nullptr;
}

bool check_all_moves(const trellis_program &p, Text &error) {
  for (uint32_t m = 0; m < p.move_count;) {
    uint32_t slot = p.moves[m].slot, end = m + 1;
    while (end < p.move_count && p.moves[end].slot == slot) ++end;
    const char *what = slot >= p.slot_count                  ? "does not exist"
                       : m > 0 && p.moves[m - 1].slot > slot ? "is out of order"
                                                             : check_moves(p, m, end);
    if (what != nullptr) {
      error.add("malformed program: slot %" PRIu32 ", which moves, %s", slot, what);
      return false;
    }
    m = end;
  }
  return true;
}

/// Position of the first element outside [low, high), or -1. The common case is a loop without branches.
template <class T> int64_t find_outside(const void *data, int64_t count, int64_t low, int64_t high) {
  const T *at = static_cast<const T *>(data);
  auto outside = [=](T value) {
    if constexpr (T(-1) < T(0))
      return (value < low) | (value >= high);
    else
      return (high <= 0) | (value < static_cast<uint64_t>(low < 0 ? 0 : low)) | (value >= static_cast<uint64_t>(high));
  };
  constexpr int64_t block = 1024;
  for (int64_t begin = 0; begin < count; begin += block) {
    int64_t end = begin + block < count ? begin + block : count;
    int bad = 0;
    for (int64_t i = begin; i < end; ++i) bad |= outside(at[i]);
    for (int64_t i = begin; bad && i < end; ++i)
      if (outside(at[i])) return i;
  }
  return -1;
}

int64_t find_outside(int32_t dtype, const void *data, int64_t count, int64_t low, int64_t high) {
  switch (dtype) {
  case TRELLIS_I8: return find_outside<int8_t>(data, count, low, high);
  case TRELLIS_I16: return find_outside<int16_t>(data, count, low, high);
  case TRELLIS_I32: return find_outside<int32_t>(data, count, low, high);
  case TRELLIS_I64: return find_outside<int64_t>(data, count, low, high);
  case TRELLIS_U8: return find_outside<uint8_t>(data, count, low, high);
  case TRELLIS_U16: return find_outside<uint16_t>(data, count, low, high);
  case TRELLIS_U32: return find_outside<uint32_t>(data, count, low, high);
  case TRELLIS_U64: return find_outside<uint64_t>(data, count, low, high);
  }
  return -1;
}

void add_element(Text &error, int32_t dtype, const void *data, int64_t i) {
  switch (dtype) {
  case TRELLIS_I8: return error.add("%d", static_cast<const int8_t *>(data)[i]);
  case TRELLIS_I16: return error.add("%d", static_cast<const int16_t *>(data)[i]);
  case TRELLIS_I32: return error.add("%" PRId32, static_cast<const int32_t *>(data)[i]);
  case TRELLIS_I64: return error.add("%" PRId64, static_cast<const int64_t *>(data)[i]);
  case TRELLIS_U8: return error.add("%u", static_cast<const uint8_t *>(data)[i]);
  case TRELLIS_U16: return error.add("%u", static_cast<const uint16_t *>(data)[i]);
  case TRELLIS_U32: return error.add("%" PRIu32, static_cast<const uint32_t *>(data)[i]);
  case TRELLIS_U64: return error.add("%" PRIu64, static_cast<const uint64_t *>(data)[i]);
  }
}

/// The coordinates of a row-major position, e.g. [3, 7].
void add_position(Text &error, const trellis_tensor_info &info, int64_t index) {
  int64_t inner = element_count(info.rank, info.dims);
  error.add("[");
  for (int32_t d = 0; d < info.rank; ++d) {
    inner /= info.dims[d];
    error.add("%s%" PRId64, d == 0 ? "" : ", ", index / inner);
    index %= inner;
  }
  error.add("]");
}

trellis_status check_indices(const trellis_program &program, const trellis_tensor *inputs, Text &error) {
  for (uint32_t c = 0; c < program.index_check_count; ++c) {
    const trellis_index_check &check = program.index_checks[c];
    const trellis_tensor_info &info = program.inputs[check.input];
    const void *data = inputs[check.input].data;
    int64_t at = find_outside(info.dtype, data, element_count(info.rank, info.dims), check.low, check.high);
    if (at < 0) continue;
    error.add("input '%s' (", info.name);
    error.add_type(info.dtype, info.rank, info.dims);
    error.add("): element ");
    add_position(error, info, at);
    error.add(" should lie in [%" PRId64 ", %" PRId64 "), but is ", check.low, check.high);
    add_element(error, info.dtype, data, at);
    return TRELLIS_BAD_INDEX;
  }
  return TRELLIS_OK;
}

bool overlap(const trellis_tensor_info &a, const void *a_data, const trellis_tensor_info &b, const void *b_data) {
  auto x = reinterpret_cast<uintptr_t>(a_data), y = reinterpret_cast<uintptr_t>(b_data);
  return a.bytes > 0 && b.bytes > 0 && x < y + static_cast<uintptr_t>(b.bytes) &&
         y < x + static_cast<uintptr_t>(a.bytes);
}

trellis_status check_overlaps(const trellis_program &program, const trellis_tensor *inputs,
                              const trellis_tensor *outputs, Text &error) {
  for (uint32_t o = 0; o < program.output_count; ++o) {
    auto refuse = [&](const char *role, const trellis_tensor_info &other) {
      error.add("output '%s' should have memory of its own, but shares it with %s '%s'", program.outputs[o].name, role,
                other.name);
      return TRELLIS_BAD_OVERLAP;
    };
    for (uint32_t i = 0; i < program.input_count; ++i)
      if (overlap(program.outputs[o], outputs[o].data, program.inputs[i], inputs[i].data))
        return refuse("input", program.inputs[i]);
    for (uint32_t p = 0; p < o; ++p)
      if (overlap(program.outputs[o], outputs[o].data, program.outputs[p], outputs[p].data))
        return refuse("output", program.outputs[p]);
  }
  return TRELLIS_OK;
}

} // namespace

trellis_status check_program(const trellis_program *program, Text &error) {
  if (program == nullptr) {
    error.add("the program is null");
    return TRELLIS_BAD_PROGRAM;
  }
  const trellis_program &p = *program;
  if (p.version != TRELLIS_PROGRAM_VERSION) {
    error.add("the program's format should be version %u, but is %" PRIu32, TRELLIS_PROGRAM_VERSION, p.version);
    return TRELLIS_BAD_PROGRAM;
  }
  if (!check_infos("input", p.inputs, p.input_count, true, error) ||
      !check_infos("output", p.outputs, p.output_count, true, error) ||
      !check_infos("state", p.states, p.state_count, false, error) ||
      !check_infos("constant", p.constants, p.constant_count, false, error))
    return TRELLIS_BAD_PROGRAM;
  if (p.arena_bytes < 0) {
    error.add("malformed program: an arena of %" PRId64 " bytes", p.arena_bytes);
    return TRELLIS_BAD_PROGRAM;
  }
  for (uint32_t i = 0; i < p.constant_count; ++i)
    if (p.constants[i].bytes > 0 && p.constant_data[i] == nullptr) {
      error.add("malformed program: constant '%s' has no data", p.constants[i].name);
      return TRELLIS_BAD_PROGRAM;
    }
  for (uint32_t s = 0; s < p.slot_count; ++s)
    if (const char *what = check_slot(p, p.slots[s])) {
      error.add("malformed program: slot %" PRIu32 " %s", s, what);
      return TRELLIS_BAD_PROGRAM;
    }
  uint32_t loops = 0;
  for (uint32_t c = 0; c < p.call_count; ++c) {
    if (const char *what = check_program_call(p, c, loops)) {
      error.add("malformed program: call %" PRIu32 " (%s) %s", c, p.calls[c].name ? p.calls[c].name : "?", what);
      return TRELLIS_BAD_PROGRAM;
    }
    loops += p.calls[c].kind == TRELLIS_CALL_LOOP;
  }
  if (!check_all_moves(p, error)) return TRELLIS_BAD_PROGRAM;
  for (uint32_t c = 0; c < p.index_check_count; ++c) {
    int32_t input = p.index_checks[c].input;
    if (input < 0 || static_cast<uint32_t>(input) >= p.input_count || !is_integer(p.inputs[input].dtype)) {
      error.add("malformed program: index check %" PRIu32 " should name an integer input", c);
      return TRELLIS_BAD_PROGRAM;
    }
  }
  return TRELLIS_OK;
}

trellis_status check_tensor(const char *role, const trellis_tensor_info &info, const trellis_tensor &given,
                            Text &error) {
  trellis_status status = TRELLIS_OK;
  if (given.rank != info.rank || (given.rank > 0 && given.dims == nullptr))
    status = TRELLIS_BAD_RANK;
  else if (given.dtype != info.dtype)
    status = TRELLIS_BAD_DTYPE;
  for (int32_t d = 0; status == TRELLIS_OK && d < info.rank; ++d)
    if (given.dims[d] != info.dims[d]) status = TRELLIS_BAD_DIMS;
  if (status != TRELLIS_OK) {
    error.add("%s '%s' should be ", role, info.name);
    error.add_type(info.dtype, info.rank, info.dims);
    error.add(", but is ");
    if (given.rank < 0 || (given.rank > 0 && given.dims == nullptr))
      error.add("%s of rank %" PRId32 " without dims", dtype_name(given.dtype), given.rank);
    else if (dtype_bytes(given.dtype) == 0)
      error.add("of unknown dtype %" PRId32, given.dtype);
    else
      error.add_type(given.dtype, given.rank, given.dims);
    return status;
  }
  if (element_count(info.rank, info.dims) == 0) return TRELLIS_OK;
  if (given.data == nullptr) {
    error.add("%s '%s' should have data, but its pointer is null", role, info.name);
    return TRELLIS_BAD_POINTER;
  }
  int64_t align = dtype_bytes(info.dtype);
  if (reinterpret_cast<uintptr_t>(given.data) % static_cast<uintptr_t>(align) != 0) {
    error.add("%s '%s' should be aligned to %" PRId64 " bytes, but its pointer is %p", role, info.name, align,
              given.data);
    return TRELLIS_BAD_POINTER;
  }
  return TRELLIS_OK;
}

trellis_status check_call(const trellis_program &program, const trellis_tensor *inputs, uint32_t input_count,
                          const trellis_tensor *outputs, uint32_t output_count, Text &error) {
  auto count = [&](const char *role, uint32_t wanted, uint32_t given, const void *array) {
    if (wanted == given && (given == 0 || array != nullptr)) return true;
    error.add("the program has %" PRIu32 " %s%s, but %" PRIu32 " are given", wanted, role, wanted == 1 ? "" : "s",
              array == nullptr ? 0 : given);
    return false;
  };
  if (!count("input", program.input_count, input_count, inputs) ||
      !count("output", program.output_count, output_count, outputs))
    return TRELLIS_BAD_COUNT;
  trellis_status status;
  for (uint32_t i = 0; i < input_count; ++i)
    if ((status = check_tensor("input", program.inputs[i], inputs[i], error)) != TRELLIS_OK) return status;
  for (uint32_t i = 0; i < output_count; ++i)
    if ((status = check_tensor("output", program.outputs[i], outputs[i], error)) != TRELLIS_OK) return status;
  if ((status = check_overlaps(program, inputs, outputs, error)) != TRELLIS_OK) return status;
  return check_indices(program, inputs, error);
}

} // namespace trellis::runtime

#include "runtime/trellis.h"
#include "runtime/check.h"
#include "runtime/context.h"
#include "runtime/layout.h"
#include <atomic>
#include <new>
#include <stdlib.h>
#include <string.h>

using namespace trellis::runtime;

struct trellis_context {
  Context context;
  std::atomic<bool> busy{false};
  char error[512] = {};
};

namespace {

/// One call at a time: whoever finds the context taken is refused.
class Entry {
public:
  explicit Entry(trellis_context *context)
      : status(!context                                                  ? TRELLIS_BAD_POINTER
               : context->busy.exchange(true, std::memory_order_acquire) ? TRELLIS_BUSY
                                                                         : TRELLIS_OK),
        context(context) {}
  ~Entry() {
    if (status == TRELLIS_OK) context->busy.store(false, std::memory_order_release);
  }
  Entry(const Entry &) = delete;
  Entry &operator=(const Entry &) = delete;
  explicit operator bool() const { return status == TRELLIS_OK; }

  const trellis_status status; ///< of the call, where it may not go on

private:
  trellis_context *context;
};

int32_t find(const trellis_tensor_info *infos, uint32_t count, const char *name) {
  for (uint32_t i = 0; name != nullptr && i < count; ++i)
    if (strcmp(infos[i].name, name) == 0) return static_cast<int32_t>(i);
  return -1;
}

int32_t find_state(const trellis_program &program, const char *name, Text &error) {
  int32_t index = find(program.states, program.state_count, name);
  if (index >= 0) return index;
  error.add("the program has no state '%s'", name != nullptr ? name : "(null)");
  for (uint32_t s = 0; s < program.state_count; ++s)
    error.add("%s'%s'", s == 0 ? "; its states are " : ", ", program.states[s].name);
  return -1;
}

/// Finds a state and compares the caller's tensor with it, then converts by `convert(info, storage)`.
template <class Convert>
trellis_status access_state(trellis_context *context, const char *name, const trellis_tensor *tensor, Convert convert) {
  Entry entry(context);
  if (!entry) return entry.status;
  Text error(context->error, sizeof context->error);
  const trellis_program &program = context->context.program();
  int32_t index = find_state(program, name, error);
  if (index < 0) return TRELLIS_BAD_NAME;
  const trellis_tensor_info &info = program.states[index];
  if (tensor == nullptr) {
    error.add("state '%s': the tensor is null", info.name);
    return TRELLIS_BAD_POINTER;
  }
  trellis_status status = check_tensor("state", info, *tensor, error);
  if (status != TRELLIS_OK) return status;
  if (convert(info, context->context.state(static_cast<uint32_t>(index)))) return TRELLIS_OK;
  error.add("state '%s': out of memory", info.name);
  return TRELLIS_OUT_OF_MEMORY;
}

} // namespace

int trellis_api_version(void) { return TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR; }

const char *trellis_status_text(trellis_status status) {
  switch (status) {
  case TRELLIS_OK: return "ok";
  case TRELLIS_BUSY: return "the context is in another call";
  case TRELLIS_OUT_OF_MEMORY: return "out of memory";
  case TRELLIS_BAD_PROGRAM: return "the program is malformed or of another version";
  case TRELLIS_BAD_THREADS: return "the number of threads is out of range";
  case TRELLIS_BAD_COUNT: return "wrong number of inputs or outputs";
  case TRELLIS_BAD_NAME: return "no tensor has this name";
  case TRELLIS_BAD_DTYPE: return "wrong dtype";
  case TRELLIS_BAD_RANK: return "wrong rank";
  case TRELLIS_BAD_DIMS: return "wrong dims";
  case TRELLIS_BAD_POINTER: return "null or misaligned pointer";
  case TRELLIS_BAD_OVERLAP: return "an output shares memory with another tensor";
  case TRELLIS_BAD_INDEX: return "an index is out of range";
  case TRELLIS_BAD_MODEL: return "the model is wrong";
  case TRELLIS_BAD_FILE: return "a file cannot be used";
  case TRELLIS_BAD_OPTION: return "an option is wrong";
  case TRELLIS_NOT_FINITE: return "the loss is not finite";
  case TRELLIS_FAILED: return "the system refused";
  }
  return "unknown status";
}

const char *trellis_dtype_name(int32_t dtype) { return dtype_name(dtype); }
int64_t trellis_dtype_bytes(int32_t dtype) { return dtype_bytes(dtype); }

const trellis_tensor_info *trellis_input_info(const trellis_program *program, uint32_t index) {
  return index < program->input_count ? &program->inputs[index] : nullptr;
}
const trellis_tensor_info *trellis_output_info(const trellis_program *program, uint32_t index) {
  return index < program->output_count ? &program->outputs[index] : nullptr;
}
const trellis_tensor_info *trellis_state_info(const trellis_program *program, uint32_t index) {
  return index < program->state_count ? &program->states[index] : nullptr;
}
int32_t trellis_input_find(const trellis_program *program, const char *name) {
  return find(program->inputs, program->input_count, name);
}
int32_t trellis_output_find(const trellis_program *program, const char *name) {
  return find(program->outputs, program->output_count, name);
}
int32_t trellis_state_find(const trellis_program *program, const char *name) {
  return find(program->states, program->state_count, name);
}

trellis_status trellis_context_create(const trellis_program *program, int threads, trellis_context **context,
                                      char *error, size_t error_bytes) {
  Text text(error, error != nullptr ? error_bytes : 0);
  *context = nullptr;
  trellis_status status = check_program(program, text);
  if (status != TRELLIS_OK) return status;
  void *memory = malloc(sizeof(trellis_context));
  if (memory == nullptr) {
    text.add("out of memory");
    return TRELLIS_OUT_OF_MEMORY;
  }
  auto *made = new (memory) trellis_context;
  status = made->context.init(*program, threads, text);
  if (status == TRELLIS_OK)
    *context = made;
  else
    trellis_context_destroy(made);
  return status;
}

void trellis_context_destroy(trellis_context *context) {
  if (context == nullptr) return;
  context->~trellis_context();
  free(context);
}

const trellis_program *trellis_context_program(const trellis_context *context) { return &context->context.program(); }

trellis_status trellis_set_threads(trellis_context *context, int threads) {
  Entry entry(context);
  if (!entry) return entry.status;
  Text error(context->error, sizeof context->error);
  return context->context.set_threads(threads, error);
}

int trellis_get_threads(const trellis_context *context) { return context->context.threads(); }

const char *trellis_last_error(const trellis_context *context) { return context->error; }

trellis_status trellis_run(trellis_context *context, const trellis_tensor *inputs, uint32_t input_count,
                           const trellis_tensor *outputs, uint32_t output_count) {
  Entry entry(context);
  if (!entry) return entry.status;
  Text error(context->error, sizeof context->error);
  Context &c = context->context;
  trellis_status status = check_call(c.program(), inputs, input_count, outputs, output_count, error);
  if (status != TRELLIS_OK) return status;
  void **input_data = c.pointers(), **output_data = input_data + input_count;
  for (uint32_t i = 0; i < input_count; ++i) input_data[i] = inputs[i].data;
  for (uint32_t i = 0; i < output_count; ++i) output_data[i] = outputs[i].data;
  c.run(input_data, output_data);
  return status;
}

trellis_status trellis_run_raw(trellis_context *context, void *const *inputs, void *const *outputs) {
  Entry entry(context);
  if (!entry) return entry.status;
  context->error[0] = 0;
  context->context.run(inputs, outputs);
  return TRELLIS_OK;
}

trellis_status trellis_state_get(trellis_context *context, const char *name, const trellis_tensor *to) {
  return access_state(context, name, to, [&](const trellis_tensor_info &info, void *storage) {
    return layout_unpack(info, to->data, storage);
  });
}

trellis_status trellis_state_set(trellis_context *context, const char *name, const trellis_tensor *from) {
  return access_state(context, name, from, [&](const trellis_tensor_info &info, void *storage) {
    return layout_pack(info, storage, from->data);
  });
}

void *trellis_state_data(const trellis_context *context, uint32_t index) {
  return index < context->context.program().state_count ? context->context.state(index) : nullptr;
}

trellis_status trellis_state_bind(trellis_context *context, const char *name, void *storage) {
  Entry entry(context);
  if (!entry) return entry.status;
  Text error(context->error, sizeof context->error);
  int32_t index = find_state(context->context.program(), name, error);
  if (index < 0) return TRELLIS_BAD_NAME;
  if (reinterpret_cast<uintptr_t>(storage) % 64 != 0) {
    error.add("state '%s': its storage should be aligned to 64 bytes, but is %p", name, storage);
    return TRELLIS_BAD_POINTER;
  }
  context->context.bind_state(static_cast<uint32_t>(index), storage);
  return TRELLIS_OK;
}

trellis_status trellis_set_profile(trellis_context *context, int on) {
  Entry entry(context);
  if (!entry) return entry.status;
  Text error(context->error, sizeof context->error);
  if (context->context.set_profile(on != 0)) return TRELLIS_OK;
  error.add("out of memory for the profile");
  return TRELLIS_OUT_OF_MEMORY;
}

const uint64_t *trellis_profile(const trellis_context *context, uint64_t *runs) {
  return context->context.profile(runs);
}

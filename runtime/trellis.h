/* Running a compiled trellis program: the stable C interface.
 *
 *   char why[256];
 *   trellis_context *context;
 *   if (trellis_context_create(&program, 2, &context, why, sizeof why) != TRELLIS_OK) { puts(why); ... }
 *   trellis_tensor x = {pixels, TRELLIS_F32, 2, (int64_t[]){64, 784}}, y = {...};
 *   if (trellis_run(context, &x, 1, &y, 1) != TRELLIS_OK) puts(trellis_last_error(context));
 *   trellis_context_destroy(context);
 *
 * A program is immutable: any number of contexts and threads may share it, and it must outlive them. A
 * context owns an arena and one copy of the program's state; it serves one call at a time (a second one gets
 * TRELLIS_BUSY), while different contexts may run at the same time. Results are the same bits for any number
 * of threads. Tensors are dense and row-major. The calling thread's floating-point environment is saved, set
 * to trellis's (round to nearest, denormals kept, exceptions masked) and restored. Nothing throws; nothing
 * prints. */
#ifndef TRELLIS_RUNTIME_TRELLIS_H
#define TRELLIS_RUNTIME_TRELLIS_H
#include "program.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TRELLIS_EMBEDDED) /* inside a compiled model: nobody else's */
#define TRELLIS_API
#elif defined(__GNUC__)
#define TRELLIS_API __attribute__((visibility("default")))
#else
#define TRELLIS_API
#endif

/* Version of this interface: the major part changes when a caller must be recompiled. */
#define TRELLIS_API_MAJOR 1
#define TRELLIS_API_MINOR 1
/* The most threads that a context may use. */
#define TRELLIS_MAX_THREADS 512

typedef enum TRELLIS_OF_INT {
  TRELLIS_OK = 0,
  TRELLIS_BUSY, /* the context is in another call; trellis_last_error is left alone */
  TRELLIS_OUT_OF_MEMORY,
  TRELLIS_BAD_PROGRAM, /* another version of the program format, or a malformed program */
  TRELLIS_BAD_THREADS, /* not 1 to TRELLIS_MAX_THREADS, or the system refuses to start them */
  TRELLIS_BAD_COUNT,   /* not as many inputs or outputs as the program has */
  TRELLIS_BAD_NAME,    /* no tensor of that name */
  TRELLIS_BAD_DTYPE,
  TRELLIS_BAD_RANK,
  TRELLIS_BAD_DIMS,
  TRELLIS_BAD_POINTER, /* null, or not aligned to the element's size */
  TRELLIS_BAD_OVERLAP, /* an output shares memory with an input or another output */
  TRELLIS_BAD_INDEX,   /* an element of an input that is used as an index is out of range */
  /* Of the compiler alone (compiler/api/trellis_compiler.h). */
  TRELLIS_BAD_MODEL,  /* the text is wrong, or there is no code for what it says */
  TRELLIS_BAD_FILE,   /* a file cannot be read or written, or holds something else */
  TRELLIS_BAD_OPTION, /* an option has no such value, or does not go with the others */
  TRELLIS_NOT_FINITE, /* the loss is infinite or no number */
  TRELLIS_FAILED      /* the system refused something; the text says what */
} trellis_status;

/* A caller's tensor: dense, row-major, aligned to its element. `data` may be null where there are no
 * elements; inputs are only read. */
typedef struct {
  void *data;
  int32_t dtype; /* trellis_dtype */
  int32_t rank;
  const int64_t *dims;
} trellis_tensor;

typedef struct trellis_context trellis_context;

/* TRELLIS_API_MAJOR * 1000 + TRELLIS_API_MINOR of the library that is linked. */
TRELLIS_API int trellis_api_version(void);
/* One line that explains a status. */
TRELLIS_API const char *trellis_status_text(trellis_status status);
TRELLIS_API const char *trellis_dtype_name(int32_t dtype);
/* Bytes of an element; 0 where there is no such dtype. */
TRELLIS_API int64_t trellis_dtype_bytes(int32_t dtype);

/* Names, dtypes and dims. Null where `index` is too large; -1 where there is no such name. */
TRELLIS_API const trellis_tensor_info *trellis_input_info(const trellis_program *program, uint32_t index);
TRELLIS_API const trellis_tensor_info *trellis_output_info(const trellis_program *program, uint32_t index);
TRELLIS_API const trellis_tensor_info *trellis_state_info(const trellis_program *program, uint32_t index);
TRELLIS_API int32_t trellis_input_find(const trellis_program *program, const char *name);
TRELLIS_API int32_t trellis_output_find(const trellis_program *program, const char *name);
TRELLIS_API int32_t trellis_state_find(const trellis_program *program, const char *name);

/* Makes a context whose state is all zeros. On failure *context is null, and `error` (may be null) says why.
 */
TRELLIS_API trellis_status trellis_context_create(const trellis_program *program, int threads,
                                                  trellis_context **context, char *error, size_t error_bytes);
/* Null is fine. */
TRELLIS_API void trellis_context_destroy(trellis_context *context);
TRELLIS_API const trellis_program *trellis_context_program(const trellis_context *context);
TRELLIS_API trellis_status trellis_set_threads(trellis_context *context, int threads);
TRELLIS_API int trellis_get_threads(const trellis_context *context);
/* What went wrong in the last call on this context; "" if nothing did. */
TRELLIS_API const char *trellis_last_error(const trellis_context *context);

/* What returns a status below returns TRELLIS_BAD_POINTER where the context is null. */

/* Runs the program once. Everything is checked first; when the status is not TRELLIS_OK nothing has been
 * written. */
TRELLIS_API trellis_status trellis_run(trellis_context *context, const trellis_tensor *inputs, uint32_t input_count,
                                       const trellis_tensor *outputs, uint32_t output_count);
/* The same without any check of the tensors: pointers in the program's order, as trellis_run would accept
 * them. An index out of range here is undefined behaviour. */
TRELLIS_API trellis_status trellis_run_raw(trellis_context *context, void *const *inputs, void *const *outputs);

/* Reads or writes one state tensor, dense and row-major on the caller's side whatever its layout inside. */
TRELLIS_API trellis_status trellis_state_get(trellis_context *context, const char *name, const trellis_tensor *to);
TRELLIS_API trellis_status trellis_state_set(trellis_context *context, const char *name, const trellis_tensor *from);
/* The storage of a state in its physical layout (trellis_tensor_info.bytes of it); null where `index` is too
 * large. */
TRELLIS_API void *trellis_state_data(const trellis_context *context, uint32_t index);
/* Makes a state live in the caller's memory from now on, 64-byte aligned, in the physical layout, contents as
 * they are; it must outlive the context. Contexts of several programs share parameters so. Null: back to the
 * context's own storage. */
TRELLIS_API trellis_status trellis_state_bind(trellis_context *context, const char *name, void *storage);

/* Time per kernel call. Off at first; turning it on clears the sums. */
TRELLIS_API trellis_status trellis_set_profile(trellis_context *context, int on);
/* Nanoseconds summed over `*runs` runs, one entry per program->calls; null while profiling is off. */
TRELLIS_API const uint64_t *trellis_profile(const trellis_context *context, uint64_t *runs);

#ifdef __cplusplus
}
#endif
#endif

/* What a compiled program is: plain C data that the compiler emits (in process, or into an object file) and the
 * runtime runs. Everything is fixed at compile time but the callers' pointers.
 *
 * A program is a flat list of calls: of kernels, and words of control between them (loops, branches). A kernel reads and
 * writes memory through slots: arena offsets, callers' inputs and outputs, state (parameters, optimiser state) and
 * constants. A slot may move with the iterations of loops. A Context owns an arena and one copy of the
 * state; a Program is immutable and may be shared by any number of contexts. */
#ifndef TRELLIS_RUNTIME_PROGRAM_H
#define TRELLIS_RUNTIME_PROGRAM_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C callers may pass any int for an enumeration, and are told so; C++ takes it as a value of the type only if that is int's. */
#ifdef __cplusplus
#define TRELLIS_OF_INT : int
#else
#define TRELLIS_OF_INT
#endif

#define TRELLIS_PROGRAM_VERSION 3u

/* The values of trellis::DType, in its order. */
typedef enum TRELLIS_OF_INT {
  TRELLIS_F32,
  TRELLIS_F64,
  TRELLIS_F16,
  TRELLIS_BF16,
  TRELLIS_I8,
  TRELLIS_I16,
  TRELLIS_I32,
  TRELLIS_I64,
  TRELLIS_U8,
  TRELLIS_U16,
  TRELLIS_U32,
  TRELLIS_U64,
  TRELLIS_BOOL
} trellis_dtype;

/* Iterations [begin, end) of the kernel's parallel axis. `args` holds the address of each slot that the kernel names.
 * Iterations are independent: any partition gives the same bits. */
typedef void (*trellis_kernel)(void *const *args, int64_t begin, int64_t end);

typedef enum TRELLIS_OF_INT {
  TRELLIS_SLOT_ARENA,
  TRELLIS_SLOT_INPUT,
  TRELLIS_SLOT_OUTPUT,
  TRELLIS_SLOT_STATE,
  TRELLIS_SLOT_CONSTANT
} trellis_slot_kind;

typedef struct {
  int32_t kind;   /* trellis_slot_kind */
  int32_t index;  /* of the input, output, state or constant; 0 for the arena */
  int64_t offset; /* bytes from the start of the arena, input, output, state or constant */
  int64_t bytes;  /* that kernels touch from there */
} trellis_slot;

typedef enum TRELLIS_OF_INT {
  TRELLIS_CALL_KERNEL,
  TRELLIS_CALL_LOOP,   /* begins loop `loop` of at most `trip` iterations; with none, on to `target`, behind its NEXT */
  TRELLIS_CALL_NEXT,   /* ends an iteration: back to `target`, behind the loop's LOOP, while iterations are left */
  TRELLIS_CALL_BRANCH, /* on to `target` where the bool in args[0] is false; leaves only loops that move no slot */
  TRELLIS_CALL_JUMP    /* on to `target` */
} trellis_call_kind;

typedef struct {
  trellis_kernel kernel; /* null in control */
  const char *name;      /* for profiles */
  const uint32_t *args;  /* slot numbers */
  uint32_t arg_count;
  int64_t trip;    /* iterations of the parallel axis; 1: serial. Of a loop: its iterations */
  int64_t grain;   /* fewest iterations that are worth a thread */
  int32_t kind;    /* trellis_call_kind */
  uint32_t loop;   /* loops are numbered in the order of the list */
  uint32_t target; /* number of a call; behind the last: the end */
  uint32_t reserved;
} trellis_call;

/* After each iteration of the loop but the last, the slot moves by `stride` bytes; the end of the loop undoes it. */
typedef struct {
  uint32_t slot;
  uint32_t loop;
  int64_t stride;
} trellis_move;

/* One dimension of a physical layout: element (i0, i1, ...) lies at the sum over terms of
 * (i[dim] / div % mod) * stride elements; mod 0 means no remainder is taken. Row-major is one term a dim. */
typedef struct {
  int32_t dim;
  int32_t reserved;
  int64_t div, mod, stride;
} trellis_layout_term;

typedef struct {
  const char *name;
  int32_t dtype; /* trellis_dtype */
  int32_t rank;
  const int64_t *dims;
  int64_t bytes; /* of the storage: the physical size for state, dense row-major for inputs and outputs */
  const trellis_layout_term *layout; /* state and constants; null: row-major */
  int32_t layout_count;
  int32_t trained; /* state: 1 for a parameter, 0 for other state */
} trellis_tensor_info;

/* An input whose elements are used as indices: each must lie in [low, high), else the call is refused. */
typedef struct {
  int32_t input;
  int64_t low, high;
} trellis_index_check;

typedef struct trellis_program {
  uint32_t version; /* TRELLIS_PROGRAM_VERSION */
  uint32_t flags;
  const char *name;
  const trellis_tensor_info *inputs, *outputs, *states, *constants;
  uint32_t input_count, output_count, state_count, constant_count;
  const void *const *constant_data; /* address of each constant's bytes, 64-byte aligned */
  const trellis_slot *slots;
  uint32_t slot_count;
  const trellis_call *calls;
  uint32_t call_count;
  const trellis_index_check *index_checks;
  const trellis_move *moves; /* ascending slots */
  uint32_t index_check_count, move_count, loop_count;
  int64_t arena_bytes; /* 64-byte aligned */
} trellis_program;

#ifdef __cplusplus
}
#endif
#endif

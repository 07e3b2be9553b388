/* The trellis compiler: the stable C interface. Link libtrellis.so (CMake: trellis::c).
 *
 *   char why[1024];
 *   trellis_model *model;
 *   if (trellis_model_load("lenet.trl", &model, why, sizeof why) != TRELLIS_OK) { puts(why); ... }
 *   trellis_model_set_training(model, "adam:lr=0.001", NULL);
 *   trellis_named_tensor batch[] = {{"x", {pixels, TRELLIS_F32, 4, (int64_t[]){64, 1, 28, 28}}},
 *                                   {"label", {labels, TRELLIS_I64, 1, (int64_t[]){64}}}};
 *   double loss;
 *   if (trellis_model_train_step(model, batch, 2, &loss, NULL) != TRELLIS_OK) puts(trellis_model_error(model));
 *   trellis_model_save_weights(model, "lenet.safetensors");
 *   trellis_model_bind_dim(model, "N", 1);
 *   trellis_model_export(model, TRELLIS_FORM_INFERENCE, TRELLIS_EXPORT_LIBRARY, "liblenet.so");
 *   trellis_model_destroy(model);
 *
 * A model is a graph with the values of its parameters and state. Programs are compiled when they are first
 * needed, one for each form and each binding of the symbolic dims, and kept; all of a model's programs see
 * one set of values. So a last, shorter batch is one more compilation, once.
 *
 * Tensors are those of runtime/trellis.h: the caller's memory, dense, row-major, aligned to the element, any
 * dtype of trellis_dtype; they are only used during the call. Dtypes are never converted.
 *
 * Every call that can fail gives a status. Its text, with the place in the model or the file ("net.trl:3:8: error: ..."),
 * stands in trellis_model_error until the model's next call, or in the buffer that was given, cut off where that is too
 * small. A null pointer gives TRELLIS_BAD_POINTER, and trellis_model_destroy(NULL) does nothing. Nothing throws, nothing
 * prints. A broken invariant of the compiler itself aborts the process.
 *
 * One call at a time on one model: a second one, from another thread, gets TRELLIS_BUSY. Different models do
 * not disturb each other. Pointers to names, lists and programs belong to the model; texts are UTF-8. */
#ifndef TRELLIS_COMPILER_API_TRELLIS_COMPILER_H
#define TRELLIS_COMPILER_API_TRELLIS_COMPILER_H
#include "runtime/trellis.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface: the major part changes when a caller must be recompiled. */
#define TRELLIS_COMPILER_API_MAJOR 1
#define TRELLIS_COMPILER_API_MINOR 1
/* MAJOR * 1000 + MINOR of the library that is linked. */
TRELLIS_API int trellis_compiler_api_version(void);

typedef struct trellis_model trellis_model;
typedef struct trellis_graph trellis_graph;

typedef struct {
  const char *name;
  trellis_tensor tensor;
} trellis_named_tensor;

/* Which program of a model. */
typedef enum TRELLIS_OF_INT {
  TRELLIS_FORM_MODEL,     /* the graph as it stands */
  TRELLIS_FORM_INFERENCE, /* what its loss is made of ("logits"), without the target; else as it stands */
  TRELLIS_FORM_TRAINING,  /* a step: forward, gradient and update; needs trellis_model_set_training */
  TRELLIS_FORM_EVALUATION /* "loss" and, with cross-entropy, "correct"; changes nothing */
} trellis_form;

/* ---- Models ---- */

/* Reads a model (.trl, .onnx) and checks it. Large constants are found beside it. An ONNX file begins with its own
 * weights; it is imported when a program is first compiled for a binding of its dims, so that some mistakes show only then,
 * and it has no text. On failure *model is null. */
TRELLIS_API trellis_status trellis_model_load(const char *path, trellis_model **model, char *error, size_t error_bytes);
/* The same from text. `name` stands in messages; data files are looked for in the working directory. */
TRELLIS_API trellis_status trellis_model_parse(const char *text, const char *name, trellis_model **model, char *error,
                                               size_t error_bytes);
TRELLIS_API void trellis_model_destroy(trellis_model *model);
/* What went wrong in the last call on this model; "" if nothing did. */
TRELLIS_API const char *trellis_model_error(const trellis_model *model);
/* The graph's name, and the whole graph as text that parses back. "" for null. */
TRELLIS_API const char *trellis_model_name(const trellis_model *model);
TRELLIS_API const char *trellis_model_text(const trellis_model *model);

typedef enum TRELLIS_OF_INT {
  TRELLIS_INPUTS,  /* given at every call */
  TRELLIS_OUTPUTS, /* of a compiled program, one whose number of elements depends on data is followed by NAME.count */
  TRELLIS_PARAMS,  /* trained */
  TRELLIS_STATES   /* kept between calls, not trained */
} trellis_list;

typedef struct {
  const char *name;
  int32_t dtype; /* trellis_dtype; -1 (and a rank of -1): an ONNX file does not say what this output is */
  int32_t rank;
  const int64_t *dims;        /* -1 where a dim is symbolic */
  const char *const *symbols; /* that dim's name there ("?": it has none); null elsewhere */
  const char *type;           /* "f32[N, 784]" */
} trellis_value_info;

/* Of the graph as it stands, in its order. 0 for null. */
TRELLIS_API uint32_t trellis_model_count(const trellis_model *model, trellis_list list);
/* Null where `index` is too large. */
TRELLIS_API const trellis_value_info *trellis_model_value(const trellis_model *model, trellis_list list,
                                                          uint32_t index);
/* Names of symbolic dims in order of appearance; null where `index` is too large. */
TRELLIS_API const char *trellis_model_dim(const trellis_model *model, uint32_t index);

/* ---- Options. Changing one drops the programs made so far; values stay. ---- */

/* Gives a symbolic dim its number, for all programs made from now on; tensors that contradict it are refused.
 * Dims that are not bound follow from the tensors of each call. -1: no longer bound. */
TRELLIS_API trellis_status trellis_model_bind_dim(trellis_model *model, const char *dim, int64_t number);
/* Threads that compile and run, 1 to TRELLIS_MAX_THREADS; 1 at first. Results do not depend on them. */
TRELLIS_API trellis_status trellis_model_set_threads(trellis_model *model, int threads);
/* "host" (at first), "x86-64", "x86-64-v3", "x86-64-v4" or "aarch64". Any can be exported for; only what this
 * machine has runs here. */
TRELLIS_API trellis_status trellis_model_set_target(trellis_model *model, const char *target);
/* Of initial values that are not made yet: parameters begin as their `init` says when they are first needed.
 */
TRELLIS_API trellis_status trellis_model_set_seed(trellis_model *model, uint64_t seed);
/* How to train: an optimiser ("adam:lr=0.001", "sgd:lr=0.01,momentum=0.9") and a loss: null for the model's
 * own scalar output, or "cross_entropy" (adds the input "label"), "mse", "bce" or "bce_with_logits" (add
 * "target") of its first output. The optimiser's state is kept where its kind stays. */
TRELLIS_API trellis_status trellis_model_set_training(trellis_model *model, const char *optimizer, const char *loss);

/* Ties an output to an input of the next call, for models that ask for the state that they gave: the input becomes state,
 * zero at first, listed among TRELLIS_STATES, read and written by trellis_model_get and trellis_model_set. It is kept between
 * calls of TRELLIS_FORM_MODEL and in what is exported of that form; the output can still be asked for. Both must have one
 * type. Refused after trellis_model_set_training. */
TRELLIS_API trellis_status trellis_model_carry(trellis_model *model, const char *output, const char *input);

/* ---- Compiling and running ---- */

/* Compiles the program for these shapes, or finds it; `inputs` need no data, and none are needed where all
 * dims are bound. *program (may be null) tells the names, dtypes and dims of its inputs, outputs and state
 * (trellis_input_info, ...); it lives until an option changes, weights are loaded or the model is destroyed.
 */
TRELLIS_API trellis_status trellis_model_compile(trellis_model *model, trellis_form form,
                                                 const trellis_named_tensor *inputs, uint32_t input_count,
                                                 const trellis_program **program);
/* Runs it once: all inputs, in any order, and those outputs that are wanted. On failure no output has been
 * written and no value has changed. */
TRELLIS_API trellis_status trellis_model_run(trellis_model *model, trellis_form form,
                                             const trellis_named_tensor *inputs, uint32_t input_count,
                                             const trellis_named_tensor *outputs, uint32_t output_count);
/* One step of training. *loss is the mean over the batch before the update; *correct (may be null) counts
 * right answers, -1 where the loss is no cross-entropy. TRELLIS_NOT_FINITE: the step was made, and *loss is
 * infinite or no number. */
TRELLIS_API trellis_status trellis_model_train_step(trellis_model *model, const trellis_named_tensor *inputs,
                                                    uint32_t input_count, double *loss, int64_t *correct);

/* ---- Parameters and state ---- */

/* One value, dense and row-major, by name; the optimiser's too ("adam.m.w"), once they are there. */
TRELLIS_API trellis_status trellis_model_get(trellis_model *model, const char *name, const trellis_tensor *to);
TRELLIS_API trellis_status trellis_model_set(trellis_model *model, const char *name, const trellis_tensor *from);
/* Safetensors, as `trellis train` writes and `--weights` reads them: all parameters and state, with the
 * optimiser's where training was set. The file is written whole or not at all. */
TRELLIS_API trellis_status trellis_model_save_weights(trellis_model *model, const char *path);
/* Replaces all values; optimiser state that the file has not begins anew, and an ONNX model's own weights stay where the
 * file has none. A checkpoint that `trellis train` made of a table says how its columns were scaled: the model does that
 * itself from then on, in every form, so that samples are given as they are. Refused, with nothing changed, where a value
 * is missing, has another type or belongs to another model. */
TRELLIS_API trellis_status trellis_model_load_weights(trellis_model *model, const char *path);

/* ---- Ahead of time ---- */

typedef enum TRELLIS_OF_INT {
  TRELLIS_EXPORT_OBJECT,  /* a relocatable object */
  TRELLIS_EXPORT_LIBRARY, /* a shared library; for this machine's architecture alone */
  TRELLIS_EXPORT_HEADER   /* the C interface of both */
} trellis_export;

/* Writes the program with the values as they are now. It needs libc, libm and threads, not trellis. Every
 * symbolic dim must be bound. */
TRELLIS_API trellis_status trellis_model_export(trellis_model *model, trellis_form form, trellis_export kind,
                                                const char *path);

/* ---- Graphs, node by node ---- */

/* An empty graph. What is added is checked by trellis_graph_model, which tells all mistakes at once. */
TRELLIS_API trellis_status trellis_graph_create(const char *name, trellis_graph **graph);
TRELLIS_API void trellis_graph_destroy(trellis_graph *graph);
/* An input, e.g. "x" of type "f32[N, 784]". */
TRELLIS_API trellis_status trellis_graph_input(trellis_graph *graph, const char *name, const char *type);
/* A parameter; `init` as in init(...): "he_normal". Null: values must be set or loaded. */
TRELLIS_API trellis_status trellis_graph_param(trellis_graph *graph, const char *name, const char *type,
                                               const char *init);
/* result = op(operands), with attributes as text ("lo=[1, 1], hi=[1, 1]"; may be null). Operands are names of
 * values, or numbers. `trellis ops` lists the ops. */
TRELLIS_API trellis_status trellis_graph_node(trellis_graph *graph, const char *result, const char *op,
                                              const char *const *operands, uint32_t operand_count,
                                              const char *attributes);
/* Lines of the text format (ir/parse.h): for what has several results, bodies, or is state. */
TRELLIS_API trellis_status trellis_graph_append(trellis_graph *graph, const char *statements);
TRELLIS_API trellis_status trellis_graph_output(trellis_graph *graph, const char *value);
/* The model. The graph stays, and can grow on. */
TRELLIS_API trellis_status trellis_graph_model(const trellis_graph *graph, trellis_model **model, char *error,
                                               size_t error_bytes);

#ifdef __cplusplus
}
#endif
#endif

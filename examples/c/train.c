/* Trains LeNet from C on digits that stand in a text file as pictures, keeps what it learnt, and compiles it
 * to a library that needs libc alone (examples/c/classify.c calls such a one):
 *
 *   cc -Ibuild/include examples/c/train.c -ltrellis -o train     (CMake: trellis::c)
 *   ./train examples/lenet.trl examples/c/digits.txt lenet.safetensors liblenet.so lenet.h
 */
#include "compiler/api/trellis_compiler.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { side = 28, pixels = side * side, most = 1000, copies = 3, steps = 60 };

/* Samples are the pictures, each also shifted to the left and to the right. */
static float images[most * copies][pixels];
static int64_t labels[most * copies];

/* Pictures of 28 lines after a line `digit N`; -1 where the file is something else. */
static int read_pictures(const char *path) {
  static const char levels[] = " .:-=+*#%@";
  FILE *file = fopen(path, "r");
  char line[256];
  int count = 0, digit;
  if (!file) return -1;
  while (count < most && fgets(line, sizeof line, file)) {
    if (line[0] == '#') continue;
    if (sscanf(line, "digit %d", &digit) != 1 || digit < 0 || digit > 9) break;
    for (int y = 0; y < side && fgets(line, sizeof line, file); ++y) {
      line[strcspn(line, "\r\n")] = 0;
      for (int x = 0; x < side && line[x]; ++x) {
        const char *level = strchr(levels, line[x]);
        float grey = level ? (float)(level - levels) / (float)(sizeof levels - 2) : 0;
        for (int shift = 0; shift < copies; ++shift) {
          int to = x + shift - copies / 2;
          if (to >= 0 && to < side) images[copies * count + shift][y * side + to] = grey;
        }
      }
    }
    for (int shift = 0; shift < copies; ++shift) labels[copies * count + shift] = digit;
    ++count;
  }
  int whole = feof(file);
  fclose(file);
  return whole && count > 0 ? copies * count : -1;
}

static void check(trellis_status status, trellis_model *model) {
  if (status == TRELLIS_OK) return;
  fprintf(stderr, "%s: %s\n", trellis_status_text(status), trellis_model_error(model));
  trellis_model_destroy(model);
  exit(1);
}

/* The batch that begins at `first`, the last one shorter: it has a program of its own, compiled when it is
 * met. */
static double step(trellis_model *model, int first, int size, int64_t *correct) {
  const int64_t image_dims[] = {size, 1, side, side}, label_dims[] = {size};
  const trellis_named_tensor batch[] = {{"x", {images[first], TRELLIS_F32, 4, image_dims}},
                                        {"label", {&labels[first], TRELLIS_I64, 1, label_dims}}};
  double loss;
  check(trellis_model_train_step(model, batch, 2, &loss, correct), model);
  return loss;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: %s MODEL.trl DIGITS.txt WEIGHTS.safetensors LIBRARY.so HEADER.h\n", argv[0]);
    return 2;
  }
  int count = read_pictures(argv[2]), batch = 20;
  if (count < 0) {
    fprintf(stderr, "%s: cannot be read as pictures\n", argv[2]);
    return 1;
  }
  char why[1024];
  trellis_model *model;
  if (trellis_model_load(argv[1], &model, why, sizeof why) != TRELLIS_OK) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  printf("%s:", trellis_model_name(model));
  for (uint32_t i = 0; i < trellis_model_count(model, TRELLIS_PARAMS); ++i) {
    const trellis_value_info *p = trellis_model_value(model, TRELLIS_PARAMS, i);
    printf(" %s %s", p->name, p->type);
  }
  printf("\n");
  check(trellis_model_set_training(model, "adam:lr=0.003", NULL), model);
  for (int epoch = 0; epoch < steps; ++epoch) {
    double sum = 0;
    int64_t right = 0, correct;
    for (int first = 0; first < count; first += batch) {
      int size = first + batch < count ? batch : count - first;
      sum += size * step(model, first, size, &correct);
      right += correct;
    }
    if (epoch % 20 == 19) printf("epoch %d: loss %.4f, %d of %d right\n", epoch + 1, sum / count, (int)right, count);
  }
  check(trellis_model_save_weights(model, argv[3]), model);
  check(trellis_model_bind_dim(model, "N", 1), model);
  check(trellis_model_export(model, TRELLIS_FORM_INFERENCE, TRELLIS_EXPORT_LIBRARY, argv[4]), model);
  check(trellis_model_export(model, TRELLIS_FORM_INFERENCE, TRELLIS_EXPORT_HEADER, argv[5]), model);
  trellis_model_destroy(model);
  return 0;
}

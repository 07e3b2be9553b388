// Classifies digits that stand in a text file as pictures, with a model that trellis compiled to a library:
//
//   trellis compile examples/lenet.trl --inference --dim N=1 --weights lenet.safetensors
//     -o liblenet.so --header lenet.h
//   cc -I. examples/c/classify.c liblenet.so -Wl,-rpath,'$ORIGIN' -lm -o classify
//   ./classify examples/c/digits.txt
//
// The library needs libc alone: neither trellis nor LLVM need be there.
#include "lenet.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { side = 28 };
static const char levels[] = " .:-=+*#%@";

/* Reads 28 lines of up to 28 characters; false, with a message, where they are something else. */
static int read_picture(FILE *file, const char *path, int *line_number, float *pixels) {
  char line[256];
  for (int y = 0; y < side; ++y) {
    if (!fgets(line, sizeof line, file)) {
      fprintf(stderr, "%s: ends in the middle of a picture: %d lines, expected %d\n", path, y, side);
      return 0;
    }
    ++*line_number;
    line[strcspn(line, "\r\n")] = 0;
    size_t width = strlen(line);
    if (width > side) {
      fprintf(stderr, "%s:%d: a line of %zu pixels, expected %d at most\n", path, *line_number, width, side);
      return 0;
    }
    for (size_t x = 0; x < side; ++x) {
      const char *level = x < width ? strchr(levels, line[x]) : levels;
      if (!level) {
        fprintf(stderr, "%s:%d: '%c' is no grey level; expected one of \"%s\"\n", path, *line_number, line[x], levels);
        return 0;
      }
      pixels[y * side + x] = (float)(level - levels) / (float)(sizeof levels - 2);
    }
  }
  return 1;
}

static int best_of(const float *logits, float *probability) {
  int best = 0;
  float sum = 0;
  for (int i = 1; i < LENET_LOGITS_SIZE; ++i)
    if (logits[i] > logits[best]) best = i;
  for (int i = 0; i < LENET_LOGITS_SIZE; ++i) sum += expf(logits[i] - logits[best]);
  *probability = 1 / sum;
  return best;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FILE.txt\n", argv[0]);
    return 2;
  }
  FILE *file = fopen(argv[1], "r");
  if (!file) {
    perror(argv[1]);
    return 1;
  }
  lenet_context *model = lenet_create(1);
  if (!model) {
    fprintf(stderr, "%s\n", lenet_error(NULL));
    fclose(file);
    return 1;
  }
  char line[256];
  int number = 0, seen = 0, right = 0, ok = 1, label;
  while (ok && fgets(line, sizeof line, file)) {
    ++number;
    if (line[0] == '#') continue;
    if (sscanf(line, "digit %d", &label) != 1) {
      fprintf(stderr, "%s:%d: expected `digit N`\n", argv[1], number);
      ok = 0;
      break;
    }
    float pixels[LENET_X_SIZE], logits[LENET_LOGITS_SIZE], probability;
    if (!read_picture(file, argv[1], &number, pixels)) {
      ok = 0;
    } else if (lenet_run(model, pixels, logits) != 0) {
      fprintf(stderr, "%s\n", lenet_error(model));
      ok = 0;
    } else {
      int digit = best_of(logits, &probability);
      printf("a %d is seen as %d, %5.1f %% sure%s\n", label, digit, 100 * probability,
             digit == label ? "" : "  <- wrong");
      ++seen;
      right += digit == label;
    }
  }
  if (ok) printf("%d of %d digits right\n", right, seen);
  lenet_destroy(model);
  fclose(file);
  return ok ? 0 : 1;
}

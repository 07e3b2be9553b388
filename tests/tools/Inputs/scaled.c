/* What a program does with a model that scales its rows. */
#include "scaled.h"
#include <stdio.h>

int main(void) {
  float x[] = {16, 1000, 2, 1002.5}, y[4];
  scaled_context *c = scaled_create(1);
  if (scaled_run(c, x, y)) return 1;
  printf("%g %g %g %g\n", y[0], y[1], y[2], y[3]);
  scaled_destroy(c);
  return 0;
}

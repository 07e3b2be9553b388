/* What a program does with a model that carries its state. */
#include "sum.h"
#include <stdio.h>

int main(void) {
  sum_context *c = sum_create(1);
  float after[2], steps[][2] = {{1, 2}, {10, 20}}, begin[2] = {5, 5}, one[2] = {1, 2};
  for (int i = 0; i < 2; ++i) {
    if (sum_run(c, steps[i], after)) return 1;
    printf("%g %g\n", after[0], after[1]);
  }
  if (sum_set_state(c, "before", begin) || sum_run(c, one, after)) return 1;
  printf("%g %g\n", after[0], after[1]);
  sum_destroy(c);
  return 0;
}

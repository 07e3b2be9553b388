// Built-in data: handwritten-looking digits, drawn by the program, so that training needs no download.
#pragma once
#include "compiler/data/dataset.h"

namespace trellis {

/// `count` grey images f32 [count, 1, 28, 28], bytes / 255 as MNIST's, ink bright on 0; targets i64 [count].
/// Sample i is a function of (seed, i) alone and has the same bytes on every machine.
Dataset make_digits(int64_t count, uint64_t seed);

} // namespace trellis

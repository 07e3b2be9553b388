// Rewrites what a machine has no instruction for into what every back end emits well. Runs after `decompose`,
// before `fuse`; nothing after it may reassociate, or fold (x + c) - c.
//
// Elementary functions become range reduction and polynomials in the IR (legalize_math.h), so that they
// vectorise and fuse. The composite `sigmoid` is one of them: `decompose` should keep what `legalizes` names.
//
// Rounding is decided here. An `add` of f32 or f64 one of whose operands is a `mul`, or the `neg` of one,
// becomes an `fma` of that product, whoever else uses the product: the rule looks at the add and its operands
// alone, so that results do not depend on what else is computed, saved or recomputed. Where both operands are
// products the first one is fused. A product that only adds used is left without uses. The back end emits
// each node as it stands.
//
// Arithmetic, reductions and contractions of f16 and bf16 are done in f32, each result rounded as the
// reference interpreter does; only casts, selects and movement see these types afterwards.
//
// What stays for the back end: guards of integer division, shifts and float-to-integer casts; `rem` of floats,
// `sin_large` and `cos_large` (calls of libm for the rare element: a quotient beyond 2^29, an argument beyond
// 2^17); fma of f64 on a machine without one.
#pragma once
#include "passes/pass.h"

namespace trellis {

/// What the target has instructions for.
struct LegalizeOptions {
  bool fma = true;      ///< fused multiply-add; without it none is formed
  bool rounding = true; ///< floor and round to even (SSE 4.1)
  bool half = true;     ///< conversions between f16 and f32 (F16C)
};

/// From the words of a pass list: no_fma, no_rounding, no_half. Throws CompileError on others.
LegalizeOptions legalize_options(const PassArgs &words);

/// Whether `legalize` rewrites the node itself, composite or not.
bool legalizes(const Node &n);

GraphPtr legalize(const Graph &g, const LegalizeOptions &options = {});

} // namespace trellis

// Rotary embeddings, for the standard's operator and that of com.microsoft.
#pragma once
#include "compiler/onnx/recipe.h"

namespace trellis::onnx {

/// x [B, H, M, D], or [B, M, H D] with the number of heads, turned by the caches: [B, M, turned / 2], or their rows at
/// `ids` [B, M] (may be null). Attributes: rotary_embedding_dim, interleaved.
Value turned(Step &s, Value x, Value cosine, Value sine, Value ids, int64_t heads);

} // namespace trellis::onnx

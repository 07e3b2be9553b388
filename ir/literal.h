// Elements of tensors as text, exactly: what is written reads back to the same bits.
//
// Floats: the shortest decimal that reads back (`0.1`, `1e-05`, `-0`), `inf`, `-inf`, `nan` for the positive
// quiet NaN without payload, and `nan(0x7fc00001)` with the whole bit pattern for any other. Integers are
// decimal. Bools are `true` and `false`.
#pragma once
#include "ir/tensor.h"
#include <string>
#include <string_view>

namespace trellis {

std::string format_element(const Tensor &t, int64_t i);
/// Sets element `i` from its spelling. Returns what is wrong with it, or nothing.
std::string set_element(Tensor &t, int64_t i, std::string_view text);
/// Shortest decimal that reads back to the same double.
std::string format_real(double v);
/// The opposite; false where `text` is no number, or not a finite one.
bool parse_real(std::string_view text, double &v);
bool parse_integer(std::string_view text, int64_t &v);

} // namespace trellis

// Initial values of parameters and state, from the text in `init(...)`.
//
//   zero, one, constant(c)
//   normal(std), normal(mean, std), uniform(low, high)
//   seed: of integers, random bits (how a random stream begins)
//   glorot_uniform: +-sqrt(6 / (fan_in + fan_out))        glorot_normal: std sqrt(2 / (fan_in + fan_out))
//   he_uniform:     +-sqrt(6 / fan_in)                    he_normal:     std sqrt(2 / fan_in)
//   fan_in_uniform: +-1 / sqrt(fan_in), the default of torch's Linear and Conv2d
//
// Fans follow from the shape: [in, out] for rank 2 (the right operand of dot), [out, in, kernel...] from rank
// 3 on (conv; fan = channels times kernel elements). A bias has no fan of its own: fan_in_uniform(400) and
// the others take fan_in as an argument instead.
#pragma once
#include "ir/diag.h"
#include "ir/tensor.h"
#include <string>
#include <string_view>

namespace trellis {

struct Initialiser {
  enum class Kind { constant, normal, uniform, bits } kind = Kind::constant;
  double a = 0, b = 0; ///< constant: a; normal: mean a, deviation b; uniform: a to b
};

/// Throws a CompileError at `where` for an unknown name, bad arguments or a shape without fans. An empty text
/// is an error: a parameter must say how it begins.
Initialiser parse_init(std::string_view text, const Type &type, const Location &where = {});

/// The initial value of the parameter `name`: a function of text, type, name and seed alone.
Tensor initial_value(std::string_view text, const Type &type, std::string_view name, uint64_t seed,
                     const Location &where = {});

} // namespace trellis

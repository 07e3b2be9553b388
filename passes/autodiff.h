// Symbolic differentiation: the public face of reverse accumulation (ir/vjp.h). Nodes are appended to the
// graph that the values belong to. Closed under itself: what it returns is differentiated like any other
// value. It runs before `decompose`, so that a row's own derivative is used, and before any inexact rule.
#pragma once
#include "ir/graph.h"
#include <memory>
#include <string>

namespace trellis {

/// Derivatives of y with respect to each of `wrt` (total ones: a value of `wrt` may lead to another). `seed`
/// is the cotangent of y; it may be left out where y has one element. A null Value where y does not depend on
/// the value through differentiable rows: see `check_differentiable`.
Values gradients(Value y, const Values &wrt, Value seed = {});

/// The cotangent, or zeros of `like`'s type where it is absent.
Value dense(Value cotangent, Value like);

/// Throws a located CompileError where y depends on `x`, but only through rows that have no derivative
/// (comparisons, rounding, casts to integers): a silent zero would hide a mistake. Independence is no error:
/// that zero is exact.
void check_differentiable(Value y, Value x);

/// Directional derivative of y along `tangents` of `wrt`, by differentiating the vjp in its seed. Null where
/// y does not depend on `wrt`.
Value jvp(Value y, const Values &wrt, const Values &tangents);

/// Hessian of the scalar y with respect to `wrt`, times `vectors`.
Values hvp(Value y, const Values &wrt, const Values &vectors);

/// Adds an output `grad.NAME` for every input that is named, or for every parameter where none is, of the
/// scalar output `of` (empty: the only scalar floating output).
void grad(Graph &g, const std::string &of, const std::vector<std::string> &wrt);

} // namespace trellis

// The values that a program keeps between calls: parameters and other state, by name.
#pragma once
#include "compiler/data/named_tensor.h"
#include "ir/graph.h"
#include <span>
#include <vector>

namespace trellis {

/// "data", "param" or "state".
std::string_view role_of(Value input);
std::string_view name_of_input(Value input);
/// Inputs of that role, in order of declaration.
Values inputs_of_role(const Graph &g, std::string_view role);

/// The initial values of parameters and state, in the order of the inputs. A missing or wrong `init` is a
/// located CompileError.
std::vector<NamedTensor> initial_state(const Graph &g, uint64_t seed);

/// The values that `from` holds for the parameters and state of `g`, in the order of the inputs. Throws a
/// CompileError that names `source` where one is missing, has another type, or belongs to none of them: a
/// checkpoint of another model. `only_parameters`: state is neither asked for nor refused.
std::vector<NamedTensor> match_state(const Graph &g, std::span<const NamedTensor> from,
                                     const std::string &source, bool only_parameters = false);

} // namespace trellis

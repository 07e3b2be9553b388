// The values that a program keeps between calls: parameters and other state, by name.
#pragma once
#include "compiler/data/safetensors.h"
#include "ir/graph.h"
#include <span>
#include <vector>

namespace trellis {

class Session;

/// "data", "param" or "state".
std::string_view role_of(Value input);
std::string_view name_of_input(Value input);
/// Inputs of that role, in order of declaration.
Values inputs_of_role(const Graph &g, std::string_view role);

/// The initial values of parameters and state, in the order of the inputs, but of those that `have` holds. A
/// missing or wrong `init` is a located CompileError.
std::vector<NamedTensor> initial_state(const Graph &g, uint64_t seed, std::span<const NamedTensor> have = {});

/// The values that `from` holds for the parameters and state of `g`, in the order of the inputs. Throws a
/// CompileError that names `source` where one is missing, has another type, or belongs to none of them: a
/// checkpoint of another model. `only_parameters`: state is neither asked for nor refused.
std::vector<NamedTensor> match_state(const Graph &g, std::span<const NamedTensor> from, const std::string &source,
                                     bool only_parameters = false);

/// The values that a file holds for the parameters and state of `g`. The state of the optimiser that wrote a
/// checkpoint, and the seed of a dropout that `g` has not, may be there and are left aside.
std::vector<NamedTensor> weights_for(const Graph &g, const SafeTensors &file, const std::string &path);

/// Gives the session those states that it has.
void set_states(Session &s, std::span<const NamedTensor> values);

} // namespace trellis

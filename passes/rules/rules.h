// The rules of `simplify` and `raise`, as data. See README.md for canonical forms and why rewriting ends.
#pragma once
#include "ir/rewrite.h"

namespace trellis {

const std::vector<Rule> &arith_rules();
const std::vector<Rule> &movement_rules();
const std::vector<Rule> &nn_rules();
/// All of them, in the order in which they are tried.
const RuleSet &simplify_rules();
/// What `raise` adds to them.
const RuleSet &raise_rules();

} // namespace trellis

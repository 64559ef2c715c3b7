// A lowered function checked against its source: by the rules of the engine, and by value. The list
// of ops is written from ane-facts.md 4.2 and 4.3, not from what lowering does.
#pragma once

#include "backend/ane/lower.h"
#include "mil/interpreter.h"

#include <map>
#include <set>
#include <string>

namespace anet::backend::testing {

// The worst differences over all outputs, relative to the largest magnitude of each.
struct LoweredError {
  double exact = 0; // in double arithmetic
  double half = 0;  // in the engine's
};

// The ops of a function that compute something, by name.
std::set<std::string> computing_ops(const mil::Function& function);
int64_t count_ops(const mil::Function& function, const std::string& name);

// Checks with doctest that the lowered function keeps the rules: well-formed, explicit, sorted
// symbols, four axes within the limits, only ops that the chip is known to take.
void check_engine_rules(const mil::Function& source, const ane::Lowered& lowered,
                        const ane::Rules& rules);

// The source's inputs as the lowered function's, packed or not.
mil::TensorMap lowered_inputs(const ane::Lowered& lowered, const mil::TensorMap& inputs);
// The lowered function's outputs under the source's names and shapes.
mil::TensorMap source_outputs(const mil::Function& source, const ane::Lowered& lowered,
                              const mil::TensorMap& outputs);

// What the interpreter makes of a function; kept, because tests come back to the same function and
// inputs under every variant of the rules.
const mil::TensorMap& interpreted(const mil::Function& function, const mil::TensorMap& inputs,
                                  mil::Precision precision);

// Lowers, checks the rules, and interprets both on the same inputs.
LoweredError compare_lowered(const mil::Function& source, const ane::Rules& rules,
                             const mil::TensorMap& inputs, const ane::LowerOptions& options = {});

// "" when every op is supported, else the first reason.
std::string why_not(const mil::Function& function, const ane::Rules& rules);

// Rules that each change one thing, by what they change.
std::map<std::string, ane::Rules> rules_variants();

} // namespace anet::backend::testing

// From a function of ours to one that the engine accepts (ane-facts.md 3.5, 4 and 6).
#pragma once

#include "backend/ane/rules.h"
#include "mil/program.h"

#include <cstdint>
#include <string>
#include <vector>

namespace anet::backend::ane {

// A port of the source function as the lowered one has it. The elements are the same, row-major.
struct LoweredPort {
  std::string name;   // in the source function
  std::string symbol; // in the lowered function
  // Four axes. Matrices [out, in, 1, 1] become [1, 1, out, in]: a width of 1 would pad every
  // element to 64 bytes. Lower ranks get leading ones.
  mil::Type type;
  // Packed route: this port is columns [column, column + width) of the input `symbol`, whose rows
  // are those of the port seen as a matrix [elements / width, width].
  int64_t column = 0;
};

struct Lowered {
  mil::Function function;
  std::vector<LoweredPort> inputs; // one a port of the source, in its order
  std::vector<LoweredPort> outputs;
  // An output of the lowered function with the largest magnitudes of products and sums inside, or
  // "" when there are none: infinities that later ops turn into 0 show there.
  std::string peaks;
};

// "" when the engine can run the op, rewritten as `lower` does; else a reason that names the op and
// the rule it breaks.
std::string why_unsupported(const mil::Function& function, const mil::Operation& op,
                            const Rules& rules);

struct LowerOptions {
  bool peaks = false;
};

// Every op of `function` is supported. Symbols of inputs and outputs sort as they are declared
// ("i000_hidden", "o000_hidden_out"), because ports bind in sorted order (ane-facts.md 0.4, R).
// Throws unsupported when the whole breaks a limit (ports, extents of a packed input).
Lowered lower(const mil::Function& function, const Rules& rules, const LowerOptions& options);

} // namespace anet::backend::ane

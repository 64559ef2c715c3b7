// From a function of ours to one that the engine accepts (ane-facts.md 3.5, 4 and 6).
#pragma once

#include "backend/ane/rules.h"
#include "mil/program.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace anet::backend::ane {

// A port of the source function as the lowered one has it: the same elements in the same row-major
// order, but in four axes of lowering's choice. The engine pitches all rows of a port alike
// (ane-facts.md 0.1, R), so element i lies at (i / width) * pitch + (i % width) * element size,
// width being the last extent of `type`: that alone fixes the layout. The width is the last extent
// of the source's shape, but for matrices [out, in, 1, 1], whose width is `in`: a width of 1 would
// pad every element to 64 bytes.
struct LoweredPort {
  std::string name;   // in the source function
  std::string symbol; // in the lowered function
  mil::Type type;
  // Packed route: `symbol` is an input that holds several ports. This one is a matrix of `width`
  // columns, whose first element is at this column and row of it.
  int64_t column = 0;
  int64_t row = 0;
};

struct Lowered {
  mil::Function function;
  std::vector<LoweredPort> inputs; // one a port of the source, in its order
  std::vector<LoweredPort> outputs;
  // An output [1, 1, 1, 1] of the lowered function, or "" when there is none: the largest magnitude
  // among all products and sums inside and all outputs. Infinities that later ops turn into 0 show
  // there, so a finite peak means that nothing overflowed.
  std::string peaks;
};

// "" when the engine can run the op, rewritten as `lower` does; else a reason that names the op and
// the rule it breaks.
std::string why_unsupported(const mil::Function& function, const mil::Operation& op,
                            const Rules& rules);

struct LowerOptions {
  bool peaks = false;
  // Outputs that do not count for the peaks, because whoever reads them sees what is infinite.
  std::set<std::string> unwatched = {};
};

// Every op of `function` is supported. Symbols of inputs and outputs sort as they are declared
// ("i000_hidden", "o000_hidden_out"), because ports bind in sorted order (ane-facts.md 0.4, R).
// Throws unsupported when the whole breaks a limit (ports, extents of a packed input).
Lowered lower(const mil::Function& function, const Rules& rules, const LowerOptions& options);

} // namespace anet::backend::ane

// From a function of ours to one that the engine accepts (ane-facts.md 3.5, 4 and 6).
#pragma once

#include "backend/ane/rules.h"
#include "mil/differentiate.h"
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
  // among what LowerOptions::peaks says. A finite peak means that nothing overflowed.
  std::string peaks;
};

// "" when the engine can run the op, rewritten as `lower` does; else a reason that names the op and
// the rule it breaks.
std::string why_unsupported(const mil::Function& function, const mil::Operation& op,
                            const Rules& rules);

// The products that read an operand as it is when it is given transposed, and else transpose it.
mil::TransposedOperands transposed_operands(const Rules& rules);

// In the engine's arithmetic Inf - Inf and 0 * Inf are 0 (ane-facts.md 6, R), so an overflow inside
// can leave finite, wrong outputs.
enum class PeaksOf : uint8_t {
  nothing,
  // The outputs, and what overflows inside without coming out. A backward pass is linear in the
  // gradients that it is given: what overflows there is only moved, multiplied and added up until
  // it is an output. What is multiplied with 0 is 0 whatever its size, and an infinity vanishes
  // wrongly only where it meets its opposite, which products with whole matrices and the norms'
  // gradients do not let happen in all of a position's channels.
  hidden,
  // All products and sums inside, and the outputs. For sums whose terms cancel by nature: the parts
  // of a head share what all their rows have, which the gradients of the logits, whose sum is 0,
  // take away again.
  all,
};

struct LowerOptions {
  PeaksOf peaks = PeaksOf::nothing;
  // Outputs that do not count for the peaks, because whoever reads them sees what is infinite.
  std::set<std::string> unwatched = {};
};

// Every op of `function` is supported. Symbols of inputs and outputs sort as they are declared
// ("i000_hidden", "o000_hidden_out"), because ports bind in sorted order (ane-facts.md 0.4, R).
// Throws unsupported when the whole breaks a limit (ports, extents of a packed input).
Lowered lower(const mil::Function& function, const Rules& rules, const LowerOptions& options);

} // namespace anet::backend::ane

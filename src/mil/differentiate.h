// Reverse-mode differentiation: from a function, the functions that compute its vector-Jacobian
// product. One rule an op; nothing here knows models.
#pragma once

#include "mil/program.h"

#include <string>
#include <vector>

namespace anet::mil {

// Which forward values the backward function receives and which it computes again.
//
// The rule of `automatic`: the results of matmul, linear, conv, conv_transpose, attention, softmax,
// layer_norm, l2_norm, cumsum and the reductions are never computed twice; pointwise ops, and ops
// that move elements, may be. Among all choices of values that keep this, it takes one of the
// fewest bytes (a minimum cut; `TapCosts` may count computing again as well), and of several such
// the one that recomputes the least. Inputs, constants and what the function returns anyway count
// as nothing. So a matmul result is tapped itself, or behind the pointwise op that follows it,
// whichever backward needs and is smaller. What a rule computes for itself is tapped where that
// costs less and it follows from forward values by pointwise ops, such as the slope of an
// activation; the probabilities of attention do not.
enum class Taps : uint8_t {
  automatic,
  all,    // tap every forward value that a gradient reads
  none,   // recompute everything from the inputs (activation checkpointing)
  listed, // tap exactly `DifferentiateOptions::tap_names` where needed, recompute the rest
};

// What `automatic` weighs. By default memory alone; where every op reads and writes memory, to
// compute again costs time, which a few taps more may save.
struct TapCosts {
  int64_t tap = 1;        // of a byte that is kept
  int64_t recomputed = 0; // of a byte that an op reads or writes when backward runs it again
};

// Which products of a gradient with a matrix of forward values, where that is read transposed, get
// it from a transpose, which `automatic` may tap in place of the matrix itself or beside it: those
// of two matrices whose result has `least` rows and columns or more, and that have no extent above
// `most`. By default none. For devices where reading a matrix transposed is work.
struct TransposedOperands {
  int64_t least = 0;
  int64_t most = 0;
};

struct DifferentiateOptions {
  std::vector<std::string> with_respect_to; // input names; empty means every floating input
  std::vector<std::string> outputs;         // outputs that get a seed; empty: every floating one
  Taps taps = Taps::automatic;
  std::vector<std::string> tap_names;
  TapCosts tap_costs = {};
  TransposedOperands transposed_operands = {};
};

// `forward` is the function with its taps appended to the outputs. `backward` takes, by name: the
// forward inputs it reads, the taps it reads, and one seed `d_<output>` for each seeded output,
// shaped like it; it returns `d_<input>` for each input of with_respect_to, in that order. An
// input that no seeded output depends on gets zeros. Inputs come in this order: forward
// inputs in their order, taps, seeds.
// Both are simplified (passes.h), and deterministic: one function always gives the same two, with
// the same names. A tap that the function returns already is in `taps`, and is not returned twice.
// A gradient has the type of its input; the gradient of a conversion converts.
// At a kink the gradient is PyTorch's: equal operands of maximum and minimum get half each, equal
// extremes of reduce_max and reduce_min the same share, relu has slope 0 at 0, clip 1 at its
// bounds.
struct Derivative {
  Function forward;
  Function backward;
  std::vector<std::string> taps; // the values that forward returns for backward
};

// Throws Error(unsupported) naming an op without a gradient, Error(not_found) naming an unknown
// port or tap, Error(type_mismatch) for a port that is not floating, Error(invalid_program) when a
// port has the name of a gradient.
Derivative differentiate(const Function& function, const DifferentiateOptions& options);

// Forward and backward as one function: takes the function's inputs, then the seeds `d_<output>`;
// returns the function's outputs, then the gradients. No taps.
Function value_and_gradient(const Function& function, const DifferentiateOptions& options);

// True when the op has a gradient rule (or is constant everywhere, as comparisons are).
bool has_gradient(const OpSchema& schema);

} // namespace anet::mil

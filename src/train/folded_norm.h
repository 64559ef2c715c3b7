// The weight of a norm in the columns of the matrices behind it, which fp16 has to hold.
#pragma once

#include "mil/literal.h"

#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace anet::train {

// What the norm goes on multiplying by: 1, which costs nothing, or else a power of two on the way
// to the weight's magnitude, with which matrices keep theirs. The first that `holds` says yes to.
std::optional<double> norm_factor(std::span<const float> weight,
                                  const std::function<bool(double)>& holds);

// weight / factor
std::vector<float> column_factors(std::span<const float> weight, double factor);

// Whether fp16 holds a matrix with its columns multiplied: nothing becomes infinite, and next to
// nothing a denormal, which products of some chips take as zero (ane-facts.md 6).
bool fp16_holds(std::span<const float> matrix, std::span<const float> columns);

// That matrix in fp16.
mil::Bytes fp16_with_columns(std::span<const float> matrix, std::span<const float> columns);

} // namespace anet::train

// W8A8: products with constant weights run on int8 activations and int8 weights. Ranges of the
// activations come from calibration, one symmetric scale a tensor; weights have one a row. Scales
// are fp16, as the ANE takes them (ane-facts.md 3.4, R).
#pragma once

#include "mil/program.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace anet::quant {

// Magnitudes that values had while they were observed.
class ActivationRanges {
public:
  // Throws invalid_data for a number that is not finite.
  void observe(const std::string& value, std::span<const float> numbers);
  // The least magnitude that the fraction `coverage` of the observed ones do not exceed, up to a
  // hundredth; exact for 1. Throws not_found for a value that was not observed.
  float limit(const std::string& value, double coverage) const;

private:
  struct Magnitudes {
    float largest = 0;
    uint64_t count = 0;
    std::vector<uint64_t> bins; // by sign-less bfloat16
  };
  std::map<std::string, Magnitudes> values_;
};

// What to run on calibration data: outputs()[i] of the function is the value values[i].
struct Calibration {
  mil::Function function;
  std::vector<std::string> values;
};
// Its outputs are what products with constant weights read: 1x1 convolutions, linear and matmul
// with a constant matrix. Throws unsupported when the function has none.
Calibration calibration_of(const mil::Function& function);

struct ActivationOptions {
  double coverage = 1; // of the observed magnitudes that a range holds, in (0, 1]; 1 clips nothing
};

// The function with `quantize` and `dequantize` around what such a product reads, and its weight as
// constexpr_affine_dequantize. Other ops stay in floating point.
mil::Function quantize_activations(const mil::Function& function, const ActivationRanges& ranges,
                                   const ActivationOptions& options = {});

} // namespace anet::quant

// MIL text for measurements: chains of 1x1 convolutions or matrix products, and casts. Every
// argument is written out, because the Neural Engine's compiler knows no defaults.
#pragma once

#include "handles.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cli {

using Program = std::unique_ptr<anet_program, Release<anet_program_release>>;

enum class Product { convolution, matmul };
enum class WeightForm {
  fp16, // constants
  int8, // constants of one scale, dequantized where the device does it
  input // fp16 inputs, which may change from run to run
};

// y = W[layers-1] ... W[1] W[0] x. Convolutions have x as [1, channels, 1, positions], products as
// [1, 1, channels, positions]. Weights are random with a variance that keeps the size of the
// values, so that nothing overflows, vanishes or is denormal.
struct Chain {
  Product product = Product::convolution;
  WeightForm weights = WeightForm::fp16;
  int64_t channels = 0;
  int64_t positions = 0;
  int64_t layers = 1;
  int64_t last_channels = 0; // outputs of the last layer; 0: channels
};

uint64_t chain_flops(const Chain& chain);        // a multiply-add counts two
uint64_t chain_weight_bytes(const Chain& chain); // as the program holds them
Program chain_program(const Chain& chain);

// y = x in another floating type; [1, channels, 1, positions].
Program cast_program(const char* from, const char* to, int64_t channels, int64_t positions);

// `count` pseudo-random fp16 values, uniform from -limit to limit; the same for the same seed.
std::vector<uint16_t> random_halves(size_t count, double limit, uint64_t seed);
// The limit that keeps the size of values through a product over `channels`.
double weight_limit(int64_t channels);

} // namespace cli

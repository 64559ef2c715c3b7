// Choosing the next token from its logits.
#pragma once

#include "base/random.h"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace anet::generate {

struct SamplingOptions {
  double temperature = 0; // 0: greedy
  int32_t top_k = 0;      // 0: off
  double top_p = 0;       // 0: off
  uint64_t seed = 0;
};

// Throws out_of_range naming the option.
void check_options(const SamplingOptions& options);

// Temperature first, then the top_k most probable, then the smallest set of them whose probability
// reaches top_p (Holtzman et al. 2020). Greedy takes the lowest id among equals.
class Sampler {
public:
  explicit Sampler(const SamplingOptions& options);
  // Throws numeric when a logit is NaN or +infinity.
  int32_t sample(std::span<const float> logits);

private:
  int32_t draw();

  SamplingOptions options_;
  Random random_;
  std::vector<std::pair<double, int32_t>> candidates_; // probability (unnormalised), id
};

} // namespace anet::generate

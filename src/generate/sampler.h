// Choosing the next token from its logits.
#pragma once

#include "base/random.h"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace anet::generate {

struct SamplingOptions {
  double temperature = 0;        // 0: greedy
  int32_t top_k = 0;             // 0: off
  double top_p = 0;              // 0: off
  double min_p = 0;              // 0: off
  double repetition_penalty = 0; // 0 and 1: off
  uint64_t seed = 0;
};

// Throws out_of_range naming the option, unsupported_option for one that greedy would ignore.
void check_options(const SamplingOptions& options);

// Tokens that were seen before are made less likely first: their logits are divided by
// repetition_penalty if positive, else multiplied (Keskar et al. 2019). Then temperature, then the
// top_k most probable, then the smallest set of them whose probability reaches top_p (Holtzman et
// al. 2020), then those of at least min_p times the largest probability (Nguyen et al. 2024).
// Greedy takes the lowest id among equals.
class Sampler {
public:
  explicit Sampler(const SamplingOptions& options);
  // Tokens that count as seen: the prompt's, and each one that was chosen.
  void observe(std::span<const int32_t> ids);
  // Throws numeric when a logit is NaN or +infinity.
  int32_t sample(std::span<const float> logits);

private:
  std::span<const float> penalize(std::span<const float> logits);
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  int32_t draw();

  SamplingOptions options_;
  Random random_;
  std::vector<std::pair<double, int32_t>> candidates_; // probability (unnormalised), id
  std::vector<int32_t> seen_;                          // sorted, each once
  std::vector<float> penalized_;
};

} // namespace anet::generate

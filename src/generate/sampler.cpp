#include "generate/sampler.h"

#include "base/status.h"

#include <algorithm>
#include <cmath>

namespace anet::generate {

namespace {

// Random numbers of sampling are apart from those of initialisation and data.
constexpr uint64_t sampling_stream = 0x73616d706c65; // "sample"

bool more_probable(const std::pair<double, int32_t>& a, const std::pair<double, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

} // namespace

void check_options(const SamplingOptions& options) {
  if (!(std::isfinite(options.temperature) && options.temperature >= 0))
    fail(Status::out_of_range, "expected a temperature of at least 0, seen ", options.temperature);
  if (options.top_k < 0)
    fail(Status::out_of_range, "expected top_k of at least 0, seen ", options.top_k);
  if (!(options.top_p >= 0 && options.top_p <= 1))
    fail(Status::out_of_range, "expected top_p between 0 and 1, seen ", options.top_p);
  if (options.temperature == 0 && (options.top_k != 0 || options.top_p != 0))
    fail(Status::unsupported_option,
         "expected top_k and top_p only with a temperature above 0, seen ", options.top_k, " and ",
         options.top_p);
}

Sampler::Sampler(const SamplingOptions& options)
    : options_(options), random_(options.seed, sampling_stream) {
  check_options(options);
}

int32_t Sampler::sample(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  for (const float logit : logits)
    if (std::isnan(logit) || logit == HUGE_VALF)
      fail(Status::numeric, "expected finite logits, seen ", logit);
  if (options_.temperature == 0) return static_cast<int32_t>(best - logits.begin());

  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const double scaled = (static_cast<double>(logits[i]) - *best) / options_.temperature;
    candidates_[i] = {std::exp(scaled), static_cast<int32_t>(i)};
  }
  if (options_.top_k != 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                     more_probable);
    candidates_.resize(static_cast<size_t>(options_.top_k));
  }
  if (options_.top_p > 0 && options_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), more_probable);
    double total = 0;
    for (const auto& candidate : candidates_) total += candidate.first;
    double sum = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && sum < options_.top_p * total)
      sum += candidates_[kept++].first;
    candidates_.resize(std::max<size_t>(kept, 1));
  }
  return draw();
}

int32_t Sampler::draw() {
  double total = 0;
  for (const auto& candidate : candidates_) total += candidate.first;
  double left = random_.uniform() * total;
  for (const auto& [probability, id] : candidates_) {
    left -= probability;
    if (left < 0) return id;
  }
  // Rounding left a sliver: the last candidate that can be drawn at all.
  for (auto it = candidates_.rbegin(); it != candidates_.rend(); ++it)
    if (it->first > 0) return it->second;
  return candidates_.back().second;
}

} // namespace anet::generate

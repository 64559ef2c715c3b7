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

// The first of the largest. Many lanes, so that compilers vectorise the pass over all logits,
// during which the other threads wait. Throws numeric when one is NaN or +Inf.
size_t find_best(std::span<const float> logits) {
  constexpr size_t lanes = 32;
  float largest[lanes];
  std::fill_n(largest, lanes, -HUGE_VALF);
  uint32_t strange[lanes] = {};
  const auto see = [&](size_t lane, float logit) {
    strange[lane] |= logit < HUGE_VALF ? 0 : 1; // a NaN compares with nothing
    largest[lane] = logit > largest[lane] ? logit : largest[lane];
  };
  const size_t whole = logits.size() / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes)
    for (size_t lane = 0; lane < lanes; ++lane) see(lane, logits[i + lane]);
  for (size_t i = whole; i < logits.size(); ++i) see(i - whole, logits[i]);
  if (std::any_of(strange, strange + lanes, [](uint32_t any) { return any != 0; })) {
    for (const float logit : logits)
      if (!(logit < HUGE_VALF)) fail(Status::numeric, "expected finite logits, seen ", logit);
  }
  const float best = *std::max_element(largest, largest + lanes);
  return static_cast<size_t>(std::find(logits.begin(), logits.end(), best) - logits.begin());
}

} // namespace

void check_options(const SamplingOptions& options) {
  if (!(std::isfinite(options.temperature) && options.temperature >= 0))
    fail(Status::out_of_range, "expected a temperature of at least 0, seen ", options.temperature);
  if (options.top_k < 0)
    fail(Status::out_of_range, "expected top_k of at least 0, seen ", options.top_k);
  if (!(options.top_p >= 0 && options.top_p <= 1))
    fail(Status::out_of_range, "expected top_p between 0 and 1, seen ", options.top_p);
  if (!(options.min_p >= 0 && options.min_p <= 1))
    fail(Status::out_of_range, "expected min_p between 0 and 1, seen ", options.min_p);
  const double penalty = options.repetition_penalty;
  if (!(std::isfinite(penalty) && (penalty == 0 || penalty >= 1)))
    fail(Status::out_of_range, "expected a repetition_penalty of at least 1, or 0 for none, seen ",
         penalty);
  if (options.temperature == 0 && (options.top_k != 0 || options.top_p != 0 || options.min_p != 0))
    fail(Status::unsupported_option,
         "expected top_k, top_p and min_p only with a temperature above 0, seen ", options.top_k,
         ", ", options.top_p, " and ", options.min_p);
}

Sampler::Sampler(const SamplingOptions& options)
    : options_(options), random_(options.seed, sampling_stream) {
  check_options(options);
  if (options_.repetition_penalty == 0) options_.repetition_penalty = 1;
}

void Sampler::observe(std::span<const int32_t> ids) {
  if (options_.repetition_penalty == 1) return;
  for (const int32_t id : ids) {
    const auto place = std::lower_bound(seen_.begin(), seen_.end(), id);
    if (place == seen_.end() || *place != id) seen_.insert(place, id);
  }
}

std::span<const float> Sampler::penalize(std::span<const float> logits) {
  if (seen_.empty()) return logits;
  penalized_.assign(logits.begin(), logits.end());
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const int32_t id : seen_) {
    float& logit = penalized_[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  return penalized_;
}

void Sampler::keep_top_k() {
  const auto count = static_cast<size_t>(options_.top_k);
  if (count == 0 || count >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                   more_probable);
  candidates_.resize(count);
}

void Sampler::keep_top_p() {
  if (options_.top_p == 0 || options_.top_p == 1) return;
  std::sort(candidates_.begin(), candidates_.end(), more_probable);
  double total = 0;
  for (const auto& candidate : candidates_) total += candidate.first;
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && sum < options_.top_p * total)
    sum += candidates_[kept++].first;
  candidates_.resize(std::max<size_t>(kept, 1));
}

// The largest probability is that of the best logit, exp(0).
void Sampler::keep_min_p() {
  if (options_.min_p == 0) return;
  std::erase_if(candidates_,
                [&](const auto& candidate) { return candidate.first < options_.min_p; });
}

int32_t Sampler::sample(std::span<const float> raw) {
  size_t best = find_best(raw);
  const std::span<const float> logits = penalize(raw);
  if (!seen_.empty())
    best = static_cast<size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (options_.temperature == 0) return static_cast<int32_t>(best);

  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const double scaled = (static_cast<double>(logits[i]) - logits[best]) / options_.temperature;
    candidates_[i] = {std::exp(scaled), static_cast<int32_t>(i)};
  }
  keep_top_k();
  keep_top_p();
  keep_min_p();
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

// What "data check" counts over examples.
#include "base/hash.h"
#include "io/dataset/special_finder.h"
#include "io/dataset/text_dataset.h"

#include <algorithm>
#include <numeric>

namespace anet::io {
namespace {

// Reorders the values.
LengthStatistics summarize(std::vector<int64_t>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  LengthStatistics result;
  const size_t size = values.size();
  result.minimum = values.front();
  result.maximum = values.back();
  result.mean = static_cast<double>(std::accumulate(values.begin(), values.end(), int64_t{0})) /
                static_cast<double>(size);
  // The smallest value that at least this part of all does not exceed.
  result.median = values[(size + 1) / 2 - 1];
  result.percentile95 = values[(size * 95 + 99) / 100 - 1];
  return result;
}

} // namespace

ExampleStatistics example_statistics(const ExampleStore& examples) {
  ExampleStatistics result;
  result.examples = examples.count();
  result.tokens = examples.tokens();
  result.supervised_tokens = examples.supervised_tokens();
  const auto count = static_cast<size_t>(examples.count());
  std::vector<int64_t> lengths(count);
  std::vector<int64_t> supervised(count);
  std::vector<uint64_t> hashes(count); // 64 bits: two different of 10 million meet once in 10^5
  for (size_t i = 0; i < count; ++i) {
    const std::span<const StoredToken> tokens = examples.example(static_cast<int64_t>(i));
    lengths[i] = static_cast<int64_t>(tokens.size());
    supervised[i] = std::count_if(tokens.begin(), tokens.end(),
                                  [](StoredToken token) { return token.supervised(); });
    hashes[i] = xxh64(std::as_bytes(tokens));
  }
  result.lengths = summarize(lengths);
  result.supervised = summarize(supervised);
  std::sort(hashes.begin(), hashes.end());
  const auto distinct = std::unique(hashes.begin(), hashes.end()) - hashes.begin();
  result.duplicates = static_cast<int64_t>(count) - distinct;
  return result;
}

std::vector<MaskRun> mask_runs(const ExampleStore& examples, int64_t index,
                               const Tokenizer& tokenizer) {
  const SpecialFinder specials(tokenizer);
  std::vector<MaskRun> runs;
  std::vector<int32_t> ids;
  const std::span<const StoredToken> tokens = examples.example(index);
  for (size_t i = 0; i < tokens.size(); ++i) {
    ids.push_back(tokens[i].id());
    if (i + 1 < tokens.size() && tokens[i + 1].supervised() == tokens[i].supervised()) continue;
    runs.push_back({specials.spell(ids), tokens[i].supervised(), static_cast<int64_t>(ids.size())});
    ids.clear();
  }
  return runs;
}

} // namespace anet::io

#include "train/row_norms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace anet::train {

namespace {

// Rows of a frozen matrix with an adapter on it.
struct Rows {
  const model::Model& model;
  const model::Parameter& matrix;
  const float* lora_a; // [rank, columns]
  const float* lora_b; // [rows, rank]
  int32_t rank;
  double scale;
};

void read_row(const Rows& rows, int64_t row, std::span<float> values) {
  const auto columns = static_cast<int64_t>(values.size());
  if (rows.matrix.is_compressed())
    return mil::expand(rows.model.compressed(rows.matrix), {row, 1, 0, columns}, values.data(),
                       columns);
  const auto source =
      rows.model.values(rows.matrix).subspan(static_cast<size_t>(row * columns), values.size());
  std::copy(source.begin(), source.end(), values.begin());
}

// Sixteen running sums, so that the compiler may vectorise without reassociating.
float norm_of(std::span<const float> values) {
  std::array<float, 16> lanes{};
  const size_t whole = values.size() / lanes.size() * lanes.size();
  for (size_t at = 0; at < whole; at += lanes.size())
    for (size_t lane = 0; lane < lanes.size(); ++lane)
      lanes[lane] += values[at + lane] * values[at + lane];
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (size_t at = whole; at < values.size(); ++at) sum += double{values[at]} * values[at];
  return static_cast<float>(std::sqrt(sum));
}

float inverse_norm(const Rows& rows, int64_t row, std::span<float> values) {
  read_row(rows, row, values);
  for (int32_t r = 0; r < rows.rank; ++r) {
    const auto factor = static_cast<float>(rows.scale * rows.lora_b[row * rows.rank + r]);
    const float* a = rows.lora_a + r * static_cast<int64_t>(values.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] += factor * a[i];
  }
  const float norm = norm_of(values);
  return norm > 0 ? 1 / norm : 0;
}

} // namespace

void inverse_row_norms(ThreadPool& pool, const StepWeights& weights, std::span<const float> adapter,
                       std::span<float> norms) {
  const auto parameters = weights.adapter()->parameters();
  const auto data = [&](int32_t index) {
    return adapter.data() + parameters[static_cast<size_t>(index)].offset;
  };
  for (const auto& [module, offset] : weights.norms()) {
    const Rows rows = {.model = *weights.model(),
                       .matrix = *module->base,
                       .lora_a = data(module->lora_a),
                       .lora_b = data(module->lora_b),
                       .rank = module->target.rank,
                       .scale = module->scale};
    float* result = norms.data() + offset;
    pool.parallel_for(module->base->shape[0], 16, [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(rows.matrix.shape[1]));
      for (int64_t row = begin; row < end; ++row) result[row] = inverse_norm(rows, row, values);
    });
  }
}

} // namespace anet::train

#include "backend/cpu/attention_gradient.h"

#include "backend/cpu/attention_blocks.h"
#include "backend/cpu/reduce_kernels.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

class AttentionGradientStep final : public Step {
public:
  AttentionGradientStep(const Operand& query, const AttentionKeys& keys, float scale,
                        const AttentionGradients& gradients, const Operand& scratch)
      : scores_(query, keys, scale), scale_(scale), d_output_(gradients.output),
        d_query_(gradients.query), d_key_(gradients.key), d_value_(gradients.value),
        scratch_(scratch) {}

  void run(const RunContext& context) const override {
    auto* const scratch = address<float>(context, scratch_);
    for_each_task(*context.pool, scores_.batch(), scratch_.shape[0],
                  [&](int64_t batch, int64_t lane) {
                    clear(d_key_, d_key_.at(context, batch));
                    clear(d_value_, d_value_.at(context, batch));
                    for (int64_t block = 0; block < scores_.blocks(); ++block)
                      differentiate(context, batch, block, scratch + lane * scratch_.shape[1]);
                  });
  }

private:
  static void clear(const MatrixBatch& of, const MatrixPlace& x) {
    const int64_t lines = x.layout.transposed ? of.columns() : of.rows();
    const int64_t length = x.layout.transposed ? of.rows() : of.columns();
    for (int64_t line = 0; line < lines; ++line)
      std::fill_n(x.floats() + line * x.layout.leading, length, 0.0f);
  }

  void differentiate(const RunContext& context, int64_t batch, int64_t block,
                     float* scratch) const {
    const int64_t first = block * scores_.block();
    const int64_t queries = std::min(scores_.block(), scores_.query().rows() - first);
    float* const probabilities = scratch + scores_.product_scratch();
    float* const d_scores = probabilities + scores_.score_scratch();
    const KeyRange range =
        scores_.probabilities(context, batch, first, queries, probabilities, scratch);
    const int64_t keys = range.size;
    float* const rounded = d_scores + scores_.score_scratch();
    const auto transpose = [](GemmMatrix x) {
      x.transposed = !x.transposed;
      return x;
    };
    const GemmMatrix p = scores_.as_operand(probabilities, queries, keys, rounded);
    const MatrixPlace dy = d_output_.at(context, batch, first);
    const int64_t width = scores_.query().columns(), value_width = d_output_.columns();
    multiply(keys, value_width, queries, 1, transpose(p), matrix(dy), true,
             d_value_.at(context, batch, range.begin), scratch);
    gemm_f32(queries, keys, value_width, 1, matrix(dy),
             transposed(scores_.value().at(context, batch, range.begin)), false, d_scores, keys,
             scratch);
    for (int64_t query = 0; query < queries; ++query)
      softmax_gradient_row(probabilities + query * keys, d_scores + query * keys, keys);
    const GemmMatrix ds = scores_.as_operand(d_scores, queries, keys, rounded);
    multiply(queries, width, keys, scale_, ds,
             matrix(scores_.key().at(context, batch, range.begin)), false,
             d_query_.at(context, batch, first), scratch);
    multiply(keys, width, queries, scale_, transpose(ds),
             matrix(scores_.query().at(context, batch, first)), true,
             d_key_.at(context, batch, range.begin), scratch);
  }

  ScoreBlocks scores_;
  float scale_;
  MatrixBatch d_output_, d_query_, d_key_, d_value_;
  Operand scratch_;
};

} // namespace

int64_t attention_gradient_scratch(const Operand& query, const AttentionKeys& keys) {
  const ScoreBlocks scores(query, keys, 1);
  return (scores.product_scratch() + 2 * scores.score_scratch() + scores.rounded_scratch() + 15) /
         16 * 16;
}

std::unique_ptr<Step> make_attention_gradient_step(const Operand& query, const AttentionKeys& keys,
                                                   float scale, const AttentionGradients& gradients,
                                                   const Operand& scratch) {
  return std::make_unique<AttentionGradientStep>(query, keys, scale, gradients, scratch);
}

} // namespace anet::backend::cpu

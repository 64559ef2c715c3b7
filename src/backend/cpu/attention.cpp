#include "backend/cpu/attention.h"

#include "backend/cpu/attention_blocks.h"
#include "backend/cpu/reduce_kernels.h"

#include <algorithm>

namespace anet::backend::cpu {

namespace {

class VisibleKeysStep final : public Step {
public:
  explicit VisibleKeysStep(const AttentionKeys::Mask& mask) : mask_(mask) {
    Shape rows = mask.added.shape;
    Strides added = mask.added.strides, visible = mask.visible.strides;
    rows.pop_back();
    added.pop_back();
    visible.pop_back();
    rows_ = make_loop_nest<2>(rows, {&visible, &added}, LoopOrder::given);
  }

  void run(const RunContext& context) const override {
    const int64_t keys = mask_.added.shape.back();
    const int64_t grain = std::max<int64_t>(1, 4 * parallel_grain / std::max<int64_t>(1, keys));
    const int64_t stride = rows_.inner_strides()[0], mask_stride = rows_.inner_strides()[1];
    context.pool->parallel_for(rows_.elements(), grain, [&](int64_t begin, int64_t end) {
      for_each_row(rows_, begin, end, [&](const auto& offsets, int64_t length) {
        int32_t* visible = address<int32_t>(context, mask_.visible) + offsets[0];
        const float* mask = address<float>(context, mask_.added) + offsets[1];
        for (int64_t i = 0; i < length; ++i)
          scan(mask + i * mask_stride, keys, visible + i * stride);
      });
    });
  }

private:
  // With a NaN nothing is hidden.
  static void scan(const float* mask, int64_t keys, int32_t* visible) {
    const float least = reduce_kernels(Accumulation::max).row(mask, keys, 0) - hiding_distance;
    int64_t begin = 0, end = keys;
    while (end > begin && mask[end - 1] < least) --end;
    while (begin < end && mask[begin] < least) ++begin;
    visible[0] = static_cast<int32_t>(begin);
    visible[1] = static_cast<int32_t>(end);
  }

  AttentionKeys::Mask mask_;
  LoopNest<2> rows_; // of the mask
};

class AttentionStep final : public Step {
public:
  AttentionStep(const Operand& query, const AttentionKeys& keys, float scale, const Operand& output,
                const Operand& scratch)
      : scores_(query, keys, scale), output_(output), scratch_(scratch) {}

  void run(const RunContext& context) const override {
    auto* const scratch = address<float>(context, scratch_);
    const int64_t blocks = scores_.blocks();
    const int64_t lanes = scores_.work() < parallel_work ? 1 : scratch_.shape[0];
    // The last blocks of a causal sequence see the most keys: they come first.
    for_each_task(*context.pool, scores_.batch() * blocks, lanes, [&](int64_t task, int64_t lane) {
      attend(context, task / blocks, blocks - 1 - task % blocks,
             scratch + lane * scratch_.shape[1]);
    });
  }

private:
  void attend(const RunContext& context, int64_t batch, int64_t block, float* scratch) const {
    const int64_t first = block * scores_.block();
    const int64_t queries = std::min(scores_.block(), scores_.query().rows() - first);
    float* const probabilities = scratch + scores_.product_scratch();
    const KeyRange range =
        scores_.probabilities(context, batch, first, queries, probabilities, scratch);
    const GemmMatrix p = scores_.as_operand(probabilities, queries, range.size,
                                            probabilities + scores_.score_scratch());
    multiply(queries, output_.columns(), range.size, 1, p,
             matrix(scores_.value().at(context, batch, range.begin)), false,
             output_.at(context, batch, first), scratch);
  }

  ScoreBlocks scores_;
  MatrixBatch output_;
  Operand scratch_;
};

} // namespace

std::unique_ptr<Step> make_visible_keys_step(const AttentionKeys::Mask& mask) {
  return std::make_unique<VisibleKeysStep>(mask);
}

int64_t attention_scratch(const Operand& query, const AttentionKeys& keys) {
  const ScoreBlocks scores(query, keys, 1);
  return (scores.product_scratch() + scores.score_scratch() + scores.rounded_scratch() + 15) / 16 *
         16;
}

std::unique_ptr<Step> make_attention_step(const Operand& query, const AttentionKeys& keys,
                                          float scale, const Operand& output,
                                          const Operand& scratch) {
  return std::make_unique<AttentionStep>(query, keys, scale, output, scratch);
}

} // namespace anet::backend::cpu

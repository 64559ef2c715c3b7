#include "backend/cpu/attention.h"

#include "backend/cpu/attention_blocks.h"
#include "backend/cpu/reduce_kernels.h"

#include <array>

namespace anet::backend::cpu {

namespace {

// Multiply-adds below which another thread costs more than it brings.
constexpr int64_t parallel_work = 1 << 16;

class VisibleKeysStep final : public Step {
public:
  explicit VisibleKeysStep(std::span<const AttentionKeys::Mask> masks)
      : masks_(masks.begin(), masks.end()) {
    for (const AttentionKeys::Mask& mask : masks_) {
      Shape rows = mask.added.shape;
      Strides added = mask.added.strides, visible = mask.visible.strides;
      rows.pop_back();
      added.pop_back();
      visible.pop_back();
      nests_.push_back(make_loop_nest<2>(rows, {&visible, &added}, LoopOrder::given));
    }
  }

  void run(const RunContext& context) const override {
    const int64_t rows = nests_.front().elements();
    int64_t keys = 0;
    for (const AttentionKeys::Mask& mask : masks_) keys += mask.added.shape.back();
    const int64_t grain = std::max<int64_t>(1, 4 * parallel_grain / std::max<int64_t>(1, keys));
    context.pool->parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) scan(context, row);
    });
  }

private:
  struct Row {
    const float* mask;
    int32_t* visible;
    int64_t keys;
  };

  Row row_of(const RunContext& context, size_t part, int64_t row) const {
    const AttentionKeys::Mask& mask = masks_[part];
    Row result{address<float>(context, mask.added), address<int32_t>(context, mask.visible),
               mask.added.shape.back()};
    for_each_row(nests_[part], row, row + 1, [&](const auto& offsets, int64_t) {
      result.visible += offsets[0];
      result.mask += offsets[1];
    });
    return result;
  }

  void scan(const RunContext& context, int64_t row) const {
    float largest = -std::numeric_limits<float>::infinity();
    const auto largest_of = reduce_kernels(Accumulation::max).row;
    for (size_t part = 0; part < masks_.size(); ++part) {
      const Row r = row_of(context, part, row);
      const float own = largest_of(r.mask, r.keys, 0);
      if (!(own <= largest)) largest = own; // a NaN too: then nothing is hidden
    }
    const float least = largest - hiding_distance;
    for (size_t part = 0; part < masks_.size(); ++part) {
      const Row r = row_of(context, part, row);
      int64_t begin = 0, end = r.keys;
      while (end > begin && r.mask[end - 1] < least) --end;
      while (begin < end && r.mask[begin] < least) ++begin;
      r.visible[0] = static_cast<int32_t>(begin);
      r.visible[1] = static_cast<int32_t>(end);
    }
  }

  std::vector<AttentionKeys::Mask> masks_;
  std::vector<LoopNest<2>> nests_; // over the rows of each mask
};

class AttentionStep final : public Step {
public:
  AttentionStep(const Operand& query, std::span<const AttentionKeys> keys, float scale,
                const Operand& output, const Operand& scratch)
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
    float* const probabilities = scratch + scores_.query_scratch();
    std::array<KeyRange, max_key_parts> ranges;
    const int64_t total =
        scores_.probabilities(context, batch, first, queries, ranges, scratch, probabilities);
    int64_t column = 0;
    for (size_t part = 0; part < scores_.parts(); ++part) {
      const auto [begin, size] = ranges[part];
      if (size == 0) continue;
      multiply(queries, output_.columns(), size, 1, {probabilities + column, total, false},
               matrix(scores_.value(part).at(context, batch, begin)), column == 0 ? 0.0f : 1.0f,
               output_.at(context, batch, first));
      column += size;
    }
  }

  ScoreBlocks scores_;
  MatrixBatch output_;
  Operand scratch_;
};

} // namespace

std::unique_ptr<Step> make_visible_keys_step(std::span<const AttentionKeys::Mask> masks) {
  return std::make_unique<VisibleKeysStep>(masks);
}

int64_t attention_scratch(const Operand& query, std::span<const AttentionKeys> keys) {
  const ScoreBlocks scores(query, keys, 1);
  return (scores.query_scratch() + scores.score_scratch() + 15) / 16 * 16;
}

std::unique_ptr<Step> make_attention_step(const Operand& query, std::span<const AttentionKeys> keys,
                                          float scale, const Operand& output,
                                          const Operand& scratch) {
  return std::make_unique<AttentionStep>(query, keys, scale, output, scratch);
}

} // namespace anet::backend::cpu

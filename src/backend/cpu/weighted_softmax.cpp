// softmax whose log-sum-exp is known, times a weight: what the gradient of cross-entropy is made
// of. Rows are a vocabulary, columns are positions.
#include "backend/cpu/convert.h"
#include "backend/cpu/overflow.h"
#include "backend/cpu/reduce.h"

#include <cmath>
#include <limits>

namespace anet::backend::cpu {

namespace {

constexpr int64_t block = 512; // columns converted at a time
constexpr float half_limit = overflow_limit(HalfRule::elementwise);

// Not below the limit, which a NaN is not either.
bool any_large(const float* values, int64_t n) {
  int found = 0; // without a branch, for vectors
  for (int64_t i = 0; i < n; ++i) found |= static_cast<int>(!(std::fabs(values[i]) < half_limit));
  return found != 0;
}

class WeightedSoftmaxStep final : public Step {
public:
  explicit WeightedSoftmaxStep(const WeightedSoftmax& o)
      : o_(o), rows_(o.x.shape[o.axis]), columns_(o.x.shape.back()),
        load_(o.x.dtype == DataType::fp32 ? nullptr : load_float(o.x.dtype)),
        load_target_(load_double(o.targets.dtype)), store_(store_float(o.output.dtype)) {}

  // Whole rows are a thread's: a row that is narrowed in place lies over values of its own.
  void run(const RunContext& context) const override {
    const int64_t grain = std::max<int64_t>(1, parallel_grain / columns_);
    context.pool->parallel_for(rows_, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t column = 0; column < columns_; column += block)
          run_block(context, row, column, std::min(block, columns_ - column));
    });
  }

private:
  void run_block(const RunContext& context, int64_t row, int64_t column, int64_t n) const {
    float values[block];
    const auto at = [&](const Operand& x) {
      return address<std::byte>(context, x) +
             (row * x.strides[o_.axis] + column) * element_size(x.dtype);
    };
    const std::byte* stored = at(o_.x);
    if (load_ != nullptr) load_(stored, 1, values, n);
    const float* x = load_ != nullptr ? values : reinterpret_cast<const float*>(stored);
    const float* log_sum_exp = address<float>(context, o_.log_sum_exp) + column;
    const float* weight = address<float>(context, o_.weight) + column;
    std::byte* output = at(o_.output);
    if (o_.output.dtype == DataType::fp32)
      return exp_scaled_columns(x, reinterpret_cast<float*>(output), log_sum_exp, weight, n);
    if (o_.output.dtype == DataType::bf16)
      return exp_scaled_columns(x, reinterpret_cast<uint16_t*>(output), log_sum_exp, weight, n);
    exp_scaled_columns(x, values, log_sum_exp, weight, n);
    if (any_large(values, n)) watch(context, values, row, column, n);
    store_(values, output, 1, n);
  }

  // As a cast to fp16 has it: an infinity is no overflow where it was one before, and a NaN becomes
  // one.
  void watch(const RunContext& context, float* values, int64_t row, int64_t column,
             int64_t n) const {
    const std::byte* targets = address<std::byte>(context, o_.targets);
    for (int64_t i = 0; i < n; ++i) {
      if (std::isinf(values[i]) || std::fabs(values[i]) < half_limit) continue;
      double target = 0;
      load_target_(targets + (column + i) * element_size(o_.targets.dtype), 1, &target, 1);
      const auto index = static_cast<int64_t>(target);
      if ((index < 0 ? index + rows_ : index) != row)
        context.overflowed->store(true, std::memory_order_relaxed);
      if (std::isnan(values[i])) values[i] = std::numeric_limits<float>::infinity();
    }
  }

  WeightedSoftmax o_;
  int64_t rows_, columns_;
  LoadFloat load_; // null: fp32
  LoadDouble load_target_;
  StoreFloat store_;
};

} // namespace

std::unique_ptr<Step> make_weighted_softmax_step(const WeightedSoftmax& operands) {
  return std::make_unique<WeightedSoftmaxStep>(operands);
}

} // namespace anet::backend::cpu

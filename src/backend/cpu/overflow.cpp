#include "backend/cpu/overflow.h"

namespace anet::backend::cpu {

namespace {

constexpr uint16_t exponent_mask = 0x7c00;

// A NaN, which reads as +Inf, counts too.
bool has_infinity(const uint16_t* values, int64_t stride, int64_t count) {
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t exponent = values[i * stride] & exponent_mask;
    found |= static_cast<uint32_t>(exponent == exponent_mask);
  }
  return found != 0;
}

struct Watched {
  Operand operand;
  LoopNest<1> nest;

  explicit Watched(const Operand& x) : operand(x), nest(make_loop_nest<1>(x.shape, {&x.strides})) {}

  bool has_infinity(const RunContext& context) const {
    const uint16_t* values = address<const uint16_t>(context, operand);
    const int64_t stride = nest.inner_strides()[0];
    std::atomic<bool> found = false;
    context.pool->parallel_for(nest.elements(), parallel_grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest, begin, end, [&](const auto& offsets, int64_t length) {
        if (cpu::has_infinity(values + offsets[0], stride, length)) {
          found.store(true, std::memory_order_relaxed);
        }
      });
    });
    return found.load(std::memory_order_relaxed);
  }
};

class OverflowStep final : public Step {
public:
  OverflowStep(const Operand& output, std::span<const Operand> inputs) : output_(output) {
    for (const Operand& x : inputs) {
      if (x.dtype == DataType::fp16) inputs_.emplace_back(x);
    }
  }

  void run(const RunContext& context) const override {
    if (!output_.has_infinity(context)) return;
    for (const Watched& input : inputs_) {
      if (input.has_infinity(context)) return;
    }
    context.overflowed->store(true, std::memory_order_relaxed);
  }

private:
  Watched output_;
  std::vector<Watched> inputs_;
};

} // namespace

std::unique_ptr<Step> make_overflow_step(const Operand& output, std::span<const Operand> inputs) {
  return std::make_unique<OverflowStep>(output, inputs);
}

} // namespace anet::backend::cpu

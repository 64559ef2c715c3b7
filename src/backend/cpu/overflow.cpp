#include "backend/cpu/overflow.h"

namespace anet::backend::cpu {

namespace {

constexpr uint16_t exponent_mask = 0x7c00;

// NaNs are not stored, so an exponent of ones is an infinity.
bool has_infinity(const uint16_t* values, int64_t stride, int64_t count) {
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t exponent = values[i * stride] & exponent_mask;
    found |= static_cast<uint32_t>(exponent == exponent_mask);
  }
  return found != 0;
}

class OverflowStep final : public Step {
public:
  explicit OverflowStep(const Operand& x)
      : x_(x), nest_(make_loop_nest<1>(x.shape, {&x.strides})) {}

  void run(const RunContext& context) const override {
    const uint16_t* values = address<const uint16_t>(context, x_);
    const int64_t stride = nest_.inner_strides()[0];
    for_each_row(nest_, 0, nest_.elements(), [&](const auto& offsets, int64_t length) {
      *context.overflowed |= has_infinity(values + offsets[0], stride, length);
    });
  }

private:
  Operand x_;
  LoopNest<1> nest_;
};

} // namespace

std::unique_ptr<Step> make_overflow_step(const Operand& x) {
  return std::make_unique<OverflowStep>(x);
}

} // namespace anet::backend::cpu

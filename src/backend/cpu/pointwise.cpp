#include "backend/cpu/pointwise.h"

#include "backend/cpu/overflow.h"
#include "base/status.h"

#include <string>

namespace anet::backend::cpu {

namespace {

constexpr size_t max_operands = max_pointwise_inputs + 1;
constexpr int64_t block = 512; // elements converted at a time; all buffers stay in the L1 cache

bool is_float_lane(DataType dtype) { return mil::is_floating(dtype) || dtype == DataType::boolean; }

// The loop order is decided by the output's strides, then the inputs'. Missing inputs follow the
// output, so that they never keep dimensions from merging.
LoopNest<max_operands> make_nest(std::span<const Operand> inputs, const Operand& output,
                                 std::array<Strides, max_operands>& strides) {
  strides.fill(output.strides);
  for (size_t i = 0; i < inputs.size(); ++i) {
    strides[i + 1] = broadcast_view(inputs[i], output.shape).strides;
  }
  return make_loop_nest<max_operands>(output.shape,
                                      {&strides[0], &strides[1], &strides[2], &strides[3]});
}

// What both lanes share: the operands and the loops over them.
class PointwiseStep : public Step {
protected:
  PointwiseStep(std::span<const Operand> inputs, const Operand& output,
                const PointwiseParameters& parameters)
      : count_(inputs.size()), output_(output), parameters_(parameters) {
    std::copy(inputs.begin(), inputs.end(), inputs_.begin());
    std::array<Strides, max_operands> strides;
    nest_ = make_nest(inputs, output, strides);
    for (size_t i = 0; i < count_; ++i) input_sizes_[i] = element_size(inputs[i].dtype);
    output_size_ = element_size(output.dtype);
  }

  std::array<const std::byte*, max_pointwise_inputs> input_bases(const RunContext& context) const {
    std::array<const std::byte*, max_pointwise_inputs> bases{};
    for (size_t i = 0; i < count_; ++i) bases[i] = address<std::byte>(context, inputs_[i]);
    return bases;
  }

  size_t count_;
  std::array<Operand, max_pointwise_inputs> inputs_;
  Operand output_;
  PointwiseParameters parameters_;
  LoopNest<max_operands> nest_;
  std::array<int64_t, max_pointwise_inputs> input_sizes_{};
  int64_t output_size_ = 1;
};

class FloatPointwiseStep final : public PointwiseStep {
public:
  FloatPointwiseStep(PointwiseFloat kernel, std::span<const Operand> inputs, const Operand& output,
                     const PointwiseParameters& parameters, HalfRule rule)
      : PointwiseStep(inputs, output, parameters), kernel_(kernel),
        store_(store_float(output.dtype, rule)), limit_(overflow_limit(rule)),
        watched_(output.dtype == DataType::fp16) {
    for (size_t i = 0; i < count_; ++i) {
      loads_[i] = load_float(inputs[i].dtype);
      const int64_t stride = nest_.inner_strides()[i + 1];
      if (stride == 0) scalars_ |= 1u << i;
      direct_[i] = stride == 1 && inputs[i].dtype == DataType::fp32;
      all_direct_ = all_direct_ && (direct_[i] || stride == 0);
    }
    direct_output_ = nest_.inner_strides()[0] == 1 && output.dtype == DataType::fp32;
    all_direct_ = all_direct_ && direct_output_;
  }

  void run(const RunContext& context) const override {
    const auto bases = input_bases(context);
    auto* output = address<std::byte>(context, output_);
    context.pool->parallel_for(nest_.elements(), parallel_grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t length) {
        run_row(context, bases, output, offsets, length);
      });
    });
  }

private:
  using Bases = std::array<const std::byte*, max_pointwise_inputs>;

  void run_row(const RunContext& context, const Bases& bases, std::byte* output,
               const std::array<int64_t, max_operands>& offsets, int64_t length) const {
    const int64_t step = all_direct_ ? length : block;
    float buffers[max_pointwise_inputs][block];
    float result[block];
    const float* values[max_pointwise_inputs] = {};
    for (int64_t done = 0; done < length; done += step) {
      const int64_t n = std::min(step, length - done);
      for (size_t i = 0; i < count_; ++i) {
        const int64_t stride = nest_.inner_strides()[i + 1];
        const std::byte* source = bases[i] + (offsets[i + 1] + done * stride) * input_sizes_[i];
        if (direct_[i]) {
          values[i] = reinterpret_cast<const float*>(source);
        } else {
          loads_[i](source, stride, buffers[i], stride == 0 ? 1 : n);
          values[i] = buffers[i];
        }
      }
      const int64_t stride = nest_.inner_strides()[0];
      std::byte* target = output + (offsets[0] + done * stride) * output_size_;
      if (direct_output_) {
        kernel_(values, scalars_, reinterpret_cast<float*>(target), n, parameters_);
      } else {
        kernel_(values, scalars_, result, n, parameters_);
        store_(result, target, stride, n);
        if (watched_ && makes_infinity(values, count_, scalars_, result, n, limit_)) {
          context.overflowed->store(true, std::memory_order_relaxed);
        }
      }
    }
  }

  PointwiseFloat kernel_;
  StoreFloat store_;
  float limit_;
  bool watched_;
  std::array<LoadFloat, max_pointwise_inputs> loads_{};
  std::array<bool, max_pointwise_inputs> direct_{};
  unsigned scalars_ = 0;
  bool direct_output_ = false;
  bool all_direct_ = true;
};

class DoublePointwiseStep final : public PointwiseStep {
public:
  DoublePointwiseStep(PointwiseDouble kernel, std::span<const Operand> inputs,
                      const Operand& output, const PointwiseParameters& parameters)
      : PointwiseStep(inputs, output, parameters), kernel_(kernel),
        store_(store_double(output.dtype)), watched_(output.dtype == DataType::fp16) {
    for (size_t i = 0; i < count_; ++i) loads_[i] = load_double(inputs[i].dtype);
  }

  void run(const RunContext& context) const override {
    const auto bases = input_bases(context);
    auto* output = address<std::byte>(context, output_);
    context.pool->parallel_for(nest_.elements(), parallel_grain, [&](int64_t begin, int64_t end) {
      for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t length) {
        run_row(context, bases, output, offsets, length);
      });
    });
  }

private:
  void run_row(const RunContext& context,
               const std::array<const std::byte*, max_pointwise_inputs>& bases, std::byte* output,
               const std::array<int64_t, max_operands>& offsets, int64_t length) const {
    constexpr double limit = overflow_limit(HalfRule::elementwise);
    double buffers[max_pointwise_inputs][block];
    double result[block];
    const double* values[max_pointwise_inputs] = {buffers[0], buffers[1], buffers[2]};
    for (int64_t done = 0; done < length; done += block) {
      const int64_t n = std::min(block, length - done);
      for (size_t i = 0; i < count_; ++i) {
        const int64_t stride = nest_.inner_strides()[i + 1];
        loads_[i](bases[i] + (offsets[i + 1] + done * stride) * input_sizes_[i], stride, buffers[i],
                  n);
      }
      kernel_(values, result, n, parameters_);
      const int64_t stride = nest_.inner_strides()[0];
      store_(result, output + (offsets[0] + done * stride) * output_size_, stride, n);
      if (watched_ && makes_infinity(values, count_, 0, result, n, limit)) {
        context.overflowed->store(true, std::memory_order_relaxed);
      }
    }
  }

  PointwiseDouble kernel_;
  StoreDouble store_;
  bool watched_;
  std::array<LoadDouble, max_pointwise_inputs> loads_{};
};

struct Kernels {
  PointwiseFloat single = nullptr;
  PointwiseDouble plain = nullptr;
};

Kernels choose(std::string_view op, std::span<const DataType> inputs, DataType output) {
  bool any_floating = mil::is_floating(output);
  for (const DataType dtype : inputs) any_floating = any_floating || mil::is_floating(dtype);
  bool floats = any_floating && is_float_lane(output);
  for (const DataType dtype : inputs) floats = floats && is_float_lane(dtype);
  if (floats) {
    // An op may have a variant that follows the ANE's rules for special values.
    if (output == DataType::fp16) {
      if (const PointwiseFloat kernel = pointwise_float(std::string(op) + "_half")) {
        return {kernel, nullptr};
      }
    }
    if (const PointwiseFloat kernel = pointwise_float(op)) return {kernel, nullptr};
  }
  if (!any_floating) {
    if (const PointwiseDouble kernel = pointwise_double("integer_" + std::string(op))) {
      return {nullptr, kernel};
    }
  }
  return {nullptr, pointwise_double(op)};
}

} // namespace

bool has_pointwise_step(std::string_view op, std::span<const DataType> inputs, DataType output) {
  const Kernels kernels = choose(op, inputs, output);
  return kernels.single != nullptr || kernels.plain != nullptr;
}

std::unique_ptr<Step> make_pointwise_step(std::string_view op, std::span<const Operand> inputs,
                                          const Operand& output,
                                          const PointwiseParameters& parameters, HalfRule rule) {
  std::array<DataType, max_pointwise_inputs> dtypes{};
  for (size_t i = 0; i < inputs.size(); ++i) dtypes[i] = inputs[i].dtype;
  const Kernels kernels = choose(op, std::span(dtypes).first(inputs.size()), output.dtype);
  if (kernels.single != nullptr) {
    return std::make_unique<FloatPointwiseStep>(kernels.single, inputs, output, parameters, rule);
  }
  if (kernels.plain != nullptr) {
    return std::make_unique<DoublePointwiseStep>(kernels.plain, inputs, output, parameters);
  }
  fail(Status::unsupported, op, " has no CPU kernel for ", mil::data_type_name(output.dtype));
}

} // namespace anet::backend::cpu

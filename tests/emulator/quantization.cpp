// cast, quantize and dequantize.
#include "arithmetic.h"
#include "plan.h"

#include <algorithm>

namespace emulator {

namespace {

struct Limits {
  float low;
  float high;
};

// int32 is held in a float, which is exact to 2^24: far beyond any extent of a tensor.
Limits limits(DataType dtype) {
  switch (dtype) {
  case DataType::int8:
    return {-128, 127};
  case DataType::uint8:
    return {0, 255};
  case DataType::int16:
    return {-32768, 32767};
  case DataType::uint16:
    return {0, 65535};
  default:
    return {-0x1p31f, 0x1p31f};
  }
}

Step cast_step(const Call& call) {
  const int target = call.op().outputs.front();
  const DataType from = call.type("x").dtype;
  const DataType to = call.function().value(target).type.dtype;
  const bool boolean = to == DataType::boolean;
  const bool floating = anet::mil::is_floating(to);
  const bool truncates = anet::mil::is_floating(from);
  return [=, source = call.index("x"), count = call.type("x").elements(),
          range = limits(to)](const Frame& frame) {
    const float* x = frame.in(source);
    float* y = frame.out(target);
    for (int64_t i = 0; i < count; ++i) {
      if (boolean)
        y[i] = x[i] != 0 ? 1 : 0;
      else if (floating)
        y[i] = round_half(x[i]);
      else
        y[i] = std::clamp(truncates ? std::trunc(x[i]) : x[i], range.low, range.high);
    }
  };
}

// One scale for all, or one for each index along an axis.
struct Scales {
  int scale;
  int zero_point = -1;
  int64_t count = 1; // of scales
  int64_t inner = 1; // elements behind the axis
};

Scales read_scales(const Call& call) {
  Scales scales{.scale = call.index("scale")};
  if (call.has("zero_point")) scales.zero_point = call.index("zero_point");
  scales.count = call.type("scale").elements();
  if (call.type("scale").is_scalar()) return scales;
  const Shape& input = call.shape("input");
  for (size_t i = call.axis(call.integer("axis"), input.size()) + 1; i < input.size(); ++i)
    scales.inner *= input[i];
  return scales;
}

Step scale_step(const Call& call, bool quantizes, const PlanOptions& options) {
  const Scales scales = read_scales(call);
  const int target = call.op().outputs.front();
  const bool vector_zero = scales.zero_point >= 0 && !call.type("zero_point").is_scalar();
  return [=, nan_rule = options.numerics.nan_rule, source = call.index("input"),
          count = call.type("input").elements(),
          range = limits(call.function().value(target).type.dtype)](const Frame& frame) {
    const float* x = frame.in(source);
    const float* scale = frame.in(scales.scale);
    const float* zero = scales.zero_point < 0 ? nullptr : frame.in(scales.zero_point);
    float* y = frame.out(target);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t channel = i / scales.inner % scales.count;
      const float shift = zero == nullptr ? 0 : zero[vector_zero ? channel : 0];
      if (quantizes) {
        const float value = std::nearbyint(x[i] / scale[channel]) + shift;
        y[i] = std::isnan(value) ? 0 : std::clamp(value, range.low, range.high);
      } else {
        const float value = round_half((x[i] - shift) * scale[channel]);
        y[i] = nan_rule && std::isnan(value) ? 0 : value;
      }
    }
  };
}

} // namespace

Step quantization_step(const Call& call, const PlanOptions& options) {
  const std::string& name = call.op().name;
  if (name == "cast") return cast_step(call);
  if (name == "quantize") return scale_step(call, true, options);
  if (name == "dequantize") return scale_step(call, false, options);
  return nullptr;
}

} // namespace emulator

#include "backend/cpu/convert.h"

#include "base/float16.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/convert.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "base/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

// Without F16C the conversion is emulated and flushes subnormals, so it goes element by element.
#undef ANET_SCALAR_HALF
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)
#define ANET_SCALAR_HALF 1
#else
#define ANET_SCALAR_HALF 0
namespace hn = hwy::HWY_NAMESPACE;
#endif

void halves_to_floats(const uint16_t* source, float* destination, int64_t n) {
  int64_t i = 0;
#if !ANET_SCALAR_HALF
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> dh;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  for (; i + lanes <= n; i += lanes) {
    const auto half = hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(source + i));
    const auto value = hn::PromoteTo(d, half);
    hn::StoreU(hn::IfThenElse(hn::IsNaN(value), infinity, value), d, destination + i);
  }
#endif
  for (; i < n; ++i) {
    const float value = half_to_float(source[i]);
    destination[i] = std::isnan(value) ? std::numeric_limits<float>::infinity() : value;
  }
}

// `limit`: magnitudes from here on become infinite.
void floats_to_halves(const float* source, uint16_t* destination, int64_t n, float limit) {
  int64_t i = 0;
#if !ANET_SCALAR_HALF
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> dh;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  for (; i + lanes <= n; i += lanes) {
    auto value = hn::LoadU(d, source + i);
    value = hn::IfThenZeroElse(hn::IsNaN(value), value);
    const auto overflow = hn::Ge(hn::Abs(value), hn::Set(d, limit));
    value = hn::IfThenElse(overflow, hn::CopySign(infinity, value), value);
    hn::StoreU(hn::DemoteTo(dh, value), dh, reinterpret_cast<hwy::float16_t*>(destination + i));
  }
#endif
  for (; i < n; ++i) {
    float value = std::isnan(source[i]) ? 0.0f : source[i];
    if (std::fabs(value) >= limit) value = std::copysign(INFINITY, value);
    destination[i] = float_to_half(value);
  }
}

void brains_to_floats(const uint16_t* source, float* destination, int64_t n) {
  const hwy::HWY_NAMESPACE::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    StoreU(anet::HWY_NAMESPACE::load_bfloat16(d, source + i), d, destination + i);
  for (; i < n; ++i) destination[i] = bfloat16_to_float(source[i]);
}

void floats_to_brains(const float* source, uint16_t* destination, int64_t n) {
  const hwy::HWY_NAMESPACE::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    anet::HWY_NAMESPACE::store_bfloat16(d, LoadU(d, source + i), destination + i);
  for (; i < n; ++i) destination[i] = float_to_bfloat16(source[i]);
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(halves_to_floats);
HWY_EXPORT(floats_to_halves);
HWY_EXPORT(brains_to_floats);
HWY_EXPORT(floats_to_brains);

constexpr int64_t block = 256;

void load_fp32(const std::byte* source, int64_t stride, float* destination, int64_t n) {
  const auto* values = reinterpret_cast<const float*>(source);
  if (stride == 1) {
    std::memcpy(destination, values, static_cast<size_t>(n) * sizeof(float));
  } else {
    for (int64_t i = 0; i < n; ++i) destination[i] = values[i * stride];
  }
}

void load_fp16(const std::byte* source, int64_t stride, float* destination, int64_t n) {
  const auto* values = reinterpret_cast<const uint16_t*>(source);
  if (stride == 1) return HWY_DYNAMIC_DISPATCH(halves_to_floats)(values, destination, n);
  uint16_t gathered[block];
  for (int64_t done = 0; done < n; done += block) {
    const int64_t count = std::min(block, n - done);
    for (int64_t i = 0; i < count; ++i) gathered[i] = values[(done + i) * stride];
    HWY_DYNAMIC_DISPATCH(halves_to_floats)(gathered, destination + done, count);
  }
}

void load_bf16(const std::byte* source, int64_t stride, float* destination, int64_t n) {
  const auto* values = reinterpret_cast<const uint16_t*>(source);
  if (stride == 1) return HWY_DYNAMIC_DISPATCH(brains_to_floats)(values, destination, n);
  for (int64_t i = 0; i < n; ++i) destination[i] = bfloat16_to_float(values[i * stride]);
}

void load_boolean(const std::byte* source, int64_t stride, float* destination, int64_t n) {
  const auto* values = reinterpret_cast<const uint8_t*>(source);
  for (int64_t i = 0; i < n; ++i) destination[i] = values[i * stride] != 0 ? 1.0f : 0.0f;
}

void store_fp32(const float* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<float*>(destination);
  if (stride == 1) {
    std::memcpy(values, source, static_cast<size_t>(n) * sizeof(float));
  } else {
    for (int64_t i = 0; i < n; ++i) values[i * stride] = source[i];
  }
}

template <HalfRule rule>
void store_fp16(const float* source, std::byte* destination, int64_t stride, int64_t n) {
  constexpr float limit = overflow_limit(rule);
  auto* values = reinterpret_cast<uint16_t*>(destination);
  if (stride == 1) return HWY_DYNAMIC_DISPATCH(floats_to_halves)(source, values, n, limit);
  uint16_t rounded[block];
  for (int64_t done = 0; done < n; done += block) {
    const int64_t count = std::min(block, n - done);
    HWY_DYNAMIC_DISPATCH(floats_to_halves)(source + done, rounded, count, limit);
    for (int64_t i = 0; i < count; ++i) values[(done + i) * stride] = rounded[i];
  }
}

void store_bf16(const float* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<uint16_t*>(destination);
  if (stride == 1) return HWY_DYNAMIC_DISPATCH(floats_to_brains)(source, values, n);
  for (int64_t i = 0; i < n; ++i) values[i * stride] = float_to_bfloat16(source[i]);
}

void store_boolean(const float* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<uint8_t*>(destination);
  for (int64_t i = 0; i < n; ++i) values[i * stride] = source[i] != 0.0f ? 1 : 0;
}

template <typename T>
void load_number(const std::byte* source, int64_t stride, double* destination, int64_t n) {
  const auto* values = reinterpret_cast<const T*>(source);
  for (int64_t i = 0; i < n; ++i) destination[i] = static_cast<double>(values[i * stride]);
}

template <LoadFloat load>
void load_through_float(const std::byte* source, int64_t stride, double* destination, int64_t n) {
  float values[block];
  const int64_t size = load == load_fp16 || load == load_bf16 ? 2 : 1;
  for (int64_t done = 0; done < n; done += block) {
    const int64_t count = std::min(block, n - done);
    load(source + done * stride * size, stride, values, count);
    for (int64_t i = 0; i < count; ++i) destination[done + i] = values[i];
  }
}

// Wraps modulo 2^bits, as two's complement conversions do; NaN and what exceeds int64 give 0.
template <typename T>
T wrap(double value) {
  if (!(std::fabs(value) < 0x1p63)) return 0;
  return static_cast<T>(static_cast<int64_t>(value));
}

template <typename T>
void store_integer(const double* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<T*>(destination);
  for (int64_t i = 0; i < n; ++i) values[i * stride] = wrap<T>(source[i]);
}

void store_double_fp32(const double* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<float*>(destination);
  for (int64_t i = 0; i < n; ++i) values[i * stride] = static_cast<float>(source[i]);
}

void store_double_fp16(const double* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<uint16_t*>(destination);
  for (int64_t i = 0; i < n; ++i) {
    values[i * stride] = std::isnan(source[i]) ? uint16_t{0} : double_to_half(source[i]);
  }
}

void store_double_bf16(const double* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<uint16_t*>(destination);
  for (int64_t i = 0; i < n; ++i) {
    values[i * stride] = float_to_bfloat16(static_cast<float>(source[i]));
  }
}

void store_double_boolean(const double* source, std::byte* destination, int64_t stride, int64_t n) {
  auto* values = reinterpret_cast<uint8_t*>(destination);
  for (int64_t i = 0; i < n; ++i) values[i * stride] = source[i] != 0.0 ? 1 : 0;
}

} // namespace

LoadFloat load_float(mil::DataType dtype) {
  switch (dtype) {
  case mil::DataType::fp32:
    return load_fp32;
  case mil::DataType::fp16:
    return load_fp16;
  case mil::DataType::bf16:
    return load_bf16;
  case mil::DataType::boolean:
    return load_boolean;
  default:
    return nullptr;
  }
}

StoreFloat store_float(mil::DataType dtype, HalfRule rule) {
  switch (dtype) {
  case mil::DataType::fp32:
    return store_fp32;
  case mil::DataType::fp16:
    return rule == HalfRule::elementwise ? store_fp16<HalfRule::elementwise>
                                         : store_fp16<HalfRule::multiply_accumulate>;
  case mil::DataType::bf16:
    return store_bf16;
  case mil::DataType::boolean:
    return store_boolean;
  default:
    return nullptr;
  }
}

LoadDouble load_double(mil::DataType dtype) {
  using enum mil::DataType;
  switch (dtype) {
  case boolean:
    return load_through_float<load_boolean>;
  case fp16:
    return load_through_float<load_fp16>;
  case bf16:
    return load_through_float<load_bf16>;
  case fp32:
    return load_number<float>;
  case int4:
  case int8:
    return load_number<int8_t>;
  case uint1:
  case uint2:
  case uint3:
  case uint4:
  case uint6:
  case uint8:
    return load_number<uint8_t>;
  case int16:
    return load_number<int16_t>;
  case uint16:
    return load_number<uint16_t>;
  case int32:
    return load_number<int32_t>;
  case uint32:
    return load_number<uint32_t>;
  case int64:
    return load_number<int64_t>;
  case uint64:
    return load_number<uint64_t>;
  case string:
    return nullptr;
  }
  return nullptr;
}

StoreDouble store_double(mil::DataType dtype) {
  using enum mil::DataType;
  switch (dtype) {
  case boolean:
    return store_double_boolean;
  case fp16:
    return store_double_fp16;
  case bf16:
    return store_double_bf16;
  case fp32:
    return store_double_fp32;
  case int4:
  case int8:
    return store_integer<int8_t>;
  case uint1:
  case uint2:
  case uint3:
  case uint4:
  case uint6:
  case uint8:
    return store_integer<uint8_t>;
  case int16:
    return store_integer<int16_t>;
  case uint16:
    return store_integer<uint16_t>;
  case int32:
    return store_integer<int32_t>;
  case uint32:
    return store_integer<uint32_t>;
  case int64:
    return store_integer<int64_t>;
  case uint64:
    return store_integer<uint64_t>;
  case string:
    return nullptr;
  }
  return nullptr;
}

const char* simd_target() {
  const int64_t best = hwy::SupportedTargets() & HWY_TARGETS;
  return hwy::TargetName(best & -best);
}

} // namespace anet::backend::cpu
#endif

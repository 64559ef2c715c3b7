// Element types in and out of the two types that kernels compute in: float for floating tensors,
// double for integers and booleans (exact up to 2^53).
//
// fp16 follows the ANE (ane-facts.md 6, R): a NaN reads as +Inf, a NaN result is stored as +0.
#pragma once

#include "mil/type.h"

#include <cstddef>
#include <cstdint>

namespace anet::backend::cpu {

// How a result becomes fp16.
enum class HalfRule : uint8_t {
  elementwise,         // overflow to infinity from 65520 on
  multiply_accumulate, // matmul and conv: infinite from 32768 on (ane-facts.md 6, R)
};

// The least magnitude that becomes infinite: halfway to the number that is not there.
constexpr float overflow_limit(HalfRule rule) {
  return rule == HalfRule::elementwise ? 65520.0f : 32760.0f;
}

// `stride` is in elements; dst is contiguous.
using LoadFloat = void (*)(const std::byte* source, int64_t stride, float* destination, int64_t n);
using StoreFloat = void (*)(const float* source, std::byte* destination, int64_t stride, int64_t n);
using LoadDouble = void (*)(const std::byte* source, int64_t stride, double* destination,
                            int64_t n);
using StoreDouble = void (*)(const double* source, std::byte* destination, int64_t stride,
                             int64_t n);

// Floating types and booleans; nullptr for others.
LoadFloat load_float(mil::DataType dtype);
StoreFloat store_float(mil::DataType dtype, HalfRule rule = HalfRule::elementwise);
// Every numeric type. Storing to an integer truncates toward zero and wraps; to a boolean tests
// for zero.
LoadDouble load_double(mil::DataType dtype);
StoreDouble store_double(mil::DataType dtype);

// The instruction set in use: "AVX3", "AVX2", "NEON"...
const char* simd_target();

} // namespace anet::backend::cpu

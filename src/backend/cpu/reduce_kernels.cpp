#include "backend/cpu/reduce_kernels.h"

#include <cstring>
#include <limits>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/reduce_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/vector_math-inl.h"
#include "base/bfloat16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t max_lanes = 64;

HWY_INLINE int64_t lane_count() { return static_cast<int64_t>(hn::Lanes(Tag())); }

// update: folds a vector of values into an accumulator; merge: folds two accumulators.
struct Sum {
  static constexpr float identity = 0.0f;
  static HWY_INLINE V update(V acc, V x, V) { return hn::Add(acc, x); }
  static HWY_INLINE V merge(V a, V b) { return hn::Add(a, b); }
};

struct SumSquare : Sum {
  static HWY_INLINE V update(V acc, V x, V) { return hn::MulAdd(x, x, acc); }
};

struct SumAbs : Sum {
  static HWY_INLINE V update(V acc, V x, V) { return hn::Add(acc, hn::Abs(x)); }
};

struct SumExp : Sum {
  static HWY_INLINE V update(V acc, V x, V shift) { return hn::Add(acc, exp(hn::Sub(x, shift))); }
};

struct Product {
  static constexpr float identity = 1.0f;
  static HWY_INLINE V update(V acc, V x, V) { return hn::Mul(acc, x); }
  static HWY_INLINE V merge(V a, V b) { return hn::Mul(a, b); }
};

struct Max {
  static constexpr float identity = -std::numeric_limits<float>::infinity();
  static HWY_INLINE V update(V acc, V x, V) { return maximum(x, acc); }
  static HWY_INLINE V merge(V a, V b) { return maximum(a, b); }
};

struct Min {
  static constexpr float identity = std::numeric_limits<float>::infinity();
  static HWY_INLINE V update(V acc, V x, V) { return minimum(x, acc); }
  static HWY_INLINE V merge(V a, V b) { return minimum(a, b); }
};

// Folds the lanes by halves, always in the same order.
template <typename Op>
float fold_lanes(V acc) {
  float lanes[max_lanes];
  hn::StoreU(acc, Tag(), lanes);
  float last[max_lanes];
  for (int64_t width = lane_count() / 2; width >= 1; width /= 2) {
    for (int64_t i = 0; i < width; ++i) {
      const V merged = Op::merge(constant(lanes[i]), constant(lanes[i + width]));
      hn::StoreU(merged, Tag(), last);
      lanes[i] = last[0];
    }
  }
  return lanes[0];
}

template <typename Op>
float row(const float* x, int64_t n, float shift) {
  const int64_t lanes = lane_count();
  const V offset = constant(shift);
  V a = constant(Op::identity), b = a, c = a, e = a;
  int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    a = Op::update(a, hn::LoadU(Tag(), x + i), offset);
    b = Op::update(b, hn::LoadU(Tag(), x + i + lanes), offset);
    c = Op::update(c, hn::LoadU(Tag(), x + i + 2 * lanes), offset);
    e = Op::update(e, hn::LoadU(Tag(), x + i + 3 * lanes), offset);
  }
  for (; i + lanes <= n; i += lanes) a = Op::update(a, hn::LoadU(Tag(), x + i), offset);
  if (i < n) {
    // Lanes past the end keep the accumulator.
    float values[max_lanes] = {};
    std::memcpy(values, x + i, static_cast<size_t>(n - i) * sizeof(float));
    const auto used = hn::FirstN(Tag(), static_cast<size_t>(n - i));
    b = hn::IfThenElse(used, Op::update(b, hn::LoadU(Tag(), values), offset), b);
  }
  return fold_lanes<Op>(Op::merge(Op::merge(a, b), Op::merge(c, e)));
}

template <typename Op>
void column(float* accumulator, const float* x, int64_t n, const float* shift) {
  const int64_t lanes = lane_count();
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V acc = hn::LoadU(Tag(), accumulator + i);
    const V offset = hn::LoadU(Tag(), shift + i);
    hn::StoreU(Op::update(acc, hn::LoadU(Tag(), x + i), offset), Tag(), accumulator + i);
  }
  for (; i < n; ++i) {
    float result[max_lanes];
    const V value = Op::update(constant(accumulator[i]), constant(x[i]), constant(shift[i]));
    hn::StoreU(value, Tag(), result);
    accumulator[i] = result[0];
  }
}

ReduceKernels find_kernels(Accumulation accumulation) {
  switch (accumulation) {
  case Accumulation::sum:
    return {row<Sum>, column<Sum>};
  case Accumulation::max:
    return {row<Max>, column<Max>};
  case Accumulation::min:
    return {row<Min>, column<Min>};
  case Accumulation::product:
    return {row<Product>, column<Product>};
  case Accumulation::sum_square:
    return {row<SumSquare>, column<SumSquare>};
  case Accumulation::sum_abs:
    return {row<SumAbs>, column<SumAbs>};
  case Accumulation::sum_exp:
    return {row<SumExp>, column<SumExp>};
  }
  return {};
}

// y = exp(x - shift); returns the sum.
float exp_row(const float* x, float* y, int64_t n, float shift) {
  const int64_t lanes = lane_count();
  const V offset = constant(shift);
  V sum = hn::Zero(Tag());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V value = exp(hn::Sub(hn::LoadU(Tag(), x + i), offset));
    hn::StoreU(value, Tag(), y + i);
    sum = hn::Add(sum, value);
  }
  if (i < n) {
    float values[max_lanes] = {};
    const auto bytes = static_cast<size_t>(n - i) * sizeof(float);
    std::memcpy(values, x + i, bytes);
    const auto used = hn::FirstN(Tag(), static_cast<size_t>(n - i));
    const V value = hn::IfThenElseZero(used, exp(hn::Sub(hn::LoadU(Tag(), values), offset)));
    sum = hn::Add(sum, value);
    hn::StoreU(value, Tag(), values);
    std::memcpy(y + i, values, bytes);
  }
  return fold_lanes<Sum>(sum);
}

void scale_row(float* y, int64_t n, float factor) {
  const int64_t lanes = lane_count();
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(Tag(), y + i), constant(factor)), Tag(), y + i);
  }
  for (; i < n; ++i) y[i] *= factor;
}

void softmax_below(const float* x, float* y, int64_t n, float largest) {
  const float sum = exp_row(x, y, n, largest);
  scale_row(y, n, 1.0f / sum);
}

void differentiate_softmax(const float* p, float* dy, int64_t n) {
  const int64_t lanes = lane_count();
  V sums = hn::Zero(Tag());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    sums = hn::MulAdd(hn::LoadU(Tag(), p + i), hn::LoadU(Tag(), dy + i), sums);
  float sum = fold_lanes<Sum>(sums);
  for (; i < n; ++i) sum += p[i] * dy[i];
  for (i = 0; i + lanes <= n; i += lanes) {
    const V difference = hn::Sub(hn::LoadU(Tag(), dy + i), constant(sum));
    hn::StoreU(hn::Mul(hn::LoadU(Tag(), p + i), difference), Tag(), dy + i);
  }
  for (; i < n; ++i) dy[i] = p[i] * (dy[i] - sum);
}

float add_and_find_largest(float* x, const float* addend, int64_t n) {
  const int64_t lanes = lane_count();
  V largest = constant(Max::identity);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V sum = hn::Add(hn::LoadU(Tag(), x + i), hn::LoadU(Tag(), addend + i));
    hn::StoreU(sum, Tag(), x + i);
    largest = maximum(sum, largest);
  }
  for (; i < n; ++i) {
    x[i] += addend[i];
    largest = maximum(constant(x[i]), largest);
  }
  return fold_lanes<Max>(largest);
}

void exp_block(const float* x, float* y, const float* shift, float* sum, int64_t n) {
  const int64_t lanes = lane_count();
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V value = exp(hn::Sub(hn::LoadU(Tag(), x + i), hn::LoadU(Tag(), shift + i)));
    hn::StoreU(value, Tag(), y + i);
    hn::StoreU(hn::Add(hn::LoadU(Tag(), sum + i), value), Tag(), sum + i);
  }
  for (; i < n; ++i) sum[i] += exp_row(x + i, y + i, 1, shift[i]);
}

HWY_INLINE void store(V value, float* y) { hn::StoreU(value, Tag(), y); }
HWY_INLINE void store(V value, uint16_t* y) {
  anet::HWY_NAMESPACE::store_bfloat16(Tag(), value, y);
}

template <typename T>
void exp_scaled_block(const float* x, T* y, const float* shift, const float* factor, int64_t n) {
  const int64_t lanes = lane_count();
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V value = exp(hn::Sub(hn::LoadU(Tag(), x + i), hn::LoadU(Tag(), shift + i)));
    store(hn::Mul(value, hn::LoadU(Tag(), factor + i)), y + i);
  }
  for (; i < n; ++i) {
    T result[max_lanes];
    const V value = exp(hn::Sub(constant(x[i]), constant(shift[i])));
    store(hn::Mul(value, constant(factor[i])), result);
    y[i] = result[0];
  }
}

void exp_scaled_floats(const float* x, float* y, const float* shift, const float* factor,
                       int64_t n) {
  exp_scaled_block(x, y, shift, factor, n);
}

void exp_scaled_bfloat16(const float* x, uint16_t* y, const float* shift, const float* factor,
                         int64_t n) {
  exp_scaled_block(x, y, shift, factor, n);
}

void scale_block(float* y, const float* factor, int64_t n) {
  const int64_t lanes = lane_count();
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(Tag(), y + i), hn::LoadU(Tag(), factor + i)), Tag(), y + i);
  }
  for (; i < n; ++i) y[i] *= factor[i];
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(find_kernels);
HWY_EXPORT(softmax_below);
HWY_EXPORT(add_and_find_largest);
HWY_EXPORT(differentiate_softmax);
HWY_EXPORT(exp_block);
HWY_EXPORT(exp_scaled_floats);
HWY_EXPORT(exp_scaled_bfloat16);
HWY_EXPORT(scale_block);

} // namespace

ReduceKernels reduce_kernels(Accumulation accumulation) {
  return HWY_DYNAMIC_DISPATCH(find_kernels)(accumulation);
}

void softmax_row(const float* x, float* y, int64_t n) {
  softmax_row(x, y, n, reduce_kernels(Accumulation::max).row(x, n, 0.0f));
}

void softmax_row(const float* x, float* y, int64_t n, float largest) {
  HWY_DYNAMIC_DISPATCH(softmax_below)(x, y, n, largest);
}

void softmax_gradient_row(const float* p, float* dy, int64_t n) {
  HWY_DYNAMIC_DISPATCH(differentiate_softmax)(p, dy, n);
}

float add_row(float* x, const float* addend, int64_t n) {
  return HWY_DYNAMIC_DISPATCH(add_and_find_largest)(x, addend, n);
}

void exp_columns(const float* x, float* y, const float* shift, float* sum, int64_t n) {
  HWY_DYNAMIC_DISPATCH(exp_block)(x, y, shift, sum, n);
}

void exp_scaled_columns(const float* x, float* y, const float* shift, const float* factor,
                        int64_t n) {
  HWY_DYNAMIC_DISPATCH(exp_scaled_floats)(x, y, shift, factor, n);
}

void exp_scaled_columns(const float* x, uint16_t* y, const float* shift, const float* factor,
                        int64_t n) {
  HWY_DYNAMIC_DISPATCH(exp_scaled_bfloat16)(x, y, shift, factor, n);
}

void scale_columns(float* y, const float* factor, int64_t n) {
  HWY_DYNAMIC_DISPATCH(scale_block)(y, factor, n);
}

} // namespace anet::backend::cpu
#endif

#include "backend/cpu/pointwise_kernels.h"

#include <cstring>
#include <limits>
#include <unordered_map>

#include "base/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/pointwise_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {
namespace {

using Parameters = const PointwiseParameters&;

constexpr int64_t max_lanes = 64;

HWY_INLINE V load(const float* data, bool scalar, int64_t at) {
  return scalar ? constant(*data) : hn::LoadU(Tag(), data + at);
}

// The n values that are left at the end of a run; the other lanes are zero.
HWY_INLINE V load_tail(const float* data, bool scalar, int64_t at, int64_t n) {
  if (scalar) return constant(*data);
  float lanes[max_lanes] = {};
  std::memcpy(lanes, data + at, static_cast<size_t>(n) * sizeof(float));
  return hn::LoadU(Tag(), lanes);
}

HWY_INLINE void store_tail(V value, float* out, int64_t n) {
  float lanes[max_lanes];
  hn::StoreU(value, Tag(), lanes);
  std::memcpy(out, lanes, static_cast<size_t>(n) * sizeof(float));
}

template <auto formula>
void unary(const float* const* in, unsigned scalars, float* out, int64_t n, Parameters p) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag()));
  const bool scalar = scalars != 0;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(formula(load(in[0], scalar, i), p), Tag(), out + i);
  }
  if (i < n) store_tail(formula(load_tail(in[0], scalar, i, n - i), p), out + i, n - i);
}

template <auto formula, bool scalar_x, bool scalar_y>
void binary_loop(const float* x, const float* y, float* out, int64_t n) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag()));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(formula(load(x, scalar_x, i), load(y, scalar_y, i)), Tag(), out + i);
  }
  if (i < n) {
    const V rest = formula(load_tail(x, scalar_x, i, n - i), load_tail(y, scalar_y, i, n - i));
    store_tail(rest, out + i, n - i);
  }
}

template <auto formula>
void binary(const float* const* in, unsigned scalars, float* out, int64_t n, Parameters) {
  switch (scalars) {
  case 0:
    return binary_loop<formula, false, false>(in[0], in[1], out, n);
  case 1:
    return binary_loop<formula, true, false>(in[0], in[1], out, n);
  case 2:
    return binary_loop<formula, false, true>(in[0], in[1], out, n);
  default:
    return binary_loop<formula, true, true>(in[0], in[1], out, n);
  }
}

template <auto formula>
void ternary(const float* const* in, unsigned scalars, float* out, int64_t n, Parameters) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag()));
  const bool s[] = {(scalars & 1) != 0, (scalars & 2) != 0, (scalars & 4) != 0};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(formula(load(in[0], s[0], i), load(in[1], s[1], i), load(in[2], s[2], i)), Tag(),
               out + i);
  }
  if (i < n) {
    const int64_t rest = n - i;
    store_tail(formula(load_tail(in[0], s[0], i, rest), load_tail(in[1], s[1], i, rest),
                       load_tail(in[2], s[2], i, rest)),
               out + i, rest);
  }
}

HWY_INLINE V from_mask(hn::Mask<Tag> mask) { return hn::IfThenElseZero(mask, constant(1.0f)); }

HWY_INLINE V zero() { return hn::Zero(Tag()); }

HWY_INLINE V infinity() { return constant(std::numeric_limits<float>::infinity()); }

PointwiseFloat find_unary(std::string_view op) {
  static const std::unordered_map<std::string_view, PointwiseFloat> table = {
      {"identity", unary<[](V x, Parameters) HWY_ATTR { return x; }>},
      // How the ANE reads a NaN (ane-facts.md 6, R).
      {"nan_to_infinity",
       unary<[](V x, Parameters) HWY_ATTR { return hn::IfThenElse(hn::IsNaN(x), infinity(), x); }>},
      {"abs", unary<[](V x, Parameters) HWY_ATTR { return hn::Abs(x); }>},
      {"ceil", unary<[](V x, Parameters) HWY_ATTR { return hn::Ceil(x); }>},
      {"floor", unary<[](V x, Parameters) HWY_ATTR { return hn::Floor(x); }>},
      {"round", unary<[](V x, Parameters) HWY_ATTR { return hn::Round(x); }>},
      {"square", unary<[](V x, Parameters) HWY_ATTR { return hn::Mul(x, x); }>},
      {"sqrt", unary<[](V x, Parameters) HWY_ATTR { return hn::Sqrt(x); }>},
      {"sign", unary<[](V x, Parameters) HWY_ATTR {
         const V one = hn::CopySign(constant(1.0f), x);
         return hn::IfThenElse(hn::Or(hn::Lt(x, zero()), hn::Gt(x, zero())), one, x);
       }>},
      // x^0.5 and x^-0.5 as pow defines them: -0 counts as +0, and -Inf as +Inf.
      {"pow_0.5", unary<[](V x, Parameters) HWY_ATTR { return square_root_power(x); }>},
      {"pow_-0.5",
       unary<[](V x, Parameters) HWY_ATTR { return reciprocal(square_root_power(x)); }>},
      {"exp", unary<[](V x, Parameters) HWY_ATTR { return exp(x); }>},
      {"exp2", unary<[](V x, Parameters) HWY_ATTR { return exp2(x); }>},
      {"tanh", unary<[](V x, Parameters) HWY_ATTR { return tanh(x); }>},
      {"erf", unary<[](V x, Parameters) HWY_ATTR { return erf(x); }>},
      {"sigmoid", unary<[](V x, Parameters) HWY_ATTR { return sigmoid(x); }>},
      {"silu", unary<[](V x, Parameters) HWY_ATTR {
         // -Inf * 0 would be NaN.
         const V product = hn::Mul(x, sigmoid(x));
         return hn::IfThenZeroElse(hn::Eq(x, hn::Neg(infinity())), product);
       }>},
      {"gelu", unary<[](V x, Parameters) HWY_ATTR { return gelu_exact(x); }>},
      {"gelu_tanh", unary<[](V x, Parameters) HWY_ATTR { return gelu_tanh(x); }>},
      {"gelu_sigmoid", unary<[](V x, Parameters) HWY_ATTR {
         return hn::Mul(x, sigmoid(hn::Mul(constant(1.702f), x)));
       }>},
      {"relu", unary<[](V x, Parameters) HWY_ATTR {
         return keep_nan(x, hn::IfThenElseZero(hn::Gt(x, zero()), x));
       }>},
      {"relu6",
       unary<[](V x, Parameters) HWY_ATTR { return minimum(maximum(x, zero()), constant(6.0f)); }>},
      {"softplus", unary<[](V x, Parameters) HWY_ATTR { return softplus(x); }>},
      // softplus(+Inf) is 0 on the ANE (ane-facts.md 6, R).
      {"softplus_half", unary<[](V x, Parameters) HWY_ATTR {
         return hn::IfThenZeroElse(hn::Eq(x, infinity()), softplus(x));
       }>},
      {"softsign", unary<[](V x, Parameters) HWY_ATTR {
         const V ratio = hn::Div(x, hn::Add(constant(1.0f), hn::Abs(x)));
         return hn::IfThenElse(hn::Eq(hn::Abs(x), infinity()), hn::CopySign(constant(1.0f), x),
                               ratio);
       }>},
      // Inf / Inf is stored as 0 (ane-facts.md 6, R).
      {"softsign_half", unary<[](V x, Parameters) HWY_ATTR {
         return hn::Div(x, hn::Add(constant(1.0f), hn::Abs(x)));
       }>},
      // p: alpha
      {"elu", unary<[](V x, Parameters p) HWY_ATTR {
         return hn::IfThenElse(hn::Gt(x, zero()), x, hn::Mul(constant(p[0]), expm1(x)));
       }>},
      {"leaky_relu", unary<[](V x, Parameters p) HWY_ATTR {
         return hn::IfThenElse(hn::Ge(x, zero()), x, hn::Mul(constant(p[0]), x));
       }>},
      {"threshold", unary<[](V x, Parameters p) HWY_ATTR { return maximum(x, constant(p[0])); }>},
      {"scale", unary<[](V x, Parameters p) HWY_ATTR { return hn::Mul(x, constant(p[0])); }>},
      // p: alpha, beta
      {"clip", unary<[](V x, Parameters p)
                         HWY_ATTR { return minimum(maximum(x, constant(p[0])), constant(p[1])); }>},
      {"sigmoid_hard", unary<[](V x, Parameters p) HWY_ATTR {
         const V line = hn::Add(hn::Mul(constant(p[0]), x), constant(p[1]));
         return minimum(maximum(line, zero()), constant(1.0f));
       }>},
      // p: epsilon
      {"rsqrt", unary<[](V x, Parameters p)
                          HWY_ATTR { return reciprocal(hn::Sqrt(hn::Add(x, constant(p[0])))); }>},
      {"inverse",
       unary<[](V x, Parameters p) HWY_ATTR { return reciprocal(hn::Add(x, constant(p[0]))); }>},
      {"log", unary<[](V x, Parameters p) HWY_ATTR { return log(hn::Add(x, constant(p[0]))); }>},
      // 1 / -0 is +Inf, log(0) is -45440 on the ANE (ane-facts.md 6, R).
      {"inverse_half", unary<[](V x, Parameters p) HWY_ATTR {
         const V shifted = hn::Add(x, constant(p[0]));
         return hn::IfThenElse(hn::Eq(shifted, zero()), infinity(), reciprocal(shifted));
       }>},
      {"log_half", unary<[](V x, Parameters p) HWY_ATTR {
         const V shifted = hn::Add(x, constant(p[0]));
         return hn::IfThenElse(hn::Eq(shifted, zero()), constant(-45440.0f), log(shifted));
       }>},
  };
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

PointwiseFloat find_binary(std::string_view op) {
  static const std::unordered_map<std::string_view, PointwiseFloat> table = {
      {"add", binary<[](V x, V y) HWY_ATTR { return hn::Add(x, y); }>},
      {"sub", binary<[](V x, V y) HWY_ATTR { return hn::Sub(x, y); }>},
      {"mul", binary<[](V x, V y) HWY_ATTR { return hn::Mul(x, y); }>},
      {"real_div", binary<[](V x, V y) HWY_ATTR { return hn::Div(x, y); }>},
      // A zero divisor loses its sign on the ANE (ane-facts.md 6, R).
      {"real_div_half", binary<[](V x, V y) HWY_ATTR {
         return hn::Div(x, hn::IfThenZeroElse(hn::Eq(y, zero()), y));
       }>},
      {"maximum", binary<[](V x, V y) HWY_ATTR { return maximum(x, y); }>},
      {"minimum", binary<[](V x, V y) HWY_ATTR { return minimum(x, y); }>},
      {"equal", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Eq(x, y)); }>},
      {"not_equal", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Ne(x, y)); }>},
      {"greater", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Gt(x, y)); }>},
      {"greater_equal", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Ge(x, y)); }>},
      {"less", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Lt(x, y)); }>},
      {"less_equal", binary<[](V x, V y) HWY_ATTR { return from_mask(hn::Le(x, y)); }>},
      {"select",
       ternary<[](V x, V y, V z) HWY_ATTR { return hn::IfThenElse(hn::Ne(x, zero()), y, z); }>},
  };
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

} // namespace
} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::backend::cpu {
namespace {

HWY_EXPORT(find_unary);
HWY_EXPORT(find_binary);

} // namespace

PointwiseFloat pointwise_float(std::string_view op) {
  if (const PointwiseFloat kernel = HWY_DYNAMIC_DISPATCH(find_unary)(op)) return kernel;
  return HWY_DYNAMIC_DISPATCH(find_binary)(op);
}

} // namespace anet::backend::cpu
#endif

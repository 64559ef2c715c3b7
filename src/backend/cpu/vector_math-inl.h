// Float functions on vectors, once for each instruction set. NaN goes through, as it does in
// scalar code: a training run must see it.
//
// Include after hwy/highway.h, outside any namespace. No #pragma once: see the guard below.

#if defined(ANET_VECTOR_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef ANET_VECTOR_MATH_INL_H
#undef ANET_VECTOR_MATH_INL_H
#else
#define ANET_VECTOR_MATH_INL_H
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <limits>

HWY_BEFORE_NAMESPACE();
namespace anet::backend::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
using V = hn::Vec<Tag>;

HWY_INLINE V constant(float value) { return hn::Set(Tag(), value); }

HWY_INLINE V keep_nan(V x, V y) { return hn::IfThenElse(hn::IsNaN(x), x, y); }

// Greater or lesser of the two; x when x is NaN, y when y is not comparable otherwise.
HWY_INLINE V maximum(V x, V y) { return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Gt(x, y)), x, y); }
HWY_INLINE V minimum(V x, V y) { return hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::Lt(x, y)), x, y); }

// 2 e^r for |r| <= ln(2) / 2: 2 + 2r + r^2 times a polynomial, least squares on Chebyshev points:
// 3e-9 relative.
HWY_INLINE V twice_exp_small(V r) {
  V sum = constant(0.002762907f);
  sum = hn::MulAdd(sum, r, constant(0.01673749f));
  sum = hn::MulAdd(sum, r, constant(0.083336786f));
  sum = hn::MulAdd(sum, r, constant(0.33333042f));
  sum = hn::MulAdd(sum, r, constant(0.99999988f));
  sum = hn::MulAdd(sum, r, constant(2.0f));
  return hn::MulAdd(sum, r, constant(2.0f));
}

// e^x = 2^n e^r with n = round(x / ln 2) and r = x - n ln 2, where ln 2 has two parts so that the
// first product is exact (Cody & Waite 1980). Overflows to infinity; below -86.9, where results
// would soon be subnormal, it is 0.
HWY_INLINE V exp(V x) {
  // In its sum with this, whole numbers are the last bits, and n + 126 those that an exponent
  // takes.
  const V shifter = constant(12582912.0f + 126.0f);
  const V bounded = hn::IfThenElse(hn::Lt(x, constant(-87.3f)), constant(-87.3f), x);
  const V shifted = hn::MulAdd(hn::Min(bounded, constant(88.8f)), constant(1.44269504f), shifter);
  const V n = hn::Sub(shifted, shifter);
  V r = hn::NegMulAdd(n, constant(0.693145752f), bounded);
  r = hn::NegMulAdd(n, constant(1.42860677e-6f), r);
  const hn::RebindToSigned<Tag> integers;
  const V power = hn::BitCast(Tag(), hn::ShiftLeft<23>(hn::BitCast(integers, shifted)));
  return hn::Mul(twice_exp_small(r), power); // 2^(n-1)
}

// 2^n for whole n in [-126, 127].
HWY_INLINE V whole_power_of_two(V n) {
  const hn::RebindToSigned<Tag> integers;
  const auto exponent = hn::Add(hn::ConvertTo(integers, n), hn::Set(integers, 127));
  return hn::BitCast(Tag(), hn::ShiftLeft<23>(exponent));
}

// 2^x = 2^n e^(f ln 2) with n = round(x): f is exact, so the error does not grow with x. The power
// is applied in two halves, for a subnormal result needs more than the least exponent.
HWY_INLINE V exp2(V x) {
  const V bounded = hn::Max(hn::Min(x, constant(160.0f)), constant(-160.0f));
  const V n = hn::Round(bounded);
  const V half = hn::Floor(hn::Mul(n, constant(0.5f)));
  const V twice = twice_exp_small(hn::Mul(hn::Sub(bounded, n), constant(0.69314718055994531f)));
  const V fraction = hn::Mul(twice, constant(0.5f));
  const V scaled = hn::Mul(fraction, whole_power_of_two(half));
  return keep_nan(x, hn::Mul(scaled, whole_power_of_two(hn::Sub(n, half))));
}

HWY_INLINE V expm1(V x) { return keep_nan(x, hn::Expm1(Tag(), hn::Min(x, constant(100.0f)))); }

HWY_INLINE V log(V x) {
  const V infinity = constant(std::numeric_limits<float>::infinity());
  const V zero = hn::Zero(Tag());
  V result = hn::Log(Tag(), x);
  result = hn::IfThenElse(hn::Eq(x, zero), hn::Neg(infinity), result);
  result = hn::IfThenElse(hn::Eq(x, infinity), infinity, result);
  result =
      hn::IfThenElse(hn::Lt(x, zero), constant(std::numeric_limits<float>::quiet_NaN()), result);
  return keep_nan(x, result);
}

HWY_INLINE V square_root_power(V x) {
  const V infinity = constant(std::numeric_limits<float>::infinity());
  const V positive = hn::Add(x, hn::Zero(Tag()));
  return hn::Sqrt(hn::IfThenElse(hn::Eq(x, hn::Neg(infinity)), infinity, positive));
}

HWY_INLINE V reciprocal(V x) { return hn::Div(constant(1.0f), x); }

HWY_INLINE V sigmoid(V x) { return reciprocal(hn::Add(constant(1.0f), exp(hn::Neg(x)))); }

HWY_INLINE V tanh(V x) { return keep_nan(x, hn::Tanh(Tag(), x)); }

// log(1 + exp(x)) without overflow.
HWY_INLINE V softplus(V x) {
  const V tail = hn::Log1p(Tag(), exp(hn::Neg(hn::Abs(x))));
  return hn::Add(maximum(x, hn::Zero(Tag())), tail);
}

// erf(x) / x as a polynomial in x^2, least squares on Chebyshev points of [0, 1]: 2e-9 relative.
HWY_INLINE V erf_small(V x) {
  const V z = hn::Mul(x, x);
  V sum = constant(7.882497448008507e-05f);
  sum = hn::MulAdd(sum, z, constant(-0.0008018855005502701f));
  sum = hn::MulAdd(sum, z, constant(0.005189312156289816f));
  sum = hn::MulAdd(sum, z, constant(-0.02685432881116867f));
  sum = hn::MulAdd(sum, z, constant(0.11283597350120544f));
  sum = hn::MulAdd(sum, z, constant(-0.3761262595653534f));
  sum = hn::MulAdd(sum, z, constant(1.1283791065216064f));
  return hn::Mul(sum, x);
}

// erfc(x) for x >= 0: exp(-x^2) / (1 + 2x) times a polynomial in (x - 2) / (x + 2), least squares
// on Chebyshev points: 1.1e-7 relative.
HWY_INLINE V erfc_positive(V x) {
  // Beyond 10 the result is 0 in float; the bound keeps infinity out of the quotient.
  x = hn::Min(x, constant(11.0f));
  const V u = hn::Div(hn::Sub(x, constant(2.0f)), hn::Add(x, constant(2.0f)));
  V sum = constant(6.319266685750335e-05f);
  sum = hn::MulAdd(sum, u, constant(0.00016042070637922734f));
  sum = hn::MulAdd(sum, u, constant(-0.000357356620952487f));
  sum = hn::MulAdd(sum, u, constant(-0.0013947534607723355f));
  sum = hn::MulAdd(sum, u, constant(0.0012167486129328609f));
  sum = hn::MulAdd(sum, u, constant(0.008688329719007015f));
  sum = hn::MulAdd(sum, u, constant(-0.008018617518246174f));
  sum = hn::MulAdd(sum, u, constant(-0.05421166494488716f));
  sum = hn::MulAdd(sum, u, constant(0.16404937207698822f));
  sum = hn::MulAdd(sum, u, constant(-0.1660311371088028f));
  sum = hn::MulAdd(sum, u, constant(-0.0927637591958046f));
  sum = hn::MulAdd(sum, u, constant(1.2769783735275269f));
  // exp(-x^2) = exp(-h) * exp(-l) with h + l = x^2 exactly: rounding the square alone would cost
  // x^2 units in the last place.
  const V square = hn::Mul(x, x);
  const V low = hn::MulSub(x, x, square);
  const V power = hn::Mul(exp(hn::Neg(square)), hn::Sub(constant(1.0f), low));
  return hn::Div(hn::Mul(power, sum), hn::MulAdd(constant(2.0f), x, constant(1.0f)));
}

HWY_INLINE V erf(V x) {
  const V magnitude = hn::Abs(x);
  const V large = hn::CopySign(hn::Sub(constant(1.0f), erfc_positive(magnitude)), x);
  return keep_nan(x, hn::IfThenElse(hn::Lt(magnitude, constant(1.0f)), erf_small(x), large));
}

// x * Phi(x); the lower tail uses erfc, where 1 + erf would cancel.
HWY_INLINE V gelu_exact(V x) {
  const V scaled = hn::Mul(x, constant(0.70710678118654752f));
  const V upper = hn::Add(constant(1.0f), erf(scaled));
  const V lower = erfc_positive(hn::Abs(scaled));
  const V weight = hn::IfThenElse(hn::Lt(x, constant(-1.0f)), lower, upper);
  return keep_nan(x, hn::Mul(hn::Mul(constant(0.5f), x), weight));
}

// 0.5 (1 + tanh(u)) is sigmoid(2u), which does not cancel for negative u.
HWY_INLINE V gelu_tanh(V x) {
  const V cube = hn::Mul(hn::Mul(x, x), x);
  const V inner = hn::MulAdd(constant(0.044715f), cube, x);
  return hn::Mul(x, sigmoid(hn::Mul(constant(1.5957691216057308f), inner)));
}

} // namespace anet::backend::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

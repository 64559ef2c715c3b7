#include "train/optimizer_kernels.h"

#include "base/simd_targets.h"

#include <type_traits>
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "train/optimizer_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "base/bfloat16-inl.h"
#include "base/float16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace anet::train::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::ScalableTag<float>;
using SingleTag = hn::CappedTag<float, 1>; // what is left at the end of a range

template <bool with_bfloat16, class D>
HWY_INLINE void store_weights(D d, const UpdateRange& range, int64_t at, hn::Vec<D> weights) {
  hn::StoreU(weights, d, range.weights + at);
  if constexpr (with_bfloat16)
    anet::HWY_NAMESPACE::store_bfloat16(d, weights, range.bfloat16_weights + at);
}

// The gradients that an update finds, and what its last sweep leaves in their place.
template <class D>
HWY_INLINE hn::Vec<D> take_gradients(D d, const UpdateRange& range, int64_t at) {
  if (range.gradients == nullptr)
    return anet::HWY_NAMESPACE::load_float16(d, range.float16_gradients + at);
  const auto gradients = hn::LoadU(d, range.gradients + at);
  if (range.sweep != UpdateSweep::weights) hn::StoreU(hn::Zero(d), d, range.gradients + at);
  return gradients;
}

// Sixteen random bits twice for each element: an integer hash of its number that mixes well
// (Wellons, hash-prospector, lowbias32). A full generator would cost more than the memory that it
// saves.
template <class D>
HWY_INLINE hn::Vec<D> noise_at(D words, uint32_t first, int64_t at) {
  auto x = hn::Iota(words, first + static_cast<uint32_t>(at));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(words, 0x7feb352dU));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<15>(x)), hn::Set(words, 0x846ca68bU));
  return hn::Xor(x, hn::ShiftRight<16>(x));
}

template <bool narrow, class D>
HWY_INLINE hn::Vec<D> load_state(D d, const StateRange& state, int64_t at) {
  if constexpr (narrow)
    return anet::HWY_NAMESPACE::load_bfloat16(d, state.bfloat16_values + at);
  else
    return hn::LoadU(d, state.values + at);
}

// `noise` is read for narrow state alone.
template <bool narrow, class D>
HWY_INLINE void store_state(D d, hn::Vec<D> value, hn::Vec<hn::RebindToUnsigned<D>> noise,
                            const StateRange& state, int64_t at) {
  if constexpr (narrow)
    anet::HWY_NAMESPACE::store_bfloat16(d, value, noise, state.bfloat16_values + at);
  else
    hn::StoreU(value, d, state.values + at);
}

template <bool with_bfloat16, bool narrow, class D>
HWY_INLINE void adamw_at(D d, const UpdateRange& range, const AdamWFactors& f, float keep,
                         int64_t at) {
  const auto factor = [&](float value) HWY_ATTR { return hn::Set(d, value); };
  const auto g = hn::Mul(take_gradients(d, range, at), factor(f.gradient));
  const auto m = hn::Add(hn::Mul(factor(f.beta1), load_state<narrow>(d, range.first, at)),
                         hn::Mul(factor(1 - f.beta1), g));
  const auto v = hn::Add(hn::Mul(factor(f.beta2), load_state<narrow>(d, range.second, at)),
                         hn::Mul(hn::Mul(factor(1 - f.beta2), g), g));
  if (range.sweep != UpdateSweep::weights) {
    const hn::RebindToUnsigned<D> words;
    const auto noise = narrow ? noise_at(words, range.noise, at) : hn::Zero(words);
    store_state<narrow>(d, m, hn::ShiftRight<16>(noise), range.first, at);
    store_state<narrow>(d, v, hn::And(noise, hn::Set(words, 0xffffU)), range.second, at);
  }
  if (range.sweep == UpdateSweep::state) return;
  const auto root = hn::Add(hn::Mul(hn::Sqrt(v), factor(f.root_correction)), factor(f.epsilon));
  const auto change = hn::Div(hn::Mul(factor(f.step_size), m), root);
  const auto kept = hn::Mul(hn::LoadU(d, range.weights + at), factor(keep));
  store_weights<with_bfloat16>(d, range, at, hn::Sub(kept, change));
}

template <bool with_bfloat16, bool narrow, class D>
HWY_INLINE void sgd_at(D d, const UpdateRange& range, const SgdFactors& f, float keep, int64_t at) {
  auto direction = hn::Mul(take_gradients(d, range, at), hn::Set(d, f.gradient));
  if (narrow || range.first.values != nullptr) {
    const auto before = load_state<narrow>(d, range.first, at);
    direction = hn::Add(hn::Mul(hn::Set(d, f.momentum), before), direction);
    if (range.sweep != UpdateSweep::weights) {
      const hn::RebindToUnsigned<D> words;
      const auto noise = narrow ? noise_at(words, range.noise, at) : hn::Zero(words);
      store_state<narrow>(d, direction, hn::ShiftRight<16>(noise), range.first, at);
    }
  }
  if (range.sweep == UpdateSweep::state) return;
  const auto kept = hn::Mul(hn::LoadU(d, range.weights + at), hn::Set(d, keep));
  const auto change = hn::Mul(hn::Set(d, f.learning_rate), direction);
  store_weights<with_bfloat16>(d, range, at, hn::Sub(kept, change));
}

// The same arithmetic for every element, whether it stands in a whole vector or in the rest.
template <class Body>
HWY_INLINE void for_each_vector(int64_t count, Body&& body) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag()));
  int64_t at = 0;
  for (; at + lanes <= count; at += lanes) body(Tag(), at);
  for (; at < count; ++at) body(SingleTag(), at);
}

// Calls body(with_bfloat16, narrow) with two std::bool_constant: what a range has.
template <class Body>
void with_types(const UpdateRange& range, Body&& body) {
  const bool narrow = range.first.bfloat16_values != nullptr;
  const auto with_weights = [&](auto with_bfloat16) {
    if (narrow)
      body(with_bfloat16, std::true_type());
    else
      body(with_bfloat16, std::false_type());
  };
  if (range.bfloat16_weights != nullptr)
    with_weights(std::true_type());
  else
    with_weights(std::false_type());
}

void adamw(const UpdateRange& range, const AdamWFactors& factors, float keep) {
  // Copies, which no store can change.
  const UpdateRange r = range;
  const AdamWFactors f = factors;
  with_types(r, [&](auto weights, auto narrow) {
    for_each_vector(r.count, [&](auto d, int64_t at) HWY_ATTR {
      adamw_at<decltype(weights)::value, decltype(narrow)::value>(d, r, f, keep, at);
    });
  });
}

void sgd(const UpdateRange& range, const SgdFactors& factors, float keep) {
  const UpdateRange r = range;
  const SgdFactors f = factors;
  with_types(r, [&](auto weights, auto narrow) {
    for_each_vector(r.count, [&](auto d, int64_t at) HWY_ATTR {
      sgd_at<decltype(weights)::value, decltype(narrow)::value>(d, r, f, keep, at);
    });
  });
}

void scale(const UpdateRange& range, float keep) {
  const UpdateRange r = range;
  const auto kept = [&](auto d, int64_t at) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, r.weights + at), hn::Set(d, keep));
  };
  if (r.bfloat16_weights != nullptr)
    for_each_vector(r.count, [&](auto d, int64_t at)
                                 HWY_ATTR { store_weights<true>(d, r, at, kept(d, at)); });
  else
    for_each_vector(r.count, [&](auto d, int64_t at)
                                 HWY_ATTR { store_weights<false>(d, r, at, kept(d, at)); });
}

// Element i belongs to running sum i % 16, however many of them a vector holds. The square of a
// float is exact in a double, so that a fused multiply-add rounds as two operations do.
template <class Load>
HWY_INLINE double squares_of(int64_t count, Load&& load) {
  constexpr int64_t sum_count = 16;
  const hn::CappedTag<double, sum_count> d;
  const hn::Rebind<float, decltype(d)> floats;
  constexpr int64_t lanes = hn::MaxLanes(d);
  hn::Vec<decltype(d)> vectors[sum_count / lanes];
  for (auto& vector : vectors) vector = hn::Zero(d);
  const int64_t whole = count / sum_count * sum_count;
  for (int64_t at = 0; at < whole; at += sum_count)
    for (int64_t i = 0; i < sum_count / lanes; ++i) {
      const auto value = hn::PromoteTo(d, load(floats, at + i * lanes));
      vectors[i] = hn::MulAdd(value, value, vectors[i]);
    }
  double sums[sum_count];
  for (int64_t i = 0; i < sum_count / lanes; ++i) hn::StoreU(vectors[i], d, sums + i * lanes);
  for (int64_t at = whole; at < count; ++at) {
    const double value = hn::GetLane(load(SingleTag(), at));
    sums[at - whole] += value * value;
  }
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

double squares(const float* values, int64_t count) {
  return squares_of(count, [&](auto d, int64_t at) HWY_ATTR { return hn::LoadU(d, values + at); });
}

double float16_squares(const uint16_t* values, int64_t count) {
  return squares_of(count, [&](auto d, int64_t at) HWY_ATTR {
    return anet::HWY_NAMESPACE::load_float16(d, values + at);
  });
}

} // namespace
} // namespace anet::train::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace anet::train {
namespace {

HWY_EXPORT(adamw);
HWY_EXPORT(sgd);
HWY_EXPORT(scale);
HWY_EXPORT(squares);
HWY_EXPORT(float16_squares);

} // namespace

void update_adamw(const UpdateRange& range, const AdamWFactors& factors, float keep) {
  HWY_DYNAMIC_DISPATCH(adamw)(range, factors, keep);
}

void update_sgd(const UpdateRange& range, const SgdFactors& factors, float keep) {
  HWY_DYNAMIC_DISPATCH(sgd)(range, factors, keep);
}

void scale_weights(const UpdateRange& range, float keep) {
  HWY_DYNAMIC_DISPATCH(scale)(range, keep);
}

double sum_of_squares(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(squares)(values.data(), static_cast<int64_t>(values.size()));
}

double sum_of_squares(std::span<const uint16_t> values) {
  return HWY_DYNAMIC_DISPATCH(float16_squares)(values.data(), static_cast<int64_t>(values.size()));
}

} // namespace anet::train
#endif

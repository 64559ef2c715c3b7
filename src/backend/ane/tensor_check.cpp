#include "backend/ane/tensor_check.h"

#include "backend/cpu/convert.h"
#include "backend/cpu/operand.h"
#include "base/float16.h"
#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

namespace anet::backend::ane {

namespace {

constexpr int64_t grain = 1 << 15;
constexpr double smallest_normal = 0x1p-14;

struct Bits {
  uint64_t any = 0;      // of the magnitudes
  bool infinite = false; // an exponent of ones: infinity or NaN
};

// Branch-free, so that the compiler can use vectors.
template <typename Word, Word magnitude, Word exponent>
Bits scan(const std::byte* data, int64_t stride, int64_t n) {
  Word any = 0;
  Word infinite = 0;
  const auto* words = reinterpret_cast<const Word*>(data);
  const auto look = [&](Word word) {
    any = static_cast<Word>(any | (word & magnitude));
    infinite = static_cast<Word>(infinite | Word{exponent != 0 && (word & exponent) == exponent});
  };
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) look(words[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) look(words[i * stride]);
  }
  return {any, infinite != 0};
}

Bits scan(DataType dtype, const std::byte* data, int64_t stride, int64_t n) {
  switch (dtype) {
  case DataType::fp16:
    return scan<uint16_t, 0x7fff, 0x7c00>(data, stride, n);
  case DataType::fp32:
    return scan<uint32_t, 0x7fffffff, 0x7f800000>(data, stride, n);
  default:
    break;
  }
  switch (cpu::element_size(dtype)) {
  case 1:
    return scan<uint8_t, 0xff, 0>(data, stride, n);
  case 2:
    return scan<uint16_t, 0xffff, 0>(data, stride, n);
  case 4:
    return scan<uint32_t, 0xffffffff, 0>(data, stride, n);
  default:
    return scan<uint64_t, std::numeric_limits<uint64_t>::max(), 0>(data, stride, n);
  }
}

cpu::LoopNest<1> elements_of(const Layout& layout) {
  return cpu::make_loop_nest<1>(layout.shape, {&layout.strides}, cpu::LoopOrder::given);
}

} // namespace

Inspection::Inspection(const Layout& layout) : dtype_(layout.dtype), nest_(elements_of(layout)) {}

Contents Inspection::run(const std::byte* data, ThreadPool& pool) const {
  const int64_t stride = nest_.inner_strides()[0] / cpu::element_size(dtype_);
  std::atomic<bool> any = false, infinite = false;
  pool.parallel_for(nest_.elements(), grain, [&](int64_t begin, int64_t end) {
    Bits found;
    cpu::for_each_row(nest_, begin, end, [&](const auto& offsets, int64_t n) {
      const Bits row = scan(dtype_, data + offsets[0], stride, n);
      found.any |= row.any;
      found.infinite |= row.infinite;
    });
    if (found.any != 0) any.store(true, std::memory_order_relaxed);
    if (found.infinite) infinite.store(true, std::memory_order_relaxed);
  });
  return {!any.load(), !infinite.load()};
}

bool Inspection::all_zero(const std::byte* data) const {
  const int64_t stride = nest_.inner_strides()[0] / cpu::element_size(dtype_);
  uint64_t any = 0;
  for (int64_t begin = 0; begin < nest_.elements() && any == 0; begin += grain)
    cpu::for_each_row(nest_, begin, std::min(begin + grain, nest_.elements()),
                      [&](const auto& offsets, int64_t n) {
                        any |= scan(dtype_, data + offsets[0], stride, n).any;
                      });
  return any == 0;
}

Comparison compare(const std::byte* engine, const std::byte* host, const Layout& layout) {
  const cpu::LoopNest<1> nest = elements_of(layout);
  const cpu::LoadDouble load = cpu::load_double(layout.dtype);
  const int64_t stride = nest.inner_strides()[0] / cpu::element_size(layout.dtype);
  double largest = 0, difference = 0;
  bool engine_zero = true, not_finite = false;
  cpu::for_each_row(nest, 0, nest.elements(), [&](const auto& offsets, int64_t n) {
    constexpr int64_t block = 256;
    double a[block], b[block];
    for (int64_t done = 0; done < n; done += block) {
      const int64_t count = std::min(block, n - done);
      const int64_t at = offsets[0] + done * nest.inner_strides()[0];
      load(engine + at, stride, a, count);
      load(host + at, stride, b, count);
      for (int64_t i = 0; i < count; ++i) {
        engine_zero = engine_zero && a[i] == 0;
        if (!std::isfinite(b[i])) continue; // the host overflowed: nothing to compare with
        if (!std::isfinite(a[i])) {
          not_finite = true;
          continue;
        }
        largest = std::max(largest, std::fabs(b[i]));
        difference = std::max(difference, std::fabs(a[i] - b[i]));
      }
    }
  });
  Comparison result;
  result.error = difference / std::max(largest, smallest_normal);
  if (not_finite) result.fault = "a value that is not finite where the host's is";
  // The engine flushes what is smaller (ane-facts.md 6, R).
  if (engine_zero && largest >= smallest_normal) result.fault = "zeros where the host has none";
  return result;
}

} // namespace anet::backend::ane

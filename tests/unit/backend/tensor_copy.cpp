#include "backend/tensor_copy.h"

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"
#include "base/thread_pool.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace anet;
using namespace anet::backend;

namespace {

constexpr auto untouched = std::byte{0x7f};

// Rows that begin at multiples of 64 bytes, as the engine's ports have them.
Layout padded(DataType dtype, const Shape& shape) {
  Layout layout = Layout::contiguous(dtype, shape);
  if (shape.size() < 2) return layout;
  int64_t stride = (shape.back() * layout.strides.back() + 63) / 64 * 64;
  for (size_t axis = shape.size() - 1; axis-- > 0;) {
    layout.strides[axis] = stride;
    stride *= shape[axis];
  }
  return layout;
}

// The byte at which each element lies, in row-major order, by counting.
std::vector<int64_t> places(const Layout& layout) {
  std::vector<int64_t> result = {0};
  for (size_t axis = 0; axis < layout.shape.size(); ++axis) {
    std::vector<int64_t> next;
    for (const int64_t at : result)
      for (int64_t i = 0; i < layout.shape[axis]; ++i)
        next.push_back(at + i * layout.strides[axis]);
    result = next;
  }
  return result;
}

std::vector<float> random_values(const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(mil::element_count(shape)));
  Random random(7);
  random.fill_normal(values, 0, 3);
  return values;
}

template <typename T>
T load(const std::vector<std::byte>& bytes, int64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

std::vector<std::byte> copy(const std::vector<float>& values, const Layout& from, const Layout& to,
                            ThreadPool* pool) {
  std::vector<std::byte> target(static_cast<size_t>(to.span_bytes()), untouched);
  TensorCopy(from, to).run(reinterpret_cast<const std::byte*>(values.data()), target.data(), pool);
  return target;
}

} // namespace

TEST_CASE("copies convert to fp16 into padded rows and touch nothing else") {
  ThreadPool pool(3);
  const Shape shapes[] = {
      {}, {5}, {300}, {3, 7}, {70, 1000}, {1, 33, 1, 1}, {1, 48, 1, 30}, {5, 3, 2, 9}, {40000, 2}};
  for (const Shape& shape : shapes) {
    CAPTURE(mil::shape_to_string(shape));
    const std::vector<float> values = random_values(shape);
    const Layout from = Layout::contiguous(DataType::fp32, shape);
    const Layout to = padded(DataType::fp16, shape);
    for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      std::vector<std::byte> target = copy(values, from, to, threads);
      const std::vector<int64_t> at = places(to);
      bool same = true;
      for (size_t i = 0; i < values.size(); ++i) {
        same = same && load<uint16_t>(target, at[i]) == float_to_half(values[i]);
        std::memset(target.data() + at[i], static_cast<int>(untouched), 2);
      }
      CHECK(same);
      CHECK(target == std::vector<std::byte>(target.size(), untouched));
    }
  }
}

TEST_CASE("copies back from padded rows give the values that fp16 holds") {
  const Shape shape = {3, 40, 1, 17};
  const std::vector<float> values = random_values(shape);
  const Layout dense = Layout::contiguous(DataType::fp32, shape);
  const Layout rows = padded(DataType::fp16, shape);
  const std::vector<std::byte> halves = copy(values, dense, rows, nullptr);
  std::vector<float> back(values.size());
  TensorCopy(rows, dense).run(halves.data(), reinterpret_cast<std::byte*>(back.data()), nullptr);
  for (size_t i = 0; i < values.size(); ++i)
    REQUIRE(back[i] == half_to_float(float_to_half(values[i])));
}

TEST_CASE("a matrix is transposed on the way, in tiles and what is left of them") {
  for (const Shape& shape : {Shape{130, 70}, Shape{64, 64}, Shape{3, 200}, Shape{200, 3}}) {
    const std::vector<float> values = random_values(shape); // of [columns, rows]
    const Layout to = padded(DataType::fp16, shape);
    Layout from = Layout::contiguous(DataType::fp32, shape);
    from.strides = {4, 4 * shape[0]};
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const auto target = copy(values, from, to, threads == 1 ? nullptr : &pool);
      const std::vector<int64_t> sources = places(from), targets = places(to);
      for (size_t i = 0; i < sources.size(); ++i)
        REQUIRE(load<uint16_t>(target, targets[i]) ==
                float_to_half(values[static_cast<size_t>(sources[i] / 4)]));
    }
  }
}

TEST_CASE("copies convert to bf16 and back; NaN stays NaN") {
  const Shape shape = {3, 40, 1, 17};
  std::vector<float> values = random_values(shape);
  values[5] = std::numeric_limits<float>::quiet_NaN();
  values[6] = std::numeric_limits<float>::infinity();
  const Layout dense = Layout::contiguous(DataType::fp32, shape);
  const Layout rows = padded(DataType::bf16, shape);
  const std::vector<std::byte> narrow = copy(values, dense, rows, nullptr);
  std::vector<float> back(values.size());
  TensorCopy(rows, dense).run(narrow.data(), reinterpret_cast<std::byte*>(back.data()), nullptr);
  CHECK(std::isnan(back[5]));
  for (size_t i = 0; i < values.size(); ++i)
    if (i != 5) REQUIRE(back[i] == bfloat16_to_float(float_to_bfloat16(values[i])));
}

TEST_CASE("axes of one element do not count; equal types move bits") {
  const Layout matrix = padded(DataType::fp16, {6, 5});
  Layout port{DataType::fp16, {6, 5, 1, 1}, {64, 2, 2, 2}};
  CHECK(same_bytes(matrix, port));
  CHECK_FALSE(same_bytes(matrix, Layout::contiguous(DataType::fp16, {6, 5})));
  CHECK_FALSE(same_bytes(matrix, padded(DataType::int16, {6, 5})));

  std::vector<uint16_t> bits(30);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(0x7bf0 + i); // to NaN
  std::vector<std::byte> target(static_cast<size_t>(port.span_bytes()));
  const TensorCopy move(Layout::contiguous(DataType::fp16, {6, 5}), port);
  CHECK(move.bytes() == 60);
  move.run(reinterpret_cast<const std::byte*>(bits.data()), target.data(), nullptr);
  const std::vector<int64_t> at = places(port);
  for (size_t i = 0; i < bits.size(); ++i) REQUIRE(load<uint16_t>(target, at[i]) == bits[i]);
}

TEST_CASE("what is not finite stays so") {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(),
                                     65519, -65520};
  const Shape shape = {5};
  const auto target = copy(values, Layout::contiguous(DataType::fp32, shape),
                           Layout::contiguous(DataType::fp16, shape), nullptr);
  const std::vector<uint16_t> expected = {0x7c00, 0xfc00, 0x7c00, 0x7bff, 0xfc00};
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(load<uint16_t>(target, static_cast<int64_t>(2 * i)) == expected[i]);
}

TEST_CASE("copies between what does not match are refused") {
  const auto status = [](const Layout& from, const Layout& to) {
    try {
      const TensorCopy made(from, to);
      return Status::ok;
    } catch (const Error& error) {
      return error.status();
    }
  };
  const auto layout = [](DataType dtype, const Shape& shape) {
    return Layout::contiguous(dtype, shape);
  };
  CHECK(status(layout(DataType::fp32, {2, 3}), layout(DataType::fp16, {3, 2})) ==
        Status::shape_mismatch);
  CHECK(status(layout(DataType::fp32, {6}), layout(DataType::fp16, {2, 3})) ==
        Status::shape_mismatch);
  CHECK(status(layout(DataType::fp32, {6}), layout(DataType::int32, {6})) == Status::type_mismatch);
}

#include "backend/staged_array.h"

#include "backend/host_access.h"
#include "base/flat_array.h"
#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace anet;
using namespace anet::backend;

namespace {

// Rows of 64 bytes.
Layout padded(int64_t rows, int64_t columns) {
  return {DataType::fp16, {rows, columns, 1, 1}, {64, 2, 2, 2}};
}

struct Fixture {
  std::shared_ptr<Device> device = open_device("cpu", {.threads = 2});
  FlatArray values{400};

  Fixture() { Random(3).fill_normal(values.values(), 0, 1); }

  std::vector<float> read(const View& view) const {
    std::vector<float> result(static_cast<size_t>(mil::element_count(view.layout.shape)));
    const TensorCopy copy(view.layout, Layout::contiguous(DataType::fp32, view.layout.shape));
    copy.run(view.buffer->data() + view.offset, reinterpret_cast<std::byte*>(result.data()),
             nullptr);
    return result;
  }

  std::vector<float> rounded(int64_t offset, int64_t count) {
    std::vector<float> result;
    for (const float value :
         values.values().subspan(static_cast<size_t>(offset), static_cast<size_t>(count)))
      result.push_back(half_to_float(float_to_half(value)));
    return result;
  }
};

template <typename Action>
Status status_of(Action&& action) {
  try {
    action();
    return Status::ok;
  } catch (const Error& error) {
    return error.status();
  }
}

} // namespace

TEST_CASE("fp32 in host memory is used in place") {
  Fixture f;
  const StagedPart part{32, Layout::contiguous(DataType::fp32, {4, 5})};
  StagedArray array(*f.device, f.values.values(), {&part, 1});
  CHECK(array.copy_count() == 0);
  CHECK(array.copies_needed(part) == 0);
  CHECK(StagedArray::copy_bytes(*f.device, 400, {&part, 1}) == 0);
  const View view = array.view(part);
  CHECK(reinterpret_cast<float*>(view.buffer->data() + view.offset) ==
        f.values.values().data() + 32);
}

TEST_CASE("other values are read in place at once, and by copies when they are renewed") {
  Fixture f;
  const std::vector<StagedPart> parts = {{32, Layout::contiguous(DataType::fp32, {4, 5})},
                                         {16, padded(6, 9)}};
  StagedArray array(*f.device, f.values.values(), parts);
  array.renew_all(f.device->thread_pool());
  View in_place = array.view(parts[0]);
  const View copy = array.view(parts[1]);
  const std::vector<float> before = f.read(copy);
  FlatArray others{400};
  Random(4).fill_normal(others.values(), 0, 1);
  const std::unique_ptr<Buffer> old = array.exchange(*f.device, others.values());
  CHECK(in_place.buffer == old.get());
  in_place.buffer = array.in_place();
  CHECK(reinterpret_cast<float*>(in_place.buffer->data() + in_place.offset) ==
        others.values().data() + 32);
  CHECK(array.view(parts[1]).buffer == copy.buffer);
  CHECK(f.read(copy) == before);
  array.renew_all(f.device->thread_pool());
  std::swap(f.values, others);
  CHECK(f.read(copy) == f.rounded(16, 54));
  CHECK(status_of([&] { array.exchange(*f.device, others.values().first(399)); }) ==
        Status::internal);
}

TEST_CASE("a matrix is staged transposed where its port wants that") {
  Fixture f;
  const std::vector<StagedPart> parts = {{16, padded(6, 9)}, {16, padded(9, 6), true}};
  StagedArray array(*f.device, f.values.values(), parts);
  REQUIRE(array.copy_count() == 2);
  CHECK(array.copies_needed(parts[1]) == 2);
  array.renew_all(f.device->thread_pool());
  const std::vector<float> rows = f.read(array.view(parts[0]));
  const std::vector<float> columns = f.read(array.view(parts[1]));
  REQUIRE(columns.size() == 54);
  for (size_t i = 0; i < 6; ++i)
    for (size_t j = 0; j < 9; ++j) CHECK(columns[j * 6 + i] == rows[i * 9 + j]);
  // fp32 in host memory is not in place in another order, and bf16 is no mirror.
  for (const mil::DataType dtype : {mil::DataType::fp32, mil::DataType::bf16}) {
    const StagedPart turned{0, Layout::contiguous(dtype, {20, 20}), true};
    StagedArray other(*f.device, f.values.values(), {&turned, 1});
    CHECK(other.copy_count() == 1);
    CHECK(other.mirror().empty());
    CHECK(StagedArray::copy_bytes(*f.device, 400, {&turned, 1}) ==
          400 * static_cast<uint64_t>(mil::data_type_bits(dtype) / 8));
  }
}

TEST_CASE("parts are staged in the layouts of their ports; the same bytes once") {
  Fixture f;
  const Layout matrix{DataType::fp16, {6, 9}, {64, 2}};
  const Layout vector{DataType::fp16, {1, 7, 1, 1}, {448, 64, 64, 2}};
  const Layout wide = Layout::contiguous(DataType::fp16, {6, 9});
  const std::vector<StagedPart> parts = {
      {16, padded(6, 9)}, {96, vector}, {16, matrix}, {16, wide}, {16, padded(6, 9)}};
  StagedArray array(*f.device, f.values.values(), parts);
  CHECK(array.copy_count() == 3);
  CHECK(StagedArray::copy_bytes(*f.device, 400, parts) ==
        static_cast<uint64_t>(matrix.span_bytes() + vector.span_bytes() + wide.span_bytes()));
  CHECK(array.view(parts[0]).buffer == array.view(parts[2]).buffer);
  CHECK(array.view(parts[2]).layout == matrix);
  CHECK(array.view(parts[3]).buffer != array.view(parts[0]).buffer);
  CHECK(array.copies_needed(parts[0]) == 1);
  CHECK(array.copies_needed(parts[1]) == 2);
  CHECK(array.copies_needed(parts[3]) == 3);

  CHECK(array.renew_all(f.device->thread_pool()) == 2 * (54 + 7 + 54));
  for (const StagedPart& part : parts)
    CHECK(f.read(array.view(part)) ==
          f.rounded(part.offset, mil::element_count(part.layout.shape)));
  f.values.values()[17] = 8;
  array.renew_all(f.device->thread_pool());
  CHECK(f.read(array.view(parts[0]))[1] == 8);

  CHECK(status_of([&] { array.view({32, wide}); }) == Status::internal);
  const StagedPart beyond{390, wide};
  CHECK(status_of([&] {
          StagedArray(*f.device, f.values.values(), {&beyond, 1});
        }) == Status::internal);
}

TEST_CASE("parts have their copies in a buffer of somebody else, beside what it holds") {
  Fixture f;
  const Layout whole = padded(6, 9);
  const auto buffer = f.device->allocate(whole);
  {
    const Mapping mapping(*buffer, true);
    std::fill_n(reinterpret_cast<uint16_t*>(mapping.data()), buffer->size_bytes() / 2,
                float_to_half(7));
  }
  const auto columns = [&](int64_t count) {
    Layout layout = whole;
    layout.shape[1] = count;
    return layout;
  };
  // Columns 4 and 5, and from a matrix [3, 6] columns 6 to 8.
  const std::vector<StagedPart> parts = {{16, columns(2), false, buffer.get(), 8},
                                         {48, columns(3), true, buffer.get(), 12}};
  StagedArray array(*f.device, f.values.values(), parts);
  CHECK(StagedArray::copy_bytes(*f.device, 400, parts) == 0);
  CHECK(array.copies_needed(parts[0]) == 1);
  CHECK(array.copies_needed(parts[1]) == 2);
  CHECK(array.renew(0, nullptr) == 2 * 6 * 2);
  const StagedArray::Pieces pieces(array, 1); // the other one in pieces
  pieces.renew(0, array.pieces(1));
  const std::vector<float> first = f.rounded(16, 12), second = f.rounded(48, 18);
  const std::vector<float> seen = f.read(*buffer);
  for (size_t row = 0; row < 6; ++row)
    for (size_t column = 0; column < 9; ++column) {
      const float expected = column < 4   ? 7
                             : column < 6 ? first[row * 2 + column - 4]
                                          : second[(column - 6) * 6 + row];
      CHECK(seen[row * 9 + column] == expected);
    }
  CHECK(f.read(array.view(parts[0])) == first);
}

TEST_CASE("an array that is read in bf16 has one mirror, which may be written from outside") {
  Fixture f;
  const auto contiguous = [](Shape shape) { return Layout::contiguous(DataType::bf16, shape); };
  const StagedPart parts[] = {{0, contiguous({10, 16})}, {240, contiguous({8, 20, 1, 1})}};
  StagedArray staged(*f.device, f.values.values(), parts);
  CHECK(StagedArray::copy_bytes(*f.device, 400, parts) == 800);
  CHECK(staged.copy_count() == 1);
  REQUIRE(staged.mirror().size() == 400);
  CHECK(staged.copies_needed(parts[1]) == 1);
  CHECK(staged.renew(0, nullptr) == 800);
  const std::vector<float> seen = f.read(staged.view(parts[1]));
  for (size_t i = 0; i < seen.size(); ++i)
    REQUIRE(seen[i] == bfloat16_to_float(float_to_bfloat16(f.values.values()[240 + i])));
  staged.mirror()[243] = float_to_bfloat16(5);
  CHECK(f.read(staged.view(parts[1]))[3] == 5);

  // Most of the array is not read: copies of the parts take less.
  const StagedPart small{32, contiguous({3, 4})};
  const StagedArray few(*f.device, f.values.values(), {&small, 1});
  CHECK(few.mirror().empty());
  CHECK(StagedArray::copy_bytes(*f.device, 400, {&small, 1}) == 24);
}

TEST_CASE("a copy can be renewed piece by piece") {
  Fixture f;
  const std::vector<StagedPart> parts = {{16, padded(6, 9)},
                                         {96, Layout::contiguous(DataType::fp16, {100})},
                                         {16, padded(9, 6), true}};
  StagedArray array(*f.device, f.values.values(), parts);
  const int64_t piece_sizes[] = {9, 1, 6}, counts[] = {6, 100, 9};
  for (size_t copy = 0; copy < parts.size(); ++copy) {
    CAPTURE(copy);
    CHECK(array.part(copy).offset == parts[copy].offset);
    CHECK(array.piece_size(copy) == piece_sizes[copy]);
    REQUIRE(array.pieces(copy) == counts[copy]);
    array.renew(copy, nullptr);
    const std::vector<float> whole = f.read(array.view(parts[copy]));
    f.values.values()[static_cast<size_t>(parts[copy].offset)] += 1; // in the first piece
    const StagedArray::Pieces pieces(array, copy);
    CHECK(pieces.bytes() == whole.size() * 2);
    pieces.renew(1, counts[copy]);
    CHECK(f.read(array.view(parts[copy])) == whole);
    pieces.renew(0, 1);
    CHECK(f.read(array.view(parts[copy])) != whole);
    for (int64_t piece = counts[copy]; piece-- > 0;) pieces.renew(piece, piece + 1);
    const std::vector<float> seen = f.read(array.view(parts[copy]));
    array.renew(copy, nullptr);
    CHECK(f.read(array.view(parts[copy])) == seen);
  }
}

TEST_CASE("floats go in and out of padded buffers") {
  Fixture f;
  const auto buffer = f.device->allocate(padded(6, 9));
  const auto values = f.values.values().first(54);
  write_floats(*buffer, values);
  std::vector<float> back(54);
  read_floats(*buffer, back);
  CHECK(back == f.rounded(0, 54));
  CHECK(status_of([&] { write_floats(*buffer, values.first(53)); }) == Status::internal);
}

TEST_CASE("a port that is a matrix is seen as one") {
  const auto matrix = as_matrix(padded(6, 9));
  REQUIRE(matrix);
  CHECK(*matrix == Layout{DataType::fp16, {6, 9}, {64, 2}});
  // Every element in a row of its own.
  CHECK_FALSE(as_matrix({DataType::fp16, {6, 9, 1, 1}, {576, 64, 64, 2}}));
}

// Matrices in few bits: what they expand to, as constants of a program, and which ops are such.
#include "interpreter_case.h"

#include "base/float16.h"
#include "base/status.h"
#include "mil/compressed_weight.h"
#include "mil/passes.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

namespace {

using namespace anet;
using namespace anet::mil;
using namespace anet::mil::test;

Bytes bytes_of(const std::vector<int>& values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return Bytes(std::move(bytes));
}

Bytes halves_of(const Values& values) {
  std::vector<std::byte> bytes(values.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = double_to_half(values[i]);
    std::memcpy(bytes.data() + i * 2, &half, 2);
  }
  return Bytes(std::move(bytes));
}

std::vector<float> expanded(const CompressedWeight& weight) {
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.columns));
  expand(weight, values);
  return values;
}

// Weights whose code and scale are simple functions of the place, and the values that follow.
int code_at(Compression compression, int64_t row, int64_t column) {
  const int64_t mixed = row * 37 + column * 11 + row * column % 13;
  if (compression == Compression::palette4) return static_cast<int>(mixed % 16);
  if (compression == Compression::int4_block) return static_cast<int>(mixed % 16) - 8;
  return static_cast<int>(mixed % 256) - 128;
}

double scale_at(int64_t index) { return std::ldexp(1 + 0.25 * static_cast<double>(index % 4), -3); }

CompressedWeight patterned(Compression compression, int64_t rows, int64_t columns,
                           int64_t block_size) {
  CompressedWeight weight{compression, rows, columns, block_size, {}, {}};
  std::vector<int> codes;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const int code = code_at(compression, i, j);
      if (compression_bits(compression) == 8) {
        codes.push_back(code);
      } else if (j % 2 == 0) {
        codes.push_back(code & 15);
      } else {
        codes.back() |= (code & 15) << 4;
      }
    }
  }
  Values scales;
  for (int64_t i = 0; i < weight.scale_count(); ++i) scales.push_back(scale_at(i));
  weight.codes = bytes_of(codes);
  weight.scales = halves_of(scales);
  check_compressed_weight(weight);
  return weight;
}

double value_at(const CompressedWeight& weight, int64_t i, int64_t j) {
  const int code = code_at(weight.compression, i, j);
  switch (weight.compression) {
  case Compression::int8_channel:
    return code * scale_at(i);
  case Compression::palette4:
    return scale_at(i / weight.block_size * 16 + code);
  default:
    return code * scale_at(i * (weight.columns / weight.block_size) + j / weight.block_size);
  }
}

std::vector<CompressedWeight> patterned_weights() {
  return {
      patterned(Compression::int8_channel, 5, 7, 0), patterned(Compression::int8_block, 3, 12, 3),
      patterned(Compression::int4_block, 4, 70, 35), patterned(Compression::int4_block, 3, 64, 32),
      patterned(Compression::palette4, 6, 38, 2),    patterned(Compression::palette4, 2, 2, 1)};
}

TEST_CASE("codes and scales written out by hand") {
  const CompressedWeight channel{
      Compression::int8_channel, 2, 3, 0, bytes_of({1, -2, 127, -128, 0, 5}), halves_of({0.5, 2})};
  CHECK(expanded(channel) == std::vector<float>{0.5f, -1, 63.5f, -256, 0, 10});
  const CompressedWeight block{Compression::int8_block, 1, 4, 2, bytes_of({1, -2, 3, -4}),
                               halves_of({0.5, 4})};
  CHECK(expanded(block) == std::vector<float>{0.5f, -1, 12, -16});
  // The first of two codes is in the low bits: 7, -8, -1, 1.
  const CompressedWeight nibbles{Compression::int4_block, 1, 4, 2, bytes_of({0x87, 0x1f}),
                                 halves_of({2, 0.5})};
  CHECK(expanded(nibbles) == std::vector<float>{14, -16, -0.5f, 0.5f});
  Values entries;
  for (int i = 0; i < 32; ++i) entries.push_back(i < 16 ? i * i : -i);
  const CompressedWeight palette{Compression::palette4, 2, 2, 1, bytes_of({0x5f, 0x0a}),
                                 halves_of(entries)};
  CHECK(expanded(palette) == std::vector<float>{225, 25, -26, -16});
}

TEST_CASE("any tile of a matrix") {
  for (const CompressedWeight& weight : patterned_weights()) {
    for (int64_t first_row = 0; first_row < weight.rows; ++first_row) {
      for (int64_t first = 0; first < weight.columns; first += 2) {
        for (int64_t columns = 2; first + columns <= weight.columns; columns += 6) {
          const Tile tile{first_row, weight.rows - first_row, first, columns};
          const int64_t leading = columns + 3;
          std::vector<float> values(static_cast<size_t>(tile.rows * leading), -7.0f);
          expand(weight, tile, values.data(), leading);
          bool equal = true;
          for (int64_t i = 0; i < tile.rows; ++i) {
            for (int64_t j = 0; j < leading; ++j) {
              const double expected =
                  j < columns ? value_at(weight, first_row + i, first + j) : -7.0;
              equal &= values[static_cast<size_t>(i * leading + j)] == expected;
            }
          }
          CHECK_MESSAGE(equal, compression_name(weight.compression)
                                   << " from row " << first_row << ", columns " << first << " to "
                                   << first + columns);
        }
      }
    }
  }
}

// y = w + x with w bound.
Function sum_with(const CompressedWeight& weight, DataType dtype, Shape shape) {
  Builder b;
  const ValueId w = b.input("w", {dtype, shape, {}});
  const ValueId x = b.input("x", {dtype, shape, {}});
  b.output(b.add(w, x), "y");
  return bind_constants(std::move(b).finish(), {{"w", weight}});
}

TEST_CASE("a bound constant has the matrix's values") {
  for (const CompressedWeight& weight : patterned_weights()) {
    for (const DataType dtype : {DataType::fp32, DataType::fp16, DataType::bf16}) {
      for (const bool is_conv : {false, true}) {
        Shape shape = {weight.rows, weight.columns};
        if (is_conv) shape.insert(shape.end(), {1, 1});
        const Function function = sum_with(weight, dtype, shape);
        CHECK(function.inputs.size() == 1);
        const TensorMap results =
            interpret(function, {{"x", make_tensor({dtype, shape, {}}, 0)}}, Precision::f64);
        Values expected;
        for (int64_t i = 0; i < weight.rows; ++i)
          for (int64_t j = 0; j < weight.columns; ++j) expected.push_back(value_at(weight, i, j));
        CHECK(results.at("y").values == expected);
      }
    }
  }
}

const Operation& constant_op(const Function& function) {
  for (const Operation& op : function.ops)
    if (std::string_view(op.name()).substr(0, 10) == "constexpr_") return op;
  FAIL("no constexpr op");
  return function.ops.front();
}

TEST_CASE("what was bound is recognised, and shares its memory") {
  for (const CompressedWeight& weight : patterned_weights()) {
    for (const DataType dtype : {DataType::fp32, DataType::fp16}) {
      const Function function =
          optimize(sum_with(weight, dtype, {weight.rows, weight.columns, 1, 1}));
      const auto found = compressed_weight(function, constant_op(function));
      REQUIRE(found);
      CHECK(*found == weight);
      CHECK(found->codes.view().data() == weight.codes.view().data());
    }
  }
}

// The weight that a one-op function's constexpr op is taken for.
std::optional<CompressedWeight>
recognised(const char* op, const std::function<std::vector<Builder::Input>(Builder&)>& arguments) {
  Builder b;
  b.output(b.add(op, arguments(b)), "w");
  const Function function = std::move(b).finish();
  return compressed_weight(function, constant_op(function));
}

Literal codes_literal(DataType dtype, Shape shape) { return Literal::fill({dtype, shape, {}}, 3); }

std::optional<CompressedWeight> affine(DataType code, Shape shape, int64_t axis, int64_t scales,
                                       double scale, double zero) {
  return recognised("constexpr_affine_dequantize", [&](Builder& b) {
    const Type scale_type = fp32(scales == 0 ? Shape{} : Shape{scales});
    return std::vector<Builder::Input>{
        {"quantized_data", b.constant(codes_literal(code, shape))},
        {"zero_point", b.constant(Literal::scalar(code, zero))},
        {"scale", b.constant(Literal::fill(scale_type, scale))},
        {"axis", b.constant(Literal::int32(static_cast<int32_t>(axis)))}};
  });
}

TEST_CASE("affine constants of other forms are not taken for matrices in few bits") {
  CHECK(affine(DataType::int8, {4, 6}, 0, 4, 0.5, 0));
  CHECK(affine(DataType::int8, {4, 6, 1, 1}, -4, 4, 0.5, 0));
  CHECK_FALSE(affine(DataType::int8, {4, 6}, 1, 6, 0.5, 0));  // a scale a column
  CHECK_FALSE(affine(DataType::int8, {4, 6}, 0, 0, 0.5, 0));  // one scale
  CHECK_FALSE(affine(DataType::int8, {4, 6}, 0, 4, 0.5, 1));  // a zero point
  CHECK_FALSE(affine(DataType::int8, {4, 6}, 0, 4, 1e-3, 0)); // a scale that fp16 rounds
  CHECK_FALSE(affine(DataType::uint8, {4, 6}, 0, 4, 0.5, 0));
  CHECK_FALSE(affine(DataType::int8, {4}, 0, 4, 0.5, 0));
  CHECK_FALSE(affine(DataType::int8, {4, 6, 3, 3}, 0, 4, 0.5, 0));
}

TEST_CASE("blockwise constants and palettes of other forms") {
  const auto blockwise = [](DataType code, Shape shape, Shape scale, bool offset) {
    return recognised("constexpr_blockwise_shift_scale", [&](Builder& b) {
      std::vector<Builder::Input> inputs{
          {"data", b.constant(codes_literal(code, shape))},
          {"scale", b.constant(Literal::fill({DataType::fp16, scale, {}}, 0.5))}};
      if (offset) inputs.emplace_back("offset", b.constant(Literal::fill({code, scale, {}}, 1)));
      return inputs;
    });
  };
  CHECK(blockwise(DataType::int8, {4, 6}, {4, 3}, false)->block_size == 2);
  CHECK(blockwise(DataType::int4, {4, 6, 1, 1}, {4, 1, 1, 1}, false)->block_size == 6);
  CHECK_FALSE(blockwise(DataType::int8, {4, 6}, {4, 3}, true));
  CHECK_FALSE(blockwise(DataType::int8, {4, 6}, {2, 3}, false)); // rows share a scale
  CHECK_FALSE(blockwise(DataType::uint8, {4, 6}, {4, 3}, false));
  CHECK_FALSE(blockwise(DataType::int4, {4, 5}, {4, 1}, false)); // rows end within a byte

  const auto palette = [](DataType code, Shape shape, Shape lut) {
    return recognised("constexpr_lut_to_dense", [&](Builder& b) {
      return std::vector<Builder::Input>{
          {"indices", b.constant(codes_literal(code, shape))},
          {"lut", b.constant(Literal::fill({DataType::fp16, lut, {}}, 0.5))}};
    });
  };
  CHECK(palette(DataType::uint4, {4, 6}, {2, 1, 16, 1})->block_size == 2);
  CHECK(palette(DataType::uint4, {4, 6}, {1, 1, 16, 1})->block_size == 4);
  CHECK_FALSE(palette(DataType::uint4, {4, 6}, {4, 2, 16, 1})); // a palette for some columns
  CHECK_FALSE(palette(DataType::uint2, {4, 6}, {4, 1, 4, 1}));
}

TEST_CASE("sizes that do not fit are told apart") {
  const auto message = [](CompressedWeight weight) {
    try {
      check_compressed_weight(weight);
    } catch (const Error& error) {
      CHECK(error.status() == Status::invalid_data);
      return error.message();
    }
    return std::string();
  };
  CompressedWeight weight = patterned(Compression::int4_block, 3, 64, 32);
  CHECK(message(weight).empty());
  weight.rows = 0;
  CHECK(message(weight) == "expected a matrix, seen 0 x 64");
  weight = patterned(Compression::int4_block, 3, 64, 32);
  weight.columns = 63;
  CHECK(message(weight) == "expected an even number of columns for codes of 4 bits, seen 63");
  weight.columns = 66;
  CHECK(message(weight) == "expected a block size that divides 66, seen 32");
  weight.columns = 96;
  CHECK(message(weight) == "expected 144 bytes of codes, seen 96");
  weight.columns = 64;
  weight.block_size = 16;
  CHECK(message(weight) == "expected 24 bytes of scales, seen 12");
  weight.block_size = 0;
  CHECK(message(weight) == "expected a block size that divides 64, seen 0");
}

TEST_CASE("constants that do not fit their input are refused") {
  const CompressedWeight weight = patterned(Compression::int8_channel, 5, 7, 0);
  CHECK_THROWS_WITH(sum_with(weight, DataType::fp32, {5, 8}),
                    "input w expects tensor<fp32, [5, 8]>, got a compressed matrix of 5 x 7");
  CHECK_THROWS_AS(sum_with(weight, DataType::int32, {5, 7}), Error);
  CHECK_THROWS_AS(sum_with(weight, DataType::fp32, {5, 7, 2}), Error);
  Builder b;
  b.output(b.add(b.input("w", fp32({5, 7})), 1.0), "y");
  CHECK_THROWS_WITH(bind_constants(std::move(b).finish(), {{"v", weight}}),
                    "expected an input named v");
}

TEST_CASE("names of compressions") {
  for (const Compression compression : {Compression::int8_channel, Compression::int8_block,
                                        Compression::int4_block, Compression::palette4})
    CHECK(compression_from_name(compression_name(compression)) == compression);
  CHECK_FALSE(compression_from_name("int3"));
}

} // namespace

#include "io/model_file/encode.h"

#include "base/float16.h"
#include "base/status.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace anet::io {
namespace {

constexpr int64_t piece_elements = int64_t{1} << 20;

void store_half(uint16_t half, std::byte* at) { std::memcpy(at, &half, sizeof(half)); }

// float_to_half for loops over many values: rounds to nearest even in integers.
uint16_t narrow_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  // A carry out of the mantissa moves into the exponent, up to infinity.
  const uint32_t normal = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  // Subnormal: the unit of 0.5 in fp32 is 2^-24, that of fp16's subnormals.
  const float shifted = std::bit_cast<float>(std::min(magnitude, 0x38800000u)) + 0.5f;
  const uint32_t subnormal = std::bit_cast<uint32_t>(shifted) - 0x3f000000u;
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  if (magnitude >= 0x47800000u) half = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(half | (bits >> 16 & 0x8000u));
}

uint16_t to_half(float value, std::string_view tensor) {
  const uint16_t half = narrow_half(value);
  if ((half & 0x7fffu) == 0x7c00u && std::isfinite(value))
    fail(Status::out_of_range, "expected values within fp16's range of 65504 in '", tensor,
         "', seen ", value);
  return half;
}

void encode_q8_0(std::span<const float> values, std::string_view tensor, std::byte* block) {
  for (size_t first = 0; first < values.size(); first += 32, block += 34) {
    const auto group = values.subspan(first, 32);
    float largest = 0;
    for (const float value : group) {
      if (!std::isfinite(value))
        fail(Status::out_of_range, "expected finite values for Q8_0 in '", tensor, "', seen ",
             value);
      largest = std::max(largest, std::fabs(value));
    }
    const float scale = largest / 127.0f;
    const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
    store_half(to_half(scale, tensor), block);
    for (size_t i = 0; i < 32; ++i) {
      const float scaled = std::isfinite(inverse) ? group[i] * inverse : 0.0f;
      block[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::round(scaled)));
    }
  }
}

// Values [first, first + count), whole rows of a matrix. A view of the model's, or of `expanded`.
std::span<const float> read_piece(const model::Model& model, const model::Parameter& parameter,
                                  int64_t first, int64_t count, std::vector<float>& expanded) {
  if (!parameter.is_compressed())
    return model.values(parameter).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  const mil::CompressedWeight& weight = model.compressed(parameter);
  const int64_t columns = weight.columns;
  expanded.resize(static_cast<size_t>(count));
  mil::expand(weight, {first / columns, count / columns, 0, columns}, expanded.data(), columns);
  return expanded;
}

} // namespace

Encoding encoding_of(ExportType type) {
  switch (type) {
  case ExportType::fp32:
    return Encoding::fp32;
  case ExportType::fp16:
    return Encoding::fp16;
  case ExportType::bf16:
    return Encoding::bf16;
  case ExportType::q8_0:
    return Encoding::q8_0;
  }
  fail(Status::invalid_argument, "expected an export type from 0 to 3, seen ",
       static_cast<int>(type));
}

std::string_view export_type_name(ExportType type) {
  switch (type) {
  case ExportType::fp32:
    return "fp32";
  case ExportType::fp16:
    return "fp16";
  case ExportType::bf16:
    return "bf16";
  case ExportType::q8_0:
    return "q8_0";
  }
  return "?";
}

void encode(Encoding encoding, std::span<const float> values, std::string_view tensor,
            std::vector<std::byte>& bytes) {
  const size_t blocks = values.size() / static_cast<size_t>(block_elements(encoding));
  bytes.resize(blocks * static_cast<size_t>(block_bytes(encoding)));
  if (values.empty()) return;
  switch (encoding) {
  case Encoding::fp32:
    std::memcpy(bytes.data(), values.data(), values.size_bytes());
    return;
  case Encoding::fp16:
    for (size_t i = 0; i < values.size(); ++i)
      store_half(to_half(values[i], tensor), &bytes[2 * i]);
    return;
  case Encoding::bf16:
    for (size_t i = 0; i < values.size(); ++i)
      store_half(float_to_bfloat16(values[i]), &bytes[2 * i]);
    return;
  case Encoding::q8_0:
    return encode_q8_0(values, tensor, bytes.data());
  default:
    fail(Status::internal, "no export writes ", encoding_name(encoding));
  }
}

void encode_parameter(const model::Model& model, const model::Parameter& parameter,
                      Encoding encoding, int64_t interleaved_head_dim, const PieceWriter& write) {
  std::vector<std::byte> bytes;
  std::vector<float> expanded, rows;
  const bool matrix = parameter.shape.size() > 1;
  const int64_t row_size = matrix ? parameter.shape.back() : 1;
  const int64_t unit = matrix ? row_size * std::max<int64_t>(1, interleaved_head_dim)
                              : std::max(interleaved_head_dim, block_elements(encoding));
  const int64_t piece = std::max(unit, piece_elements / unit * unit);
  for (int64_t first = 0; first < parameter.elements; first += piece) {
    const int64_t count = std::min(piece, parameter.elements - first);
    std::span<const float> part = read_piece(model, parameter, first, count, expanded);
    if (interleaved_head_dim != 0) {
      rows.resize(part.size());
      for (int64_t row = 0; row < count / row_size; ++row)
        std::copy_n(part.begin() + row * row_size, row_size,
                    rows.begin() + interleaved_row(row, interleaved_head_dim) * row_size);
      part = rows;
    }
    encode(encoding, part, parameter.name, bytes);
    write(bytes);
  }
}

} // namespace anet::io

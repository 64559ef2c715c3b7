#include "io/model_file/stored_tensor.h"

#include "base/float16.h"
#include "base/status.h"

#include <bit>
#include <cstring>

namespace anet::io {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// half_to_float without branches, so that compilers vectorise loops of it.
float widen_half(uint16_t half) {
  constexpr uint32_t exponent_mask = 0x7c00u << 13;
  const uint32_t magnitude = (half & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & exponent_mask;
  const uint32_t normal = magnitude + (112u << 23);
  // Subnormals gain an implicit one, which is then subtracted.
  const float subnormal = std::bit_cast<float>(magnitude + (113u << 23)) - 0x1p-14f;
  uint32_t bits = exponent == 0 ? std::bit_cast<uint32_t>(subnormal) : normal;
  bits = exponent == exponent_mask ? magnitude + (224u << 23) : bits;
  return std::bit_cast<float>(bits | (half & 0x8000u) << 16);
}

void decode_half(const std::byte* data, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = widen_half(load<uint16_t>(data + 2 * i));
}

void decode_bfloat16(const std::byte* data, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = bfloat16_to_float(load<uint16_t>(data + 2 * i));
}

void decode_q8_0(const std::byte* block, std::span<float> values) {
  for (float* out = values.data(); out != values.data() + values.size(); out += 32, block += 34) {
    const float scale = half_to_float(load<uint16_t>(block));
    for (int i = 0; i < 32; ++i)
      out[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
  }
}

// The low halves of the bytes are the first 16 values, the high ones the last 16, all plus 8.
void decode_q4_0(const std::byte* block, std::span<float> values) {
  for (float* out = values.data(); out != values.data() + values.size(); out += 32, block += 18) {
    const float scale = half_to_float(load<uint16_t>(block));
    for (int i = 0; i < 16; ++i) {
      const int byte = std::to_integer<int>(block[2 + i]);
      out[i] = scale * static_cast<float>((byte & 15) - 8);
      out[i + 16] = scale * static_cast<float>((byte >> 4) - 8);
    }
  }
}

// 128 bytes of low halves, 64 of the two high bits, 16 int8 scales, an fp16 scale of those. Within
// each 128 values four runs of 32 share their bytes.
void decode_q6_k(const std::byte* block, std::span<float> values) {
  for (float* out = values.data(); out != values.data() + values.size(); out += 256, block += 210) {
    const float scale = half_to_float(load<uint16_t>(block + 208));
    for (int i = 0; i < 256; ++i) {
      const int half = i / 128;
      const int run = i % 128 / 32;
      const int at = i % 32;
      const int low_byte = std::to_integer<int>(block[half * 64 + run % 2 * 32 + at]);
      const int low = run < 2 ? low_byte & 15 : low_byte >> 4;
      const int high = std::to_integer<int>(block[128 + half * 32 + at]) >> (2 * run) & 3;
      const auto run_scale = static_cast<int8_t>(block[192 + i / 16]);
      out[i] = scale * static_cast<float>(run_scale) * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void decode_int8_groups(const StoredTensor& tensor, int64_t first, std::span<float> values) {
  int64_t at = first;
  const int64_t end = first + static_cast<int64_t>(values.size());
  float* out = values.data();
  while (at < end) {
    const int64_t group = at / tensor.group_size;
    const int64_t stop = std::min(end, (group + 1) * tensor.group_size);
    const float scale = load<float>(tensor.scales.data() + 4 * group);
    for (; at < stop; ++at)
      *out++ =
          scale * static_cast<float>(static_cast<int8_t>(tensor.data[static_cast<size_t>(at)]));
  }
}

} // namespace

std::string_view encoding_name(Encoding encoding) {
  switch (encoding) {
  case Encoding::fp32:
    return "F32";
  case Encoding::fp16:
    return "F16";
  case Encoding::bf16:
    return "BF16";
  case Encoding::q8_0:
    return "Q8_0";
  case Encoding::q4_0:
    return "Q4_0";
  case Encoding::q6_k:
    return "Q6_K";
  case Encoding::int8_groups:
    return "int8 in groups";
  }
  return "?";
}

int64_t block_elements(Encoding encoding) {
  switch (encoding) {
  case Encoding::q8_0:
  case Encoding::q4_0:
    return 32;
  case Encoding::q6_k:
    return 256;
  default:
    return 1;
  }
}

int64_t block_bytes(Encoding encoding) {
  switch (encoding) {
  case Encoding::fp32:
    return 4;
  case Encoding::fp16:
  case Encoding::bf16:
    return 2;
  case Encoding::q8_0:
    return 34;
  case Encoding::q4_0:
    return 18;
  case Encoding::q6_k:
    return 210;
  case Encoding::int8_groups:
    return 1;
  }
  return 0;
}

void decode(const StoredTensor& tensor, int64_t first, std::span<float> values) {
  if (values.empty()) return;
  const std::byte* data =
      tensor.data.data() + first / block_elements(tensor.encoding) * block_bytes(tensor.encoding);
  switch (tensor.encoding) {
  case Encoding::fp32:
    std::memcpy(values.data(), data, values.size_bytes());
    break;
  case Encoding::fp16:
    decode_half(data, values);
    break;
  case Encoding::bf16:
    decode_bfloat16(data, values);
    break;
  case Encoding::q8_0:
    decode_q8_0(data, values);
    break;
  case Encoding::q4_0:
    decode_q4_0(data, values);
    break;
  case Encoding::q6_k:
    decode_q6_k(data, values);
    break;
  case Encoding::int8_groups:
    decode_int8_groups(tensor, first, values);
    break;
  }
}

int64_t interleaved_row(int64_t row, int64_t head_dim) {
  const int64_t half = head_dim / 2;
  const int64_t in_head = row % head_dim;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

} // namespace anet::io

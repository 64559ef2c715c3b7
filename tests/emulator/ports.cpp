#include "ports.h"

#include "arithmetic.h"

#include <algorithm>
#include <cstring>

namespace emulator {

namespace {

int64_t element_size(DataType dtype) { return anet::mil::data_type_bits(dtype) / 8; }

// Calls row(surface offset, dense index) for each row.
template <typename Row>
void each_row(const Port& port, Row row) {
  int64_t index = 0;
  for (int64_t n = 0; n < port.extents[0]; ++n) {
    for (int64_t c = 0; c < port.extents[1]; ++c) {
      for (int64_t d = 0; d < port.extents[2]; ++d) {
        for (int64_t h = 0; h < port.extents[3]; ++h, index += port.extents[4]) {
          row(n * port.strides[0] + c * port.strides[1] + d * port.strides[2] + h * port.strides[3],
              index);
        }
      }
    }
  }
}

void read_row(DataType dtype, const std::byte* from, float* to, int64_t count) {
  switch (dtype) {
  case DataType::fp16:
    return halves_to_floats(from, to, count);
  case DataType::fp32:
    std::memcpy(to, from, static_cast<size_t>(count) * 4);
    return round_halves(to, count);
  case DataType::int8:
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(static_cast<int8_t>(from[i]));
    return;
  default:
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(static_cast<uint8_t>(from[i]));
  }
}

void write_row(DataType dtype, const float* from, std::byte* to, int64_t count) {
  switch (dtype) {
  case DataType::fp16:
    return floats_to_halves(from, to, count);
  case DataType::fp32:
    std::memcpy(to, from, static_cast<size_t>(count) * 4);
    return;
  default:
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<std::byte>(static_cast<int>(from[i]));
  }
}

} // namespace

// The last axis is the width, the one before the height, then channels and batches; of five axes
// the third is the depth.
Port make_port(const std::string& name, int value, const Type& type) {
  Port port{.name = name, .value = value, .dtype = type.dtype};
  const int64_t size = element_size(type.dtype);
  const size_t rank = type.shape.size();
  static constexpr int places[] = {4, 3, 1, 0};
  for (size_t i = 0; i < rank; ++i) {
    const int place = rank == 5 ? 4 - static_cast<int>(i) : places[i];
    port.extents[place] = type.shape[rank - 1 - i];
    if (type.buffer) port.strides[place] = type.buffer->strides[rank - 1 - i] * size;
  }
  int64_t stride = size;
  for (int place = 4; place >= 0; --place) {
    if (port.strides[place] == 0) port.strides[place] = stride;
    stride = port.strides[place] * port.extents[place];
    if (place == 4) stride = (stride + 63) / 64 * 64;
  }
  return port;
}

const char* port_type_name(DataType dtype) {
  switch (dtype) {
  case DataType::fp16:
    return "Float16";
  case DataType::fp32:
    return "Float32";
  case DataType::int8:
    return "Int8";
  default:
    return "UInt8";
  }
}

void read_port(const Port& port, const std::byte* surface, float* values, bool nan_rule) {
  each_row(port, [&](int64_t offset, int64_t index) {
    read_row(port.dtype, surface + offset, values + index, port.extents[4]);
  });
  if (nan_rule) replace_nan(values, port.elements(), INFINITY);
}

void write_port(const Port& port, const float* values, std::byte* surface, bool garbage) {
  const int64_t used = port.extents[4] * element_size(port.dtype);
  const auto padding = static_cast<size_t>(std::max<int64_t>(0, port.strides[3] - used));
  each_row(port, [&](int64_t offset, int64_t index) {
    write_row(port.dtype, values + index, surface + offset, port.extents[4]);
    if (garbage) std::memset(surface + offset + used, 0x7f, padding);
  });
}

} // namespace emulator

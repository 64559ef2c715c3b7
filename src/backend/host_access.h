// Small reads and writes of buffers from the host, and ports by name; not for a step's hot path.
#pragma once

#include "backend/backend.h"

#include <cstring>
#include <span>
#include <string_view>

namespace anet::backend {

// A buffer, mapped for as long as this object lives.
class Mapping {
public:
  Mapping(Buffer& buffer, bool write) : buffer_(buffer) { buffer.map(write); }
  ~Mapping() { buffer_.unmap(); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* data() const { return buffer_.data(); }

private:
  Buffer& buffer_;
};

// Elements of a contiguous buffer, as they are.
template <typename T>
void write_elements(Buffer& buffer, std::span<const T> values) {
  const Mapping mapping(buffer, true);
  std::memcpy(mapping.data(), values.data(), values.size_bytes());
}
template <typename T>
void read_elements(Buffer& buffer, std::span<T> values) {
  const Mapping mapping(buffer, false);
  std::memcpy(values.data(), mapping.data(), values.size_bytes());
}

// fp32 values into a contiguous buffer of fp32 or fp16, rounded to nearest even.
void write_floats(Buffer& buffer, std::span<const float> values);

// Throws internal when there is none: programs and their callers agree on names.
const Port& find_port(std::span<const Port> ports, std::string_view name);

} // namespace anet::backend

// Small reads and writes of buffers from the host, and ports by name; not for a step's hot path.
#pragma once

#include "backend/backend.h"

#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
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

// fp32 values, row-major, into a buffer of fp32, fp16 or bf16 (rounded to nearest even), whatever
// its strides.
void write_floats(Buffer& buffer, std::span<const float> values);
// The same, out of it.
void read_floats(Buffer& buffer, std::span<float> values);

// Throws internal when there is none: programs and their callers agree on names.
const Port& find_port(std::span<const Port> ports, std::string_view name);

// Compiles a function whose output `output` is to be the next run's input `input`: both ports get
// one layout, the one that the device likes for the input.
std::unique_ptr<Kernel> compile_chained(Device& device, const mil::Function& function,
                                        CompileOptions options, const std::string& input,
                                        const std::string& output);

bool computes_fp32(const Device& device);
// Throws unsupported_option for fp32 and bf16 on a device that computes in fp16 alone. fp16 runs
// everywhere.
void check_precision(const Device& device, DataType dtype);

// A port [rows, columns, 1, 1] as the matrix [rows, columns] at the same bytes; nullopt when its
// rows are not contiguous.
std::optional<Layout> as_matrix(const Layout& port);

} // namespace anet::backend

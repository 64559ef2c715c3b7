// Ports in memory: rows padded to 64 bytes, or the layout that a tensor_buffer states
// (ane-facts.md 0.1, R; 4.1).
#pragma once

#include "syntax.h"

#include <cstddef>
#include <string>

namespace emulator {

struct Port {
  std::string name;
  int value = 0; // in CheckedFunction::values
  DataType dtype = DataType::fp16;
  // [batches, channels, depth, height, width], and the bytes from one to the next.
  int64_t extents[5] = {1, 1, 1, 1, 1};
  int64_t strides[5] = {0, 0, 0, 0, 0};
  int32_t symbol = 0;

  int64_t bytes() const { return extents[0] * strides[0]; }
  int64_t elements() const {
    return extents[0] * extents[1] * extents[2] * extents[3] * extents[4];
  }
};

Port make_port(const std::string& name, int value, const Type& type);
const char* port_type_name(DataType dtype); // "Float16"

// Between a surface and a dense array. NaN reads as +Inf when nan_rule holds (6, R).
void read_port(const Port& port, const std::byte* surface, float* values, bool nan_rule);
// Padding of rows is overwritten when garbage is set: nobody may rely on what is there.
void write_port(const Port& port, const float* values, std::byte* surface, bool garbage);

} // namespace emulator

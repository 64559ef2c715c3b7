// Loads a model from one file of the fuzzer's bytes. Anything but anet::Error is a finding.
#pragma once

#include "base/status.h"
#include "io/model_file/model_source.h"
#include "memory_file_system.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace anet::fuzz {

inline void load(const std::string& path, MemoryFileSystem& files) {
  try {
    io::load_model(path, {}, files);
  } catch (const Error&) {
  }
}

inline void load_bytes(const uint8_t* data, size_t size) {
  MemoryFileSystem files;
  files.put("model", std::string(reinterpret_cast<const char*>(data), size));
  load("model", files);
}

} // namespace anet::fuzz

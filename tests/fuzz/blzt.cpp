// BLZT files from outside: opened and, when they make a model, loaded.
#include "load_bytes.h"

#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Other beginnings are other formats, with fuzzers of their own.
  if (size < 4 || std::memcmp(data, "TZLB", 4) != 0) return -1;
  anet::fuzz::load_bytes(data, size);
  return 0;
}

// llama2.c's files from outside: opened and, when they make a model, loaded.
#include "load_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  anet::fuzz::load_bytes(data, size);
  return 0;
}

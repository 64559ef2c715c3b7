// A client of Apple's framework, for the tests of the emulator, over bridge.h. It shares no code
// with the library or with the emulator: what it knows of layouts and numbers is written down here
// once more.
#pragma once

#include "bridge.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

extern "C" {
void* IOSurfaceLookup(uint32_t identifier);
int IOSurfaceLock(void* surface, uint32_t options, uint32_t* seed);
int IOSurfaceUnlock(void* surface, uint32_t options, uint32_t* seed);
void* IOSurfaceGetBaseAddress(void* surface);
size_t IOSurfaceGetAllocSize(void* surface);
size_t IOSurfaceGetWidth(void* surface);
size_t IOSurfaceGetHeight(void* surface);
size_t IOSurfaceGetBytesPerRow(void* surface);
size_t IOSurfaceGetBytesPerElement(void* surface);
uint32_t IOSurfaceGetID(void* surface);
void CFRelease(const void* value);
long CFGetRetainCount(const void* value);
}

namespace client {

// Autoreleased objects of one scope.
class Pool {
public:
  Pool() : pool_(bridge_pool_push()) {}
  ~Pool() { bridge_pool_pop(pool_); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

private:
  void* pool_;
};

double half_to_double(uint16_t half);
uint16_t double_to_half(double value);
double as_half(double value); // rounded to fp16

using Port = bridge_port;
int64_t port_bytes(const Port& port);
int64_t port_elements(const Port& port);

class Surface {
public:
  explicit Surface(int64_t bytes);
  ~Surface();
  Surface(Surface&& other) noexcept : surface_(other.surface_) { other.surface_ = nullptr; }
  Surface(const Surface&) = delete;
  Surface& operator=(const Surface&) = delete;

  void* get() const { return surface_; }
  uint8_t* bytes() const { return static_cast<uint8_t*>(IOSurfaceGetBaseAddress(surface_)); }
  void write(const Port& port, const std::vector<double>& values);
  std::vector<double> read(const Port& port) const;

private:
  void* surface_;
};

using Values = std::map<std::string, std::vector<double>>;
using Files = std::map<std::string, std::vector<uint8_t>>; // by name under weights/

// A MIL text on its way: descriptor, directory, model.
class Model {
public:
  explicit Model(const std::string& text, const Files& files = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  bool compile();
  bool load();
  bool unload();
  // Compiles and loads; fails the test when either does not work.
  void ready();

  std::vector<Port> inputs(int procedure = 0) const;
  std::vector<Port> outputs(int procedure = 0) const;
  // Binds surfaces of the sizes that the ports need, by their symbols.
  bool run(const Values& inputs, Values& outputs, int procedure = 0);
  Values run(const Values& inputs, int procedure = 0); // must work
  bool evaluate(void* request);

  void* model() const { return model_; }
  std::string directory() const;
  const bridge_error& failure() const { return failure_; }

private:
  void* model_;
  bridge_error failure_ = {};
};

void* make_request(const std::vector<Port>& inputs, const std::vector<Surface>& input_surfaces,
                   const std::vector<Port>& outputs, const std::vector<Surface>& output_surfaces,
                   int procedure = 0, long offset = -1);

// program(1.3) with one function main<ios18>.
std::string program(const std::string& parameters, const std::string& body,
                    const std::string& results);

// A blob file with one record after another.
class BlobFile {
public:
  BlobFile();
  uint64_t add(uint32_t dtype, const std::vector<uint8_t>& payload, uint64_t padding_bits = 0);
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> halves(const std::vector<double>& values);
// Numbers of a fixed sequence in (-1, 1), fp16 values all.
std::vector<double> sequence(int64_t count, uint64_t seed);

// The emulator's options and counters as they were, at both ends of a test.
class Reset {
public:
  Reset();
  ~Reset();
};

} // namespace client

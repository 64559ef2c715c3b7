// Shared by the tests of the Neural Engine: the stand-in for Apple's framework, a temporary
// directory of the test's own, and surfaces seen as tensors.
#pragma once

#include "backend/ane/engine.h"
#include "mil/program.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace anet::test {

// Where this program and the emulator lie; main() says so.
void set_program_path(const std::string& path);
const std::string& program_path();
std::string emulator_path();

// The emulator's controls (tests/emulator/ane_emulator.h). Everything is at its default, and all
// counters are 0, when one is made and when it is gone. One at a time.
class Emulator {
public:
  Emulator();
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  void set(const std::string& key, const std::string& value); // throws for what it does not know
  void reset();
  int64_t count(const std::string& counter) const;

private:
  int (*set_)(const char*, const char*) = nullptr;
  void (*reset_)() = nullptr;
  long long (*count_)(const char*) = nullptr;
  void* library_ = nullptr;
};

// A fresh, empty directory that is $TMPDIR while the object lives.
class TemporaryDirectory {
public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::vector<std::string> names() const; // of all that it holds, hidden ones too

private:
  std::string path_;
  std::string previous_;
  bool had_previous_ = false;
};

// Where devices keep what they learn about the chips, for the tests of one process: asking takes
// longer than most of them.
const std::string& probe_cache();

// What one test of the engine needs. Nothing waits: pauses are recorded.
struct EngineFixture {
  EngineFixture();
  std::shared_ptr<backend::ane::Engine> open(int load_attempts = 7);

  TemporaryDirectory temporary;
  Emulator emulator;
  std::shared_ptr<std::vector<int64_t>> pauses; // milliseconds
};

// Function bodies as MIL text, inside of a program.
mil::Program parse_program(const std::string& functions, mil::BlobFiles blobs = {});

// z = x + y of [1, channels, 1, width] in fp16.
mil::Program addition(int64_t channels, int64_t width);

// Surfaces of the size that the ports ask for.
std::vector<std::shared_ptr<backend::ane::Surface>>
make_surfaces(backend::ane::Engine& engine, std::span<const backend::ane::EnginePort> ports);

// The elements of a port, row-major, through the port's strides; the bytes between rows are left
// alone.
void write_port(const backend::ane::Surface& surface, const backend::ane::EnginePort& port,
                std::span<const double> values);
std::vector<double> read_port(const backend::ane::Surface& surface,
                              const backend::ane::EnginePort& port);

const backend::ane::EnginePort& find_port(std::span<const backend::ane::EnginePort> ports,
                                          std::string_view name);
size_t find_port_index(std::span<const backend::ane::EnginePort> ports, std::string_view name);

struct ProcessResult {
  int status = 0;
  std::string output;
};
// This program again, with `arguments` and one more environment variable.
ProcessResult run_self(const std::string& variable, const std::string& value,
                       const std::vector<std::string>& arguments);

} // namespace anet::test

// The engine as its framework offers it: programs are compiled from MIL text, loaded, and evaluated
// on surfaces. Nothing here knows what the programs are for; device.h makes a device of it.
#pragma once

#include "backend/ane/surface.h"
#include "mil/program.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace anet::backend::ane {

class Framework; // framework.h: the opened libraries, their classes, selectors and functions

// What _ANEDeviceInfo says (ane-facts.md 1.11).
struct EngineInfo {
  std::string architecture; // "h16g"
  std::string sub_type;
  std::string product;
  std::string os_build; // "24D70"
  int64_t board = 0;
  uint32_t cores = 0;
  uint32_t engines = 0;
  bool virtual_machine = false;
  std::string framework_path;
};

// A port as the compiled program reports it (ane-facts.md 1.4, R): four axes, byte strides.
struct EnginePort {
  std::string name; // without the "@output" that the framework appends
  mil::DataType dtype = mil::DataType::fp16;
  mil::Shape shape;             // [batch, channels, height, width]
  std::vector<int64_t> strides; // bytes, of the same axes; the innermost is the element size
  size_t size_bytes = 0;        // the least that a bound surface must have
  int64_t symbol = 0;           // the index that a request names
};

struct EngineProcedure {
  std::string name;
  int64_t index = 0;
  std::vector<EnginePort> inputs; // in symbol order, which is that of sorted names
  std::vector<EnginePort> outputs;
};

class EngineProgram;

// Surfaces bound to the ports of one procedure. Keeps the surfaces and the program alive.
class EngineRequest {
public:
  virtual ~EngineRequest() = default;
};

// A compiled program. Thread class: load and unload one thread at a time; evaluate any thread, with
// different requests.
class EngineProgram {
public:
  virtual ~EngineProgram() = default; // unloads, and removes its files

  virtual const std::string& identifier() const = 0; // the framework's hash of text and weights
  virtual bool was_cached() const = 0;               // loaded without a compilation
  virtual const std::vector<EngineProcedure>& procedures() const = 0;

  virtual bool is_loaded() const = 0;
  // Retries with growing pauses, because loads fail transiently (ane-facts.md 3.6, R). Throws
  // Error(device). The program is loaded when compile() returns it.
  virtual void load() = 0;
  virtual void unload() = 0;

  // Surfaces in the order of the procedure's ports. Throws shape_mismatch for a surface that is too
  // small: the framework's own report of that is cryptic (ane-facts.md 0.2).
  virtual std::unique_ptr<EngineRequest>
  bind(size_t procedure, std::span<const std::shared_ptr<Surface>> inputs,
       std::span<const std::shared_ptr<Surface>> outputs) = 0;
  // Returns when the outputs are written. Throws Error(device) with domain, code and text of the
  // NSError, or of an Objective-C exception; invalid_state when the program is not loaded.
  virtual void evaluate(EngineRequest& request) = 0;
};

struct EngineOptions {
  std::string framework_path; // empty: Apple's
  uint32_t qos = 21;
};

// Thread class: any thread.
class Engine {
public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const = 0;

  virtual std::shared_ptr<Surface> make_surface(size_t size) = 0;
  virtual std::shared_ptr<Surface> import_surface(void* surface) = 0;
  virtual std::shared_ptr<Surface> find_surface(uint32_t id) = 0; // throws not_found

  // Compiles and loads; takes the system's cached program when there is one. Throws
  // Error(unsupported) with the compiler's words when it rejects the program, Error(device) when
  // the load fails.
  virtual std::shared_ptr<EngineProgram> compile(const mil::Program& program) = 0;
  // True when compile() would find the program in the system's cache.
  virtual bool is_cached(const mil::Program& program) = 0;
  // Removes a program from the system's cache.
  virtual void purge(const mil::Program& program) = 0;
  // Compilations asked of the framework by this process, failed ones too.
  virtual int64_t compile_count() const = 0;
};

// Throws Error(unavailable) naming the library, class, selector or encoding that is missing or
// other than known.
std::shared_ptr<Engine> open_engine(const EngineOptions& options);

} // namespace anet::backend::ane

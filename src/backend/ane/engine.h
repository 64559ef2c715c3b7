// The engine as its framework offers it: programs are compiled from MIL text, loaded, and evaluated
// on surfaces. Nothing here knows what the programs are for; device.h makes a device of it.
#pragma once

#include "backend/ane/surface.h"
#include "base/status.h"
#include "mil/program.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace anet::backend::ane {

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

// A compiled program. Thread class: any thread; evaluations with different requests go to the
// framework at the same time, one request is evaluated by one thread at a time. Loading and
// unloading wait for evaluations.
class EngineProgram {
public:
  virtual ~EngineProgram() = default; // unloads

  virtual const std::string& identifier() const = 0; // the framework's hash of text and weights
  virtual bool was_cached() const = 0;               // loaded without a compilation
  virtual const std::vector<EngineProcedure>& procedures() const = 0;

  virtual bool is_loaded() const = 0;
  // Retries with growing pauses, because loads fail transiently (ane-facts.md 3.6, R). Throws
  // Error(device), soon when has_no_room and other programs of this engine are loaded. The program
  // is loaded when compile() returns it; loading a loaded program does nothing, nor does unloading
  // one that is not.
  virtual void load() = 0;
  // Throws Error(device); the program counts as unloaded all the same.
  virtual void unload() = 0;

  // Surfaces in the order of the procedure's ports. Throws shape_mismatch for a surface that is too
  // small, because the framework's own report of that is cryptic (ane-facts.md 0.2); out_of_range
  // and invalid_argument for a procedure or a number of surfaces that the program does not have.
  virtual std::unique_ptr<EngineRequest>
  bind(size_t procedure, std::span<const std::shared_ptr<Surface>> inputs,
       std::span<const std::shared_ptr<Surface>> outputs) = 0;
  // Returns when the outputs are written. Throws Error(device) with domain, code and text of the
  // NSError, or of an Objective-C exception; invalid_state when the program is not loaded;
  // invalid_argument for a request of another program.
  virtual void evaluate(EngineRequest& request) = 0;
};

struct EngineOptions {
  std::string framework_path; // empty: Apple's
  uint32_t qos = 21;
  // Of one load; the pauses between them begin at 100 ms and double up to 3.2 s.
  int load_attempts = 7;
  // How to pause; empty: sleeps.
  std::function<void(std::chrono::milliseconds)> pause;
};

// Thread class: any thread.
class Engine {
public:
  virtual ~Engine() = default;
  virtual const EngineInfo& info() const = 0;

  virtual std::shared_ptr<Surface> make_surface(size_t size) = 0;
  virtual std::shared_ptr<Surface> import_surface(void* surface) = 0;
  virtual std::shared_ptr<Surface> find_surface(uint32_t id) = 0; // throws not_found

  // Compiles and loads; takes the system's cached program when there is one, and compiles again
  // when that does not load. Throws Error(unsupported) with the compiler's words when it rejects
  // the program, compile_budget when it gives no reason, as it does beyond its limit of programs
  // (ane-facts.md 4.4, R), device when something else goes wrong or the load fails; invalid_blob
  // and invalid_program for blobs that are missing or lie elsewhere than "@model_path/weights/";
  // the status of errno when its files cannot be written. Nothing is left behind in any case.
  virtual std::shared_ptr<EngineProgram> compile(const mil::Program& program) = 0;
  // True when compile() would find the program in the system's cache.
  virtual bool is_cached(const mil::Program& program) = 0;
  // Removes a program from the system's cache.
  virtual void purge(const mil::Program& program) = 0;
  // Compilations asked of the framework through this engine, failed ones too. The system's limit is
  // one for the process (ane-facts.md 5.2), which therefore wants one engine.
  virtual int64_t compile_count() const = 0;
};

// True for a failed load that an unloaded program would make room for: status 5 at stage 4, "no ANE
// resources" (ane-facts.md 5.1 and 5.2, R).
bool has_no_room(const Error& error);

// Throws Error(unavailable) naming the library, class, selector or encoding that is missing or
// other than known, and where there is no Neural Engine.
std::shared_ptr<Engine> open_engine(const EngineOptions& options);

} // namespace anet::backend::ane

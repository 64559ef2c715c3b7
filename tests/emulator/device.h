// The emulated machine: its compiler with a cache, the loaded programs, and the one engine.
#pragma once

#include "checked.h"
#include "engine.h"
#include "plan.h"
#include "ports.h"

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>

namespace emulator {

// What the compiler keeps: nothing outside of it is read again (ane-facts.md 0.5, 3.5).
struct Compiled {
  std::string text;
  std::map<std::string, FileBytes> files;
  CheckedProgram program;
  bool tiles = false; // has a tile operation
};

struct Procedure {
  const CheckedFunction* function = nullptr;
  std::vector<Port> inputs; // in the order of their symbols
  std::vector<Port> outputs;
  Plan plan;
};

struct Loaded {
  std::shared_ptr<const Compiled> compiled;
  std::vector<Procedure> procedures;
};

class Device {
public:
  static Device& instance();

  // Throws Refusal.
  void compile(const std::string& identifier, const std::string& directory,
               const std::string& mil_name);
  bool cached(const std::string& identifier) const;
  void purge(const std::string& identifier);
  void forget(); // the cache of this process

  // 0 and a code when it fails.
  uint64_t load(const std::string& identifier, const std::string& directory, bool compiled,
                uint32_t& failure);
  bool unload(uint64_t handle);
  std::shared_ptr<const Loaded> find(uint64_t handle) const;

  int evaluate(const Loaded& loaded, int64_t procedure, std::span<const engine_binding> inputs,
               std::span<const engine_binding> outputs);

private:
  std::shared_ptr<const Compiled> lookup(const std::string& identifier) const;
  std::shared_ptr<const Compiled> restore(const std::string& file) const;
  void run(const Procedure& procedure, std::span<const engine_binding> inputs,
           std::span<const engine_binding> outputs);

  mutable std::mutex mutex_; // of the tables
  std::map<std::string, std::shared_ptr<const Compiled>> cache_;
  std::map<uint64_t, std::shared_ptr<const Loaded>> loaded_;
  uint64_t next_handle_ = 0x1000;
  bool poisoned_ = false; // option tile_poison

  std::mutex engine_; // one request at a time (5.2)
  Plan::Run run_;
};

} // namespace emulator

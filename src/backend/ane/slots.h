// Compiled programs are a budget (ane-facts.md 5.2): one manager owns it, shares programs between
// kernels, and unloads those that are idle when the framework has no room for another.
#pragma once

#include "backend/ane/engine.h"
#include "base/status.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace anet::backend::ane {

class SlotManager;

// A program that one or several kernels use. Thread class: any thread.
class Slot {
public:
  Slot(std::shared_ptr<SlotManager> manager, std::shared_ptr<EngineProgram> program,
       std::string key);
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  const EngineProcedure& procedure() const { return program_->procedures().front(); }
  std::unique_ptr<EngineRequest> bind(std::span<const std::shared_ptr<Surface>> inputs,
                                      std::span<const std::shared_ptr<Surface>> outputs);
  // Loads the program when it is not; unloads idle ones for it. Throws Error(device).
  void evaluate(EngineRequest& request);

private:
  friend class SlotManager;

  std::shared_ptr<SlotManager> manager_;
  std::shared_ptr<EngineProgram> program_;
  std::string key_;
  // Under the manager's mutex.
  uint64_t last_use_ = 0;
  int evaluating_ = 0;
};

struct SlotCounts {
  int64_t compilations = 0; // asked of the framework, rejected ones and the probe's too
  int64_t budget = 0;
  int64_t programs = 0; // alive
  int64_t loaded = 0;
  int64_t shared = 0;     // kernels that found their program here
  int64_t cache_hits = 0; // programs that the system still had
  int64_t unloads = 0;    // for want of room
  int64_t reloads = 0;
};

// True for failures of loading and of evaluating that an unloaded program would help
// (ane-facts.md 5.1 and 5.2, R).
bool wants_room(const Error& error);

// Thread class: any thread.
class SlotManager : public std::enable_shared_from_this<SlotManager> {
public:
  SlotManager(std::shared_ptr<Engine> engine, int64_t budget);

  // The program with this text and these blobs, compiled if need be. Throws compile_budget when
  // that would be one compilation too many; the caller may release kernels and go on with those it
  // has. Throws unsupported with the compiler's words, or device.
  std::shared_ptr<Slot> acquire(const mil::Program& program);
  // Compilations that are left.
  int64_t remaining() const;
  SlotCounts counts() const;

private:
  friend class Slot;

  std::shared_ptr<Slot> find(const std::string& key);
  std::shared_ptr<EngineProgram> compile(const mil::Program& program);
  void check_budget(const mil::Program& program);
  // Unloads the program that has been idle longest; false when there is none.
  bool unload_idle(const Slot* wanted);
  bool unload_idle_locked(const Slot* wanted);
  void begin(Slot& slot); // of an evaluation
  void end(Slot& slot);

  std::shared_ptr<Engine> engine_;
  int64_t budget_;
  std::mutex compiling_;     // one compilation at a time; evaluations go on meanwhile
  mutable std::mutex mutex_; // of what follows, and of loading and unloading
  std::vector<std::weak_ptr<Slot>> slots_;
  uint64_t clock_ = 0;
  SlotCounts counts_;
};

} // namespace anet::backend::ane

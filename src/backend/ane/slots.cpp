#include "backend/ane/slots.h"

#include "backend/ane/error_of.h"
#include "base/file.h"
#include "base/hash.h"
#include "mil/text.h"

#include <algorithm>
#include <optional>

namespace anet::backend::ane {

namespace {

constexpr int64_t no_memory_code = 53; // macOS 27 (ane-facts.md 5.1, R)

// Equal for programs that compile to the same: text, and blobs by two independent checksums.
std::string key_of(const mil::Program& program) {
  std::string key = sha256_hex(as_bytes(mil::print(program)));
  for (const auto& [path, bytes] : program.blobs) {
    key += concat(" ", path, " ", bytes.size(), " ", hex64(xxh64(bytes.view(), 0)),
                  hex64(xxh64(bytes.view(), 1)));
  }
  return key;
}

// Runs `action`; while it fails for want of room, makes some and runs it again.
template <typename Action, typename MakeRoom>
void with_room(Action&& action, MakeRoom&& make_room) {
  while (const std::optional<Error> error = error_of(action)) {
    if (!wants_room(*error) || !make_room()) throw Error(*error);
  }
}

} // namespace

bool wants_room(const Error& error) {
  if (error.status() != Status::device) return false;
  if (has_no_room(error) || error.detail().code == no_memory_code) return true;
  return error.message().find("status=0x5 ") != std::string::npos;
}

Slot::Slot(std::shared_ptr<SlotManager> manager, std::shared_ptr<EngineProgram> program,
           std::string key)
    : manager_(std::move(manager)), program_(std::move(program)), key_(std::move(key)) {}

std::unique_ptr<EngineRequest> Slot::bind(std::span<const std::shared_ptr<Surface>> inputs,
                                          std::span<const std::shared_ptr<Surface>> outputs) {
  return program_->bind(0, inputs, outputs);
}

void Slot::evaluate(EngineRequest& request) {
  manager_->begin(*this);
  struct End {
    Slot& slot;
    ~End() { slot.manager_->end(slot); }
  } const end{*this};
  with_room([&] { program_->evaluate(request); }, [&] { return manager_->unload_idle(this); });
}

SlotManager::SlotManager(std::shared_ptr<Engine> engine, int64_t budget)
    : engine_(std::move(engine)), budget_(budget) {}

std::shared_ptr<Slot> SlotManager::acquire(const mil::Program& program) {
  const std::string key = key_of(program);
  const std::lock_guard compiling(compiling_);
  if (std::shared_ptr<Slot> slot = find(key)) return slot;
  check_budget(program);
  auto slot = std::make_shared<Slot>(shared_from_this(), compile(program), key);
  if (slot->program_->procedures().size() != 1) {
    fail(Status::device, "expected a compiled program with one procedure, seen ",
         slot->program_->procedures().size());
  }
  const std::lock_guard lock(mutex_);
  slot->last_use_ = ++clock_;
  counts_.cache_hits += slot->program_->was_cached() ? 1 : 0;
  slots_.push_back(slot);
  return slot;
}

std::shared_ptr<Slot> SlotManager::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  std::erase_if(slots_, [](const std::weak_ptr<Slot>& slot) { return slot.expired(); });
  for (const std::weak_ptr<Slot>& entry : slots_) {
    std::shared_ptr<Slot> slot = entry.lock();
    if (!slot || slot->key_ != key) continue;
    ++counts_.shared;
    return slot;
  }
  return nullptr;
}

std::shared_ptr<EngineProgram> SlotManager::compile(const mil::Program& program) {
  std::shared_ptr<EngineProgram> compiled;
  with_room([&] { compiled = engine_->compile(program); }, [&] { return unload_idle(nullptr); });
  return compiled;
}

void SlotManager::check_budget(const mil::Program& program) {
  if (remaining() > 0 || engine_->is_cached(program)) return;
  fail(Status::compile_budget, "expected at most ", budget_,
       " Neural Engine programs to be compiled in this process, seen that many; what is compiled "
       "keeps working");
}

int64_t SlotManager::remaining() const {
  return std::max<int64_t>(0, budget_ - engine_->compile_count());
}

bool SlotManager::unload_idle(const Slot* wanted) {
  const std::lock_guard lock(mutex_);
  return unload_idle_locked(wanted);
}

bool SlotManager::unload_idle_locked(const Slot* wanted) {
  std::shared_ptr<Slot> oldest;
  for (const std::weak_ptr<Slot>& entry : slots_) {
    std::shared_ptr<Slot> slot = entry.lock();
    if (!slot || slot.get() == wanted || slot->evaluating_ > 0) continue;
    if (!slot->program_->is_loaded()) continue;
    if (!oldest || slot->last_use_ < oldest->last_use_) oldest = std::move(slot);
  }
  if (!oldest) return false;
  // It counts as unloaded also when that fails; whether there is room now, the next attempt shows.
  error_of([&] { oldest->program_->unload(); });
  ++counts_.unloads;
  return true;
}

void SlotManager::begin(Slot& slot) {
  const std::lock_guard lock(mutex_);
  slot.last_use_ = ++clock_;
  if (!slot.program_->is_loaded()) {
    with_room([&] { slot.program_->load(); }, [&] { return unload_idle_locked(&slot); });
    ++counts_.reloads;
  }
  ++slot.evaluating_;
}

void SlotManager::end(Slot& slot) {
  const std::lock_guard lock(mutex_);
  --slot.evaluating_;
}

SlotCounts SlotManager::counts() const {
  const std::lock_guard lock(mutex_);
  SlotCounts counts = counts_;
  counts.compilations = engine_->compile_count();
  counts.budget = budget_;
  for (const std::weak_ptr<Slot>& entry : slots_) {
    const std::shared_ptr<Slot> slot = entry.lock();
    if (!slot) continue;
    ++counts.programs;
    counts.loaded += slot->program_->is_loaded() ? 1 : 0;
  }
  return counts;
}

} // namespace anet::backend::ane

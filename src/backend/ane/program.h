// EngineProgram on an _ANEInMemoryModel: when to compile, when to take what is cached, and what to
// try again.
#pragma once

#include "backend/ane/engine.h"
#include "backend/ane/in_memory_model.h"

#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

namespace anet::backend::ane {

class CompiledProgram final : public EngineProgram,
                              public std::enable_shared_from_this<CompiledProgram> {
public:
  // Compiled or taken from the system's cache, and loaded. Throws what Engine::compile does.
  CompiledProgram(std::shared_ptr<EngineContext> context, const ModelSource& source);
  ~CompiledProgram() override;
  CompiledProgram(const CompiledProgram&) = delete;
  CompiledProgram& operator=(const CompiledProgram&) = delete;

  const std::string& identifier() const override { return model_.identifier(); }
  bool was_cached() const override { return was_cached_; }
  const std::vector<EngineProcedure>& procedures() const override { return procedures_; }

  bool is_loaded() const override;
  void load() override;
  void unload() override;

  std::unique_ptr<EngineRequest> bind(size_t procedure,
                                      std::span<const std::shared_ptr<Surface>> inputs,
                                      std::span<const std::shared_ptr<Surface>> outputs) override;
  void evaluate(EngineRequest& request) override;

private:
  bool load_cached();
  void compile_and_load(const ModelSource& source);
  void load_patiently(int attempts);
  void unload_quietly() noexcept;

  std::shared_ptr<EngineContext> context_;
  InMemoryModel model_;
  std::vector<EngineProcedure> procedures_;
  bool was_cached_ = false;
  mutable std::shared_mutex mutex_; // shared by evaluations; alone for what changes loaded_
  bool loaded_ = false;
};

} // namespace anet::backend::ane

// One _ANEInMemoryModel of the framework. Each method here is one message to it, with an
// autorelease pool, NSErrors and Objective-C exceptions turned into Error.
#pragma once

#include "backend/ane/engine.h"
#include "backend/ane/framework.h"
#include "backend/ane/model_directory.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

namespace anet::backend::ane {

// What the programs of one engine share.
struct EngineContext {
  std::shared_ptr<const Framework> framework;
  EngineOptions options;
  Object no_options; // an empty dictionary, which every call wants instead of nil
  std::atomic<int64_t> compilations{0};
  std::atomic<int64_t> loaded{0}; // programs
};

// Thread class: as EngineProgram, without its locks.
class InMemoryModel {
public:
  // Throws Error(device) when the framework refuses text or weights.
  InMemoryModel(std::shared_ptr<EngineContext> context, const ModelSource& source);

  const std::string& identifier() const { return identifier_; }
  // Where the compiler will look for the files.
  const std::string& directory() const { return directory_; }

  bool is_cached() const;
  void purge();
  void compile();
  void load();
  void unload();
  std::vector<EngineProcedure> procedures() const; // of a loaded model

  // Surfaces of all ports, in the order of their symbols.
  Object make_request(const EngineProcedure& procedure,
                      std::span<const std::shared_ptr<Surface>> inputs,
                      std::span<const std::shared_ptr<Surface>> outputs) const;
  void evaluate(const Object& request);

private:
  const Framework& framework() const { return *context_->framework; }
  Id make_descriptor(const ModelSource& source) const;

  std::shared_ptr<EngineContext> context_;
  Object model_;
  std::string identifier_;
  std::string directory_;
};

} // namespace anet::backend::ane

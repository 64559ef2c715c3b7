#include "backend/ane/engine.h"

#include "backend/ane/foundation.h"
#include "backend/ane/in_memory_model.h"
#include "backend/ane/program.h"
#include "base/status.h"
#include "mil/text.h"

#include <thread>

namespace anet::backend::ane {

namespace {

EngineInfo read_info(const Framework& framework) {
  return framework.guarded("ask for the engine", [&] {
    if (!is_true(framework.call_class<Method::device_has_engine, Bool>()))
      fail(Status::unavailable, "this machine has no Neural Engine");
    EngineInfo info;
    info.architecture = text_of(framework, framework.call_class<Method::device_architecture, Id>());
    info.sub_type = text_of(framework, framework.call_class<Method::device_sub_type, Id>());
    info.product = text_of(framework, framework.call_class<Method::device_product, Id>());
    info.os_build = text_of(framework, framework.call_class<Method::device_build, Id>());
    info.board = framework.call_class<Method::device_board, int64_t>();
    info.cores = framework.call_class<Method::device_cores, uint32_t>();
    info.engines = framework.call_class<Method::device_engines, uint32_t>();
    info.virtual_machine = is_true(framework.call_class<Method::device_is_virtual, Bool>());
    info.framework_path = framework.path();
    return info;
  });
}

Object empty_dictionary(const Framework& framework) {
  return framework.guarded("make the options",
                           [&] { return Object(framework, make_dictionary(framework, {})); });
}

// The compiler only says CompilationFailure when a file is missing.
void check_blobs(const mil::Program& program) {
  for (const auto& [path, bytes] : program.blobs) check_blob_path(path);
  for (const mil::Function& function : program.functions)
    for (const mil::Operation& op : function.ops)
      for (const mil::Attribute& attribute : op.attributes)
        if (attribute.value.blob && !program.blobs.contains(attribute.value.blob->path))
          fail(Status::invalid_blob, "the program refers to the blob file '",
               attribute.value.blob->path, "', which it does not have");
}

ModelSource source_of(const mil::Program& program) {
  check_blobs(program);
  return {.text = mil::print(program), .blobs = program.blobs};
}

class FrameworkEngine final : public Engine {
public:
  explicit FrameworkEngine(const EngineOptions& options)
      : context_(std::make_shared<EngineContext>()) {
    if (options.load_attempts < 1)
      fail(Status::invalid_argument, "load_attempts is ", options.load_attempts,
           ", expected at least 1");
    context_->framework = std::make_shared<const Framework>(options.framework_path);
    context_->options = options;
    if (!context_->options.pause)
      context_->options.pause = [](std::chrono::milliseconds time) {
        std::this_thread::sleep_for(time);
      };
    context_->no_options = empty_dictionary(*context_->framework);
    info_ = read_info(*context_->framework);
  }

  const EngineInfo& info() const override { return info_; }

  std::shared_ptr<Surface> make_surface(size_t size) override {
    return std::make_shared<Surface>(context_->framework, size);
  }
  std::shared_ptr<Surface> import_surface(void* surface) override {
    return std::make_shared<Surface>(context_->framework, surface);
  }
  std::shared_ptr<Surface> find_surface(uint32_t id) override {
    return Surface::find(context_->framework, id);
  }

  std::shared_ptr<EngineProgram> compile(const mil::Program& program) override {
    return std::make_shared<CompiledProgram>(context_, source_of(program));
  }
  bool is_cached(const mil::Program& program) override {
    return InMemoryModel(context_, source_of(program)).is_cached();
  }
  void purge(const mil::Program& program) override {
    InMemoryModel(context_, source_of(program)).purge();
  }
  int64_t compile_count() const override {
    return context_->compilations.load(std::memory_order_relaxed);
  }

private:
  std::shared_ptr<EngineContext> context_;
  EngineInfo info_;
};

} // namespace

bool has_no_room(const Error& error) {
  // Before macOS 27 the code is Code 6 with the status in the text, or the status itself.
  return error.status() == Status::device &&
         (error.detail().code == 0x50004 ||
          error.message().find("(0x50004)") != std::string::npos ||
          error.message().find("no ANE resources") != std::string::npos);
}

std::shared_ptr<Engine> open_engine(const EngineOptions& options) {
  return std::make_shared<FrameworkEngine>(options);
}

} // namespace anet::backend::ane

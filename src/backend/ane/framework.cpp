#include "backend/ane/framework.h"

#include "backend/ane/foundation.h"
#include "base/status.h"

#include <dlfcn.h>

namespace anet::backend::ane {

Object::Object(const Framework& framework, Id id) : framework_(&framework), id_(id) {
  framework.call<Method::object_retain, Id>(id);
}

Object::Object(const Object& other) : framework_(other.framework_), id_(other.id_) {
  if (id_ != nullptr) framework_->call<Method::object_retain, Id>(id_);
}

Object::~Object() {
  if (id_ != nullptr) framework_->call<Method::object_release, void>(id_);
}

AutoreleasePool::AutoreleasePool(const Framework& framework)
    : framework_(framework), pool_(framework.call_class<Method::pool_new, Id>()) {}

AutoreleasePool::~AutoreleasePool() { framework_.call<Method::pool_drain, void>(pool_); }

// The framework first: dlsym also searches what it depends on, so that a stand-in brings its own
// runtime. Then the libraries that Apple's framework may leave out.
class Framework::Libraries {
public:
  explicit Libraries(const std::string& framework_path) {
    open(framework_path.c_str());
    if (handles_.empty()) {
      const char* reason = dlerror();
      fail(Status::unavailable, "the Neural Engine's framework does not open: ",
           reason == nullptr ? concat(framework_path, ": no reason given") : std::string(reason));
    }
    // A library that does not open is no error: what counts is whether a symbol is found.
    for (const char* path : others) open(path);
  }
  ~Libraries() {
    for (void* handle : handles_) dlclose(handle);
  }
  Libraries(const Libraries&) = delete;
  Libraries& operator=(const Libraries&) = delete;

  void* find(const char* name) const {
    for (void* handle : handles_)
      if (void* address = dlsym(handle, name)) return address;
    return nullptr;
  }

private:
  static constexpr std::array others = {
      "/usr/lib/libobjc.A.dylib",
      "/System/Library/Frameworks/Foundation.framework/Foundation",
      "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation",
      "/System/Library/Frameworks/IOSurface.framework/IOSurface",
  };

  void open(const char* path) {
    if (void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE))
      handles_.push_back(handle);
  }

  std::vector<void*> handles_;
};

namespace {

SymbolSource source_of(const auto& libraries) {
  return [&libraries](const char* name) { return libraries.find(name); };
}

} // namespace

Framework::Framework(const std::string& path)
    : path_(path.empty() ? apple_framework_path : path),
      libraries_(std::make_shared<Libraries>(path_)), runtime_(source_of(*libraries_)) {
  find_methods();
  find_symbols(source_of(*libraries_));
}

void Framework::find_methods() {
  for (size_t i = 0; i < known_methods.size(); ++i) {
    const KnownMethod& method = known_methods[i];
    const bool of_class = method.kind == MethodKind::of_class;
    const Class owner = runtime_.find_class(method.owner);
    if (owner == nullptr)
      fail(Status::unavailable, "the class '", method.owner, "' is missing from '", path_, "'");
    const Selector selector = runtime_.selector(method.selector);
    const char* const seen = runtime_.method_encoding(owner, selector, of_class);
    const std::string name =
        concat(of_class ? "+" : "-", "[", method.owner, " ", method.selector, "]");
    if (seen == nullptr)
      fail(Status::unavailable, "the method ", name, " is missing from '", path_, "'");
    if (is_private(method) && !same_encoding(method.encoding, seen))
      fail(Status::unavailable, "the method ", name, " has the type encoding '", seen,
           "', expected '", method.encoding, "'");
    owners_[i] = owner;
    selectors_[i] = selector;
  }
}

void Framework::find_symbols(const SymbolSource& symbols) {
  underlying_error_key_ = *static_cast<const Id*>(required_symbol(symbols, "NSUnderlyingErrorKey"));
  resolve(symbols, "IOSurfaceCreate", surfaces_.create);
  resolve(symbols, "IOSurfaceLookup", surfaces_.look_up);
  resolve(symbols, "IOSurfaceLock", surfaces_.lock);
  resolve(symbols, "IOSurfaceUnlock", surfaces_.unlock);
  resolve(symbols, "IOSurfaceGetBaseAddress", surfaces_.base_address);
  resolve(symbols, "IOSurfaceGetAllocSize", surfaces_.alloc_size);
  resolve(symbols, "IOSurfaceGetID", surfaces_.id);
  resolve(symbols, "CFRetain", surfaces_.retain);
  resolve(symbols, "CFRelease", surfaces_.release);
}

void Framework::fail_raised(std::string_view action, const Object& raised) const {
  std::string name = class_name(raised.get());
  std::string text;
  if (is_kind_of<Method::exception_name>(*this, raised.get())) {
    name = text_of(*this, call<Method::exception_name, Id>(raised.get()));
    text = text_of(*this, call<Method::exception_reason, Id>(raised.get()));
  } else {
    text = text_of(*this, call<Method::object_description, Id>(raised.get()));
  }
  throw Error(Status::device, concat(action, ": Objective-C exception ", name, ": ", text),
              ErrorDetail{.domain = name});
}

} // namespace anet::backend::ane

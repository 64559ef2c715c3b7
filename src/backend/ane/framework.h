// The opened libraries: Apple's AppleNeuralEngine, Foundation and IOSurface, or one library that
// stands in for all of them. Nothing private is linked: names are looked up and checked at start.
#pragma once

#include "backend/ane/objc.h"
#include "backend/ane/objc_encoding.h"
#include "backend/ane/objc_exception.h"
#include "backend/ane/objc_methods.h"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anet::backend::ane {

class Framework;

// A strong reference to an Objective-C object. The framework must outlive it.
class Object {
public:
  Object() = default;
  Object(const Framework& framework, Id id); // retains
  Object(const Object& other);
  Object(Object&& other) noexcept
      : framework_(std::exchange(other.framework_, nullptr)),
        id_(std::exchange(other.id_, nullptr)) {}
  Object& operator=(Object other) noexcept {
    std::swap(framework_, other.framework_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Object();

  Id get() const { return id_; }
  explicit operator bool() const { return id_ != nullptr; }

private:
  const Framework* framework_ = nullptr;
  Id id_ = nullptr;
};

// Releases what the calls in its scope autoreleased.
class AutoreleasePool {
public:
  explicit AutoreleasePool(const Framework& framework);
  ~AutoreleasePool();
  AutoreleasePool(const AutoreleasePool&) = delete;
  AutoreleasePool& operator=(const AutoreleasePool&) = delete;

private:
  const Framework& framework_;
  Id pool_;
};

// The functions of IOSurface and CoreFoundation that are used (ane-facts.md 2.1, R).
struct SurfaceFunctions {
  SurfaceReference (*create)(Id properties) = nullptr;
  SurfaceReference (*look_up)(uint32_t id) = nullptr;
  int (*lock)(SurfaceReference, uint32_t options, uint32_t* seed) = nullptr;
  int (*unlock)(SurfaceReference, uint32_t options, uint32_t* seed) = nullptr;
  void* (*base_address)(SurfaceReference) = nullptr;
  size_t (*alloc_size)(SurfaceReference) = nullptr;
  uint32_t (*id)(SurfaceReference) = nullptr;
  const void* (*retain)(const void*) = nullptr;
  void (*release)(const void*) = nullptr;
};

inline constexpr const char* apple_framework_path =
    "/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/AppleNeuralEngine";

// Thread class: any thread. The libraries stay in the process when the object is gone: classes
// cannot be unregistered.
class Framework {
public:
  // Opens the framework at `path` (empty: Apple's) and checks every class and method of
  // objc_methods.h. Throws Error(unavailable) naming the library, function, class or selector that
  // is missing, or the encoding that was expected and the one that was seen.
  explicit Framework(const std::string& path);
  Framework(const Framework&) = delete;
  Framework& operator=(const Framework&) = delete;

  const std::string& path() const { return path_; }
  const SurfaceFunctions& surfaces() const { return surfaces_; }
  // Foundation's NSUnderlyingErrorKey, whose text is not the same everywhere.
  Id underlying_error_key() const { return underlying_error_key_; }
  // The class that has the method.
  Class owner(Method method) const { return owners_[static_cast<size_t>(method)]; }
  std::string class_name(Id object) const { return runtime_.class_name(object); }

  // call<Method::model_load, Bool>(model, qos, options, &error). Types that are not those of the
  // method do not compile. Results that are objects are autoreleased.
  template <Method method, typename Result, typename... Arguments>
  Result call(Id receiver, Arguments... arguments) const {
    static_assert(has_signature<Result, Arguments...>(known(method).encoding));
    return runtime_.send<Result>(receiver, selectors_[static_cast<size_t>(method)], arguments...);
  }
  // The same for a class method.
  template <Method method, typename Result, typename... Arguments>
  Result call_class(Arguments... arguments) const {
    static_assert(known(method).kind == MethodKind::of_class);
    return call<method, Result>(reinterpret_cast<Id>(owner(method)), arguments...);
  }

  // Runs `work` with an autorelease pool. An Objective-C exception becomes Error(device) with its
  // name as the domain, "<action>: <name>: <reason>"; C++ exceptions pass unchanged.
  template <typename Work>
  auto guarded(std::string_view action, Work&& work) const {
    const AutoreleasePool pool(*this);
    Object raised;
    try {
      return std::forward<Work>(work)();
    } catch (...) {
      raised = Object(*this, caught_object());
      if (!raised) throw;
    }
    fail_raised(action, raised); // outside of the handler, see objc_exception.h
  }

private:
  friend class Object;
  friend class AutoreleasePool;

  class Libraries;

  void find_methods();
  void find_symbols(const SymbolSource& symbols);
  [[noreturn]] void fail_raised(std::string_view action, const Object& raised) const;

  std::string path_;
  std::shared_ptr<const Libraries> libraries_;
  Runtime runtime_;
  std::array<Class, known_methods.size()> owners_ = {};
  std::array<Selector, known_methods.size()> selectors_ = {};
  SurfaceFunctions surfaces_;
  Id underlying_error_key_ = nullptr;
};

} // namespace anet::backend::ane

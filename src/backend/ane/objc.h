// The Objective-C runtime from C++, without a header of Apple's or GNU's: types, and message sends
// with the exact prototype of the method.
#pragma once

#include <cstdint>
#include <functional>

namespace anet::backend::ane {

using Id = struct ObjectiveCObject*; // borrowed or autoreleased; Object (framework.h) owns
using Selector = struct ObjectiveCSelector*;
using Class = struct ObjectiveCClass*;
using MethodReference = struct ObjectiveCMethod*;
using SurfaceReference = struct SurfaceObject*; // IOSurfaceRef

// BOOL is a byte everywhere, but not everywhere `bool`.
enum class Bool : unsigned char { no = 0, yes = 1 };
inline bool is_true(Bool value) { return value != Bool::no; }

// Finds a function by name; null when no library has it.
using SymbolSource = std::function<void*(const char*)>;

// The address of a function or a variable. Throws Error(unavailable) naming it when no library has
// it.
void* required_symbol(const SymbolSource& symbols, const char* name);
template <typename Function>
void resolve(const SymbolSource& symbols, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(required_symbol(symbols, name));
}

// Thread class: any thread.
class Runtime {
public:
  // Throws Error(unavailable) naming the function that is missing.
  explicit Runtime(const SymbolSource& symbols);

  Class find_class(const char* name) const { return look_up_class_(name); } // null when absent
  Selector selector(const char* name) const { return register_selector_(name); }
  // The encoding of a method of `owner` or of its superclasses; null when there is none.
  const char* method_encoding(Class owner, Selector selector, bool of_class) const;
  const char* class_name(Id object) const { return object_class_name_(object); }

  // Like the language's [receiver selector:arguments...]; nil answers with zero. The types must be
  // those of the method. Objective-C exceptions pass through (objc_exception.h).
  template <typename Result, typename... Arguments>
  Result send(Id receiver, Selector selector, Arguments... arguments) const {
    if (receiver == nullptr) return Result();
    using Prototype = Result (*)(Id, Selector, Arguments...);
    return reinterpret_cast<Prototype>(implementation(receiver, selector))(receiver, selector,
                                                                           arguments...);
  }

private:
  using Function = void (*)();

  // What to call: Apple's runtime has one entry that jumps to the method, GNU's looks it up.
  Function implementation(Id receiver, Selector selector) const {
    return look_up_ != nullptr ? look_up_(receiver, selector) : send_;
  }

  Class (*look_up_class_)(const char*) = nullptr;
  Selector (*register_selector_)(const char*) = nullptr;
  MethodReference (*instance_method_)(Class, Selector) = nullptr;
  MethodReference (*class_method_)(Class, Selector) = nullptr;
  const char* (*method_encoding_)(MethodReference) = nullptr;
  const char* (*object_class_name_)(Id) = nullptr;
  Function (*look_up_)(Id, Selector) = nullptr; // GNU
  Function send_ = nullptr;                     // Apple
};

} // namespace anet::backend::ane

#include "backend/ane/objc_exception.h"

#include <cstring>
#include <cxxabi.h>
#include <exception>
#include <typeinfo>
#include <unwind.h>

namespace anet::backend::ane {

#if defined(__APPLE__)

// Apple's runtime throws { id object; type_info-like record of the class } as a C++ exception, and
// an exception_ptr is the address of what was thrown. That the type's record lies right behind the
// first pointer is true of nothing that C++ throws: there, type_info objects are static.
Id caught_object() noexcept {
  const std::exception_ptr current = std::current_exception();
  const std::type_info* const type = abi::__cxa_current_exception_type();
  static_assert(sizeof(current) == sizeof(void*));
  void* thrown = nullptr;
  std::memcpy(&thrown, &current, sizeof(thrown));
  if (thrown == nullptr || type == nullptr) return nullptr;
  if (reinterpret_cast<const char*>(type) != static_cast<const char*>(thrown) + sizeof(Id))
    return nullptr;
  Id object = nullptr;
  std::memcpy(static_cast<void*>(&object), thrown, sizeof(object));
  return object;
}

#else

namespace {

// libstdc++'s record of an exception being handled (the Itanium C++ ABI's __cxa_exception). For a
// foreign exception only the last member exists.
struct CaughtException {
  void* type;
  void* destructor;
  void* unexpected_handler;
  void* terminate_handler;
  CaughtException* next;
  int handler_count;
  int handler_switch_value;
  const unsigned char* action_record;
  const unsigned char* language_specific_data;
  void* catch_temporary;
  void* adjusted;
  _Unwind_Exception header;
};

struct ThreadState { // __cxa_eh_globals
  CaughtException* caught;
  unsigned int uncaught_count;
};

// What libobjc throws.
struct ObjectiveCException {
  _Unwind_Exception header;
  Id object;
};

// "GNUCOBJC", the vendor and language in the header of libobjc's exceptions.
constexpr _Unwind_Exception_Class objective_c_class = 0x474E55434F424A43;

} // namespace

Id caught_object() noexcept {
  const auto* state = reinterpret_cast<const ThreadState*>(abi::__cxa_get_globals());
  if (state == nullptr || state->caught == nullptr) return nullptr;
  const _Unwind_Exception& header = state->caught->header;
  if (header.exception_class != objective_c_class) return nullptr;
  return reinterpret_cast<const ObjectiveCException*>(&header)->object;
}

#endif

} // namespace anet::backend::ane

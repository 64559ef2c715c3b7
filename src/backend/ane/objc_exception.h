// Objective-C exceptions seen from C++. `catch (...)` catches them on both runtimes; what was
// caught is found with the help of the C++ runtime's structures, which this file keeps to itself.
#pragma once

#include "backend/ane/objc.h"

namespace anet::backend::ane {

// Only inside a handler of `catch (...)`: the object of the Objective-C exception that it caught,
// borrowed until the handler ends; null when it caught something else.
//
// GNU's C++ runtime ends the process when an Objective-C exception is caught while a C++ exception
// is being handled: do not call the framework inside a catch block, leave it first.
Id caught_object() noexcept;

} // namespace anet::backend::ane

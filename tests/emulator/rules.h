// What a chip does not run, although the text is well formed (ane-facts.md 4.3 to 4.5).
#pragma once

#include "checked.h"

namespace emulator {

// Limits of one tensor: rank and extents. Throws Refusal(compilation_failure), as all of these do.
void check_tensor(const Type& type, const std::string& name, const Profile& profile);
// Of an input or output, besides: element types and layout.
void check_port(const Type& type, const std::string& name, const Profile& profile);
// Of one operation, before its types are inferred.
void check_availability(const Call& call, const Profile& profile, const Rules& rules);
// Of the operations together.
void check_graph(const CheckedFunction& function, const Profile& profile, const Rules& rules);

// The value of a constexpr operation, or nullptr for any other.
ConstantPointer fold_constexpr(const Call& call, const Type& type);

} // namespace emulator

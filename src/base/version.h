// The library's version, as in include/ane_train.h; src/capi asserts that they agree.
#pragma once

#include <string_view>

namespace anet {

inline constexpr std::string_view library_version = "0.1.0";

} // namespace anet

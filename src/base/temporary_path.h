// Names of files and directories that are not there yet: `.<name>.tmp-<pid>-<n>` beside their
// target, so that a rename puts them in place and the next writer knows whose they were.
#pragma once

#include <string>
#include <string_view>

namespace anet {

// A process has this many temporaries of one name before something is wrong.
inline constexpr int max_temporaries = 1000;

std::string temporary_path(std::string_view path, int n);
bool is_temporary_name(std::string_view name);
// The owner's process no longer runs.
bool is_stale_temporary_name(std::string_view name);

} // namespace anet

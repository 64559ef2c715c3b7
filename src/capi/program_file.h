#pragma once

#include "mil/program.h"

#include <string>

namespace anet::capi {

// Reads and parses a .mil file. Blob files that it names are mapped; only paths below
// "@model_path", the folder of the file, are accepted: a program from somewhere else must not
// reach other files.
mil::Program load_program(const std::string& path);

} // namespace anet::capi

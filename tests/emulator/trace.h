// The option trace: what the engine was given to do, for whoever counts it (bench/ane_plan).
#pragma once

#include <cstdint>
#include <string>

namespace emulator {

// Appends "<program> <bytes in> <bytes out>" to <directory>/evaluations. The program is a hash of
// its text, which lies beside it as <program>.mil. One call at a time.
void trace_evaluation(const std::string& directory, const std::string& text, int64_t bytes_in,
                      int64_t bytes_out);

} // namespace emulator

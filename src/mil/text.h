// MIL text: printer and parser. parse(print(p)) == p for every verified program.
#pragma once

#include "mil/program.h"

#include <string>
#include <string_view>

namespace anet::mil {

// Floats print as hex floats unless a short decimal is exact. A literal with a blob reference
// prints as BLOBFILE, any other inline (blob.h moves large ones out).
std::string print(const Program& program);
std::string print(const Function& function);

// Throws Error(invalid_program) with line, column and what was expected. BLOBFILE constants are
// resolved from `blobs`; a missing file or a bad record is Error(invalid_blob). The result is
// verified (verify.h).
Program parse(std::string_view text, BlobFiles blobs = {});

} // namespace anet::mil

#pragma once

#include "capi/handle.h"
#include "mil/program.h"

#include <mutex>
#include <string>

struct anet_program : anet::capi::Handle<anet::capi::HandleKind::program> {
  explicit anet_program(anet::mil::Program parsed) : program(std::move(parsed)) {}

  const anet::mil::Program program;
  // Printed when somebody asks: weights written out are large.
  mutable std::once_flag printed;
  mutable std::string text;
};

namespace anet::capi {

// The named function, or the first one for NULL. Throws not_found.
const mil::Function& find_function(const anet_program& program, const char* name);

} // namespace anet::capi

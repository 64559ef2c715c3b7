#pragma once

#include "capi/call_scope.h"
#include "capi/device.h"
#include "capi/program.h"

#include <memory>

struct anet_kernel : anet::capi::Handle<anet::capi::HandleKind::kernel> {
  anet_kernel(anet_device& parent, const anet_program& source,
              std::unique_ptr<anet::backend::Kernel> compiled)
      : device(parent), program(source), kernel(std::move(compiled)) {}

  anet::capi::Ref<anet_device> device;
  // Constants of the kernel may be views of the program's.
  anet::capi::Ref<const anet_program> program;
  std::unique_ptr<anet::backend::Kernel> kernel;
  double seconds = 0; // in runs
  uint64_t runs = 0;
  mutable anet::backend::Placement placement; // as last asked for
  mutable anet::capi::CallState calls;
};

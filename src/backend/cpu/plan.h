// What a function compiles to: storages and the steps that fill them.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/step.h"
#include "base/aligned_memory.h"

#include <memory>
#include <string>
#include <vector>

namespace anet::backend::cpu {

// Memory that operands point into.
struct Storage {
  enum class Kind : uint8_t {
    temporary, // in the workspace, at `offset`
    constant,  // computed when the kernel is compiled, or a literal's own bytes
    input,     // port `index`
    output,    // port `index`
  };
  Kind kind = Kind::temporary;
  int64_t bytes = 0;
  int64_t offset = 0;
  size_t index = 0;
  const std::byte* literal = nullptr; // a constant that needs no copy
  AlignedMemory owned;
};

// A step and the storages that it touches.
struct PlannedStep {
  std::unique_ptr<Step> step;
  std::vector<int32_t> storages;
};

struct Plan {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<Storage> storages;
  std::vector<PlannedStep> prepare; // run once, at compile time: constants in their final form
  std::vector<PlannedStep> steps;
  std::vector<mil::Bytes> literals; // keep the bytes of constants alive
  int64_t flops = 0;
  int32_t op_count = 0;
  int64_t workspace_bytes = 0;
  int64_t constant_bytes = 0;
  std::string fallback; // what does not run as its types ask, and why; else empty
};

// Lowers an optimised function, to be run by as many threads. Throws unsupported naming the op,
// invalid_argument or shape_mismatch for options that do not fit the function.
Plan make_plan(const mil::Function& function, const CompileOptions& options, int threads);

} // namespace anet::backend::cpu

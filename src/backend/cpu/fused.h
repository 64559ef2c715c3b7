// A step that takes small pieces of tensors through several element-wise ops and reductions, so
// that what lies between the ops stays in the caches.
#pragma once

#include "backend/cpu/pointwise_kernels.h"
#include "backend/cpu/reduce.h"

#include <memory>
#include <optional>
#include <vector>

namespace anet::backend::cpu {

inline constexpr size_t max_fused_operands = 24;
inline constexpr size_t max_fused_values = 160;
inline constexpr size_t max_fused_folds = 4; // in a phase

// Ops over one space. Values are fp32 registers of a block of elements.
//
// When an axis of the space is reduced there are several phases. Those of even index run over the
// whole space and may fold values along the axis; those of odd index run over what is left of the
// space without the axis, after the folds before them. What a fold or an odd phase makes keeps
// its register in all later phases.
struct FusedProgram {
  struct Load {
    size_t operand;
    int32_t value;
  };
  struct Call {
    PointwiseFloat kernel;
    PointwiseParameters parameters;
    std::array<int32_t, max_pointwise_inputs> inputs;
    size_t count; // of inputs
    int32_t value;
  };
  struct Store {
    int32_t value;
    size_t operand;
  };
  struct Fold {
    Reduction reduction; // not log_sum_exp
    int32_t input;
    int32_t value;
  };
  // In this order.
  struct Phase {
    std::vector<Load> loads;
    std::vector<Call> calls;
    std::vector<Store> stores;
    std::vector<Fold> folds;
  };

  Shape space;
  std::optional<size_t> reduced_axis;
  // Each broadcasts to the space; the first has its shape and decides the order of the loops.
  std::vector<Operand> operands;
  std::vector<Phase> phases;
  int32_t values = 0;
};

// fp32 values of scratch that each thread needs.
int64_t fused_scratch(const FusedProgram& program);

// `scratch` is [threads, fused_scratch()]. An operand that is stored may be loaded again in a later
// phase, and in a program of one phase it may be the very memory of one that is loaded. Each op has
// the bits that it has alone in fp32.
std::unique_ptr<Step> make_fused_step(FusedProgram program, const Operand& scratch);

} // namespace anet::backend::cpu

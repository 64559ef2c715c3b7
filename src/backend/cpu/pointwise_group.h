// Chains of element-wise ops and of reductions along one axis, computed block by block.
#pragma once

#include "backend/cpu/elementwise.h"
#include "backend/cpu/group.h"
#include "backend/cpu/reduce.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace anet::backend::cpu {

// The space that the ops of a group share. Results have its shape, or
// - that of what a reduction leaves of it, when an axis is reduced;
// - that of several such tensors side by side along an axis, when it has `parts`.
struct FusedSpace {
  mil::Shape shape;
  std::optional<size_t> reduced_axis;
  int64_t parts = 1;
  size_t parts_axis = 0;

  mil::Shape reduced() const; // the shape with extent 1 on the reduced axis
  mil::Shape whole() const;   // that of all parts
  bool operator==(const FusedSpace&) const = default;
};

// What an op does in a group.
struct FusedOp {
  enum class Kind : uint8_t { call, convert, reduce, slice, concat, pad };
  Kind kind = Kind::call;
  FusedSpace space;     // of the op alone
  ElementwiseCall call; // of a call
  Reduction reduction = Reduction::sum;
  int64_t part = 0; // that a slice shows, or that pad fills
};

// nullopt for ops that are computed alone: of other kinds, or of types that round after each op.
std::optional<FusedOp> fused_op(const mil::Function& function, const mil::Operation& op);

// Lowers ops of one space, given by their results, of which those of `leaving` are read outside.
void lower_pointwise_group(Lowering& l, const FusedSpace& space,
                           std::span<const mil::ValueId> results,
                           std::span<const mil::ValueId> leaving);

} // namespace anet::backend::cpu

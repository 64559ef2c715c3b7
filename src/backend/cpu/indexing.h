// Steps that move elements by index tensors.
#pragma once

#include "backend/cpu/compressed.h"
#include "backend/cpu/step.h"

#include <string_view>

namespace anet::backend::cpu {

enum class ScatterMode : uint8_t { add, sub, mul, div, max, min, update };
std::optional<ScatterMode> scatter_mode_from_name(std::string_view name);

// Indices are of any integer type; negative ones count from the end. An index outside its axis
// throws out_of_range at run time, naming the op.

// output[b, p, i, q] = x[b, p, indices[b, i], q]: all four dimensions present, any strides.
std::unique_ptr<Step> make_gather_step(const Operand& x, const Operand& indices,
                                       const Operand& output);
// output[0, 0, i, q] = matrix[indices[0, i], q], a row at a time through `scratch`, [threads, q].
std::unique_ptr<Step> make_compressed_gather_step(const CompressedMatrix& matrix,
                                                  const Operand& indices, const Operand& output,
                                                  const Operand& scratch);
// output[..., i, ...] = x[..., indices[..., i, ...], ...] along `axis`.
std::unique_ptr<Step> make_gather_along_axis_step(const Operand& x, const Operand& indices,
                                                  const Operand& output, size_t axis);
// data[p, indices[i], q] (mode)= updates[p, i, q], in the order of i: deterministic also where
// indices repeat.
std::unique_ptr<Step> make_scatter_step(const Operand& data, const Operand& indices,
                                        const Operand& updates, ScatterMode mode);
// data[..., indices[..., i, ...], ...] (mode)= updates[..., i, ...] along `axis`, in the order of
// i.
std::unique_ptr<Step> make_scatter_along_axis_step(const Operand& data, const Operand& indices,
                                                   const Operand& updates, size_t axis,
                                                   ScatterMode mode);
// output[..., i, ...] = on where indices[...] is i, else off; `axis` is the output's.
std::unique_ptr<Step> make_one_hot_step(const Operand& indices, const Operand& output, size_t axis,
                                        double on, double off);

} // namespace anet::backend::cpu

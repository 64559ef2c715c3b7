#include "backend/cpu/pointwise_group.h"

#include "backend/cpu/fused.h"
#include "backend/cpu/lowering.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace anet::backend::cpu {

namespace {

using mil::ValueId;
using Kind = FusedOp::Kind;

bool is_kept_exact(DataType dtype) { return dtype == DataType::fp32 || dtype == DataType::bf16; }

// Tensors of these types go through registers of fp32. A boolean is 0 or 1.
bool fits_registers(const mil::Function& function, ValueId id) {
  const DataType dtype = function.type(id).dtype;
  return is_kept_exact(dtype) || dtype == DataType::boolean;
}

std::optional<FusedOp> call_of(const mil::Function& function, const mil::Operation& op) {
  auto call = elementwise_call(function, op);
  if (!call || pointwise_float(call->kernel) == nullptr) return std::nullopt;
  bool floating = mil::is_floating(function.type(op.outputs.front()).dtype);
  for (const std::string_view name : call->inputs) {
    const ValueId id = op.input(name);
    if (id == mil::no_value || !fits_registers(function, id)) return std::nullopt;
    floating = floating || mil::is_floating(function.type(id).dtype);
  }
  if (!floating || !fits_registers(function, op.outputs.front())) return std::nullopt;
  FusedOp result;
  result.space.shape = function.type(op.outputs.front()).shape;
  result.call = *std::move(call);
  return result;
}

std::optional<FusedOp> conversion_of(const mil::Function& function, const mil::Operation& op) {
  const DataType from = function.type(op.input("x")).dtype;
  const DataType to = function.type(op.outputs.front()).dtype;
  if (!is_kept_exact(from) || !is_kept_exact(to)) return std::nullopt;
  FusedOp result{.kind = Kind::convert, .space = {}, .call = {}};
  result.space.shape = function.type(op.outputs.front()).shape;
  return result;
}

std::optional<FusedOp> reduction_of(const mil::Function& function, const mil::Operation& op) {
  const mil::Type& type = function.type(op.input("x"));
  FusedOp result{.kind = Kind::reduce, .space = {}, .call = {}};
  result.reduction = *reduction_from_op(op.name());
  const std::vector<int64_t> axes = literal_argument(function, op, "axes").integers();
  if (result.reduction == Reduction::log_sum_exp || axes.size() != 1 || !is_kept_exact(type.dtype))
    return std::nullopt;
  const size_t axis = normalize_axis(axes.front(), std::ssize(type.shape));
  result.space.shape = type.shape;
  result.space.reduced_axis = axis;
  const int64_t extent = type.shape[axis];
  const int64_t others = extent == 0 ? 0 : mil::element_count(type.shape) / extent;
  const bool keeps_rank = function.type(op.outputs.front()).shape == result.space.reduced();
  if (extent <= 1 || !keeps_rank || shares_reductions(others, extent)) return std::nullopt;
  return result;
}

// The axis along which `whole` is several times `part`, and nothing else differs.
std::optional<size_t> parts_axis(const mil::Shape& whole, const mil::Shape& part) {
  std::optional<size_t> axis;
  if (whole.size() != part.size()) return std::nullopt;
  for (size_t d = 0; d < whole.size(); ++d) {
    if (whole[d] == part[d]) continue;
    if (axis || part[d] == 0 || whole[d] % part[d] != 0) return std::nullopt;
    axis = d;
  }
  return axis;
}

std::optional<FusedOp> move_of(Kind kind, const mil::Shape& whole, const mil::Shape& part,
                               int64_t begin) {
  const auto axis = parts_axis(whole, part);
  if (!axis || begin % part[*axis] != 0) return std::nullopt;
  FusedOp result{.kind = kind, .space = {}, .call = {}};
  result.space = {part, std::nullopt, whole[*axis] / part[*axis], *axis};
  result.part = begin / part[*axis];
  return result;
}

std::optional<FusedOp> slice_of(const mil::Function& function, const mil::Operation& op) {
  const mil::Shape& whole = function.type(op.input("x")).shape;
  const mil::Shape& part = function.type(op.outputs.front()).shape;
  const auto axis = parts_axis(whole, part);
  if (!axis) return std::nullopt;
  const int64_t begin = literal_argument(function, op, "begin").integers()[*axis];
  return move_of(Kind::slice, whole, part, begin < 0 ? begin + whole[*axis] : begin);
}

std::optional<FusedOp> concatenation_of(const mil::Function& function, const mil::Operation& op) {
  const auto& values = op.argument("values")->values;
  const mil::Shape& part = function.type(values.front()).shape;
  for (const ValueId id : values)
    if (function.type(id).shape != part) return std::nullopt;
  const mil::Shape& whole = function.type(op.outputs.front()).shape;
  if (literal_argument(function, op, "interleave").boolean()) return std::nullopt;
  return move_of(Kind::concat, whole, part, 0);
}

std::optional<FusedOp> padding_of(const mil::Function& function, const mil::Operation& op) {
  const mil::Shape& part = function.type(op.input("x")).shape;
  const mil::Shape& whole = function.type(op.outputs.front()).shape;
  const auto axis = parts_axis(whole, part);
  if (!axis || literal_argument(function, op, "mode").string() != "constant") return std::nullopt;
  const std::vector<int64_t> amounts = literal_argument(function, op, "pad").integers();
  const size_t skipped = part.size() - amounts.size() / 2;
  if (*axis < skipped) return std::nullopt;
  return move_of(Kind::pad, whole, part, amounts[2 * (*axis - skipped)]);
}

} // namespace

mil::Shape FusedSpace::reduced() const {
  mil::Shape result = shape;
  if (reduced_axis) result[*reduced_axis] = 1;
  return result;
}

mil::Shape FusedSpace::whole() const {
  mil::Shape result = shape;
  if (parts > 1) result[parts_axis] *= parts;
  return result;
}

std::optional<FusedOp> fused_op(const mil::Function& function, const mil::Operation& op) {
  if (op.outputs.size() != 1 || function.type(op.outputs.front()).elements() == 0)
    return std::nullopt;
  const std::string_view name = op.name();
  if (name == "cast") return conversion_of(function, op);
  if (reduction_from_op(name)) return reduction_of(function, op);
  const bool moves = name == "slice_by_size" || name == "concat" || name == "pad";
  if (!moves) return call_of(function, op);
  if (!is_kept_exact(function.type(op.outputs.front()).dtype)) return std::nullopt;
  if (name == "slice_by_size") return slice_of(function, op);
  return name == "concat" ? concatenation_of(function, op) : padding_of(function, op);
}

} // namespace anet::backend::cpu

// gather, scatter and one_hot.
#include "backend/cpu/indexing.h"
#include "backend/cpu/lowering.h"

namespace anet::backend::cpu {

namespace {

int64_t product(const Shape& shape, size_t begin, size_t end) {
  int64_t result = 1;
  for (size_t d = begin; d < end; ++d) result *= shape[d];
  return result;
}

// x [b, p, axis, q], indices [b, i] -> output [b, p, i, q]
void gather(Lowering& l) {
  const Operand x = l.stored_operand("x");
  const Operand indices = l.operand("indices");
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  const auto batch_dims = static_cast<size_t>(l.integer("batch_dims"));
  const int64_t batch = product(x.shape, 0, batch_dims);
  const int64_t before = product(x.shape, batch_dims, axis);
  const int64_t inner = product(x.shape, axis + 1, x.shape.size());
  const int64_t count = indices.elements() / batch;
  const Operand positions = l.reshaped(indices, {batch, count});
  const Operand output = l.result();
  const Shape rows = {batch, before, count, inner};
  const auto view = reshape_view(output, rows);
  const Operand target = view ? *view : l.temporary(output.dtype, rows);
  const auto table = reshape_view(x, {x.shape[axis], inner});
  const auto matrix = table ? l.compressed_matrix(*table) : std::nullopt;
  if (matrix && !matrix->transposed) {
    const Operand scratch = l.thread_scratch(inner);
    l.emit(make_compressed_gather_step(*matrix, positions, target, scratch),
           {&x, &positions, &target, &scratch});
  } else {
    const Operand source = l.reshaped(l.operand("x"), {batch, before, x.shape[axis], inner});
    l.emit(make_gather_step(source, positions, target), {&source, &positions, &target});
  }
  if (!view) l.copy(*reshape_view(target, output.shape), output);
}

void gather_along_axis(Lowering& l) {
  const Operand x = l.operand("x");
  const Operand indices = l.operand("indices");
  const Operand output = l.result();
  const size_t axis = normalize_axis(l.integer("axis"), x.rank());
  l.emit(make_gather_along_axis_step(x, indices, output, axis), {&x, &indices, &output});
}

// What a scatter changes, and where the result goes.
struct ScatterTarget {
  Operand output;
  Operand sums; // the output itself, or fp32: rounded types are rounded once, after the last update
  Operand updates;

  void finish(Lowering& l) const {
    if (sums.storage != output.storage) l.cast(sums, output);
  }
};

// The tensor that a scatter changes: a copy of `data`, or the port itself when the scatter adds to
// zeros and the port accumulates.
Operand scatter_output(Lowering& l) {
  bool accumulate = false;
  const bool zero = l.is_zero("data");
  if (l.accumulates()) {
    const Operand target = l.accumulating_result(accumulate);
    if (accumulate) return target;
  }
  if (zero) {
    const Operand output = l.result();
    l.fill(output, 0);
    return output;
  }
  const Operand data = l.operand("data");
  const Operand indices = l.operand("indices");
  const Operand updates = l.operand("updates");
  const bool apart = data.storage != indices.storage && data.storage != updates.storage;
  const Operand output = apart ? l.result_in_place(std::span(&data, 1)) : l.result();
  if (output.storage != data.storage) l.copy(data, output);
  return output;
}

ScatterTarget scatter_target(Lowering& l) {
  const Operand updates = l.operand("updates");
  const DataType dtype = l.result_dtype();
  if (!mil::is_floating(dtype) || dtype == DataType::fp32) {
    const Operand output = scatter_output(l);
    return {output, output, mil::is_floating(dtype) ? l.as_float(updates) : updates};
  }
  const Operand output = l.result();
  const Operand sums = l.temporary(DataType::fp32, output.shape);
  if (l.is_zero("data")) {
    l.fill(sums, 0);
  } else {
    l.cast(l.operand("data"), sums);
  }
  return {output, sums, l.as_float(updates)};
}

// data [p, axis, q], indices [i], updates [p, i, q]
void scatter(Lowering& l) {
  const Operand indices = l.operand("indices");
  const ScatterMode mode = *scatter_mode_from_name(l.string("mode"));
  const ScatterTarget result = scatter_target(l);
  const Operand& output = result.sums;
  const size_t axis = normalize_axis(l.integer("axis"), output.rank());
  const int64_t before = product(output.shape, 0, axis);
  const int64_t inner = product(output.shape, axis + 1, output.shape.size());
  const int64_t count = indices.elements();
  const Shape lines = {before, output.shape[axis], inner};
  const auto view = reshape_view(output, lines);
  const Operand target = view ? *view : *reshape_view(l.copied(output), lines);
  const Operand positions = l.reshaped(indices, {count});
  const Operand values = l.reshaped(result.updates, {before, count, inner});
  l.emit(make_scatter_step(target, positions, values, mode), {&target, &positions, &values});
  if (!view) l.copy(*reshape_view(target, output.shape), output);
  result.finish(l);
}

void scatter_along_axis(Lowering& l) {
  const Operand indices = l.operand("indices");
  const ScatterMode mode = *scatter_mode_from_name(l.string("mode"));
  const ScatterTarget result = scatter_target(l);
  const size_t axis = normalize_axis(l.integer("axis"), result.sums.rank());
  l.emit(make_scatter_along_axis_step(result.sums, indices, result.updates, axis, mode),
         {&result.sums, &indices, &result.updates});
  result.finish(l);
}

void one_hot(Lowering& l) {
  const Operand indices = l.operand("indices");
  const Operand output = l.result();
  const size_t axis = normalize_axis(l.integer("axis"), output.rank());
  const double on = l.literal("on_value").number(), off = l.literal("off_value").number();
  l.emit(make_one_hot_step(indices, output, axis, on, off), {&indices, &output});
}

} // namespace

LoweringRule indexing_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"gather", gather},   {"gather_along_axis", gather_along_axis},   {"one_hot", one_hot},
      {"scatter", scatter}, {"scatter_along_axis", scatter_along_axis},
  };
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu

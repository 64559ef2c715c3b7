// Ops that move elements by position: reshape, transpose, concat, split, tile, pad, reverse.
#include "mil/interpreter/context.h"

#include <algorithm>

namespace anet::mil::interpreter {

namespace {

// reshape, expand_dims and squeeze keep the order of the elements.
void copy(Context& c) { c.output().values = c.tensor("x").values; }

// Fills the output from `source(index)`, an offset into x for each output index.
template <typename F>
void pull(Context& c, F&& source) {
  const Tensor& x = c.tensor("x");
  Tensor& output = c.output();
  size_t next = 0;
  for_each_index(output.type.shape, [&](const Shape& index) {
    output.values[next++] = x.values[static_cast<size_t>(source(index))];
  });
}

void transpose(Context& c) {
  const Shape& shape = c.tensor("x").type.shape;
  const std::vector<int64_t> strides = contiguous_strides(shape);
  const std::vector<int64_t> perm = c.integers("perm");
  std::vector<int64_t> permuted;
  for (int64_t axis : perm) {
    permuted.push_back(
        strides[static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.size()) : axis)]);
  }
  pull(c, [&](const Shape& index) { return offset_of(index, permuted); });
}

void tile(Context& c) {
  const Shape& shape = c.tensor("x").type.shape;
  const std::vector<int64_t> strides = contiguous_strides(shape);
  pull(c, [&](Shape index) {
    for (size_t axis = 0; axis < index.size(); ++axis) index[axis] %= shape[axis];
    return offset_of(index, strides);
  });
}

void reverse(Context& c) {
  const Shape& shape = c.tensor("x").type.shape;
  const std::vector<int64_t> strides = contiguous_strides(shape);
  const std::vector<int64_t> axes = c.axes("axes", static_cast<int64_t>(shape.size()));
  pull(c, [&](Shape index) {
    for (int64_t axis : axes) {
      const auto at = static_cast<size_t>(axis);
      index[at] = shape[at] - 1 - index[at];
    }
    return offset_of(index, strides);
  });
}

// With `interleave`, element i along the axis comes from operand i % n; else operands follow each
// other.
void concat(Context& c) {
  const std::vector<const Tensor*> values = c.tensors("values");
  Tensor& output = c.output();
  const Shape& shape = output.type.shape;
  const int64_t axis = c.axis("axis", static_cast<int64_t>(shape.size()), 0);
  const bool interleave = c.boolean_or("interleave", false);
  const AxisView out = view_axis(shape, axis);
  const auto count = static_cast<int64_t>(values.size());
  int64_t start = 0;
  for (int64_t v = 0; v < count; ++v) {
    const Tensor& value = *values[static_cast<size_t>(v)];
    const AxisView in = view_axis(value.type.shape, axis);
    for (int64_t outer = 0; outer < in.outer; ++outer) {
      for (int64_t i = 0; i < in.extent; ++i) {
        const int64_t target = interleave ? i * count + v : start + i;
        for (int64_t inner = 0; inner < in.inner; ++inner) {
          output.values[out.at(outer, target, inner)] = value.values[in.at(outer, i, inner)];
        }
      }
    }
    start += in.extent;
  }
}

void stack(Context& c) {
  const std::vector<const Tensor*> values = c.tensors("values");
  Tensor& output = c.output();
  const int64_t rank = static_cast<int64_t>(output.type.shape.size());
  const AxisView out = view_axis(output.type.shape, c.axis("axis", rank, 0));
  for (int64_t outer = 0; outer < out.outer; ++outer) {
    for (int64_t i = 0; i < out.extent; ++i) {
      for (int64_t inner = 0; inner < out.inner; ++inner) {
        output.values[out.at(outer, i, inner)] =
            values[static_cast<size_t>(i)]->values[static_cast<size_t>(outer * out.inner + inner)];
      }
    }
  }
}

void split(Context& c) {
  const Tensor& x = c.tensor("x");
  const int64_t axis = c.axis("axis", static_cast<int64_t>(x.type.shape.size()), 0);
  const AxisView in = view_axis(x.type.shape, axis);
  int64_t start = 0;
  for (size_t part = 0; part < c.output_count(); ++part) {
    Tensor& output = c.output(part);
    const AxisView out = view_axis(output.type.shape, axis);
    for (int64_t outer = 0; outer < out.outer; ++outer) {
      for (int64_t i = 0; i < out.extent; ++i) {
        for (int64_t inner = 0; inner < out.inner; ++inner) {
          output.values[out.at(outer, i, inner)] = x.values[in.at(outer, start + i, inner)];
        }
      }
    }
    start += out.extent;
  }
}

// Position `i`, which may lie outside [0, extent), mirrored without repeating the edge.
int64_t reflect(int64_t i, int64_t extent) {
  if (extent == 1) return 0;
  while (i < 0 || i >= extent) i = i < 0 ? -i : 2 * (extent - 1) - i;
  return i;
}

// `pad` has [before, after] for each of the last axes.
void pad(Context& c) {
  const Tensor& x = c.tensor("x");
  const Shape& shape = x.type.shape;
  const std::vector<int64_t> amounts = c.integers("pad");
  const std::string mode = c.string_or("mode", "constant");
  const double constant = c.number_or("constant_val", 0);
  const size_t skipped = shape.size() - amounts.size() / 2;
  const std::vector<int64_t> strides = contiguous_strides(shape);
  Tensor& output = c.output();
  size_t next = 0;
  for_each_index(output.type.shape, [&](Shape index) {
    bool inside = true;
    for (size_t axis = skipped; axis < shape.size(); ++axis) {
      int64_t& i = index[axis];
      i -= amounts[2 * (axis - skipped)];
      inside = inside && i >= 0 && i < shape[axis];
      if (mode == "reflect") i = reflect(i, shape[axis]);
      if (mode == "replicate") i = std::clamp<int64_t>(i, 0, shape[axis] - 1);
    }
    const bool filled = mode == "constant" && !inside;
    output.values[next++] =
        filled ? constant : x.values[static_cast<size_t>(offset_of(index, strides))];
  });
}

} // namespace

std::span<const OpEntry> shape_ops() {
  static const OpEntry entries[] = {
      {"concat", concat},   {"expand_dims", copy},    {"pad", pad},      {"reshape", copy},
      {"reverse", reverse}, {"split", split},         {"squeeze", copy}, {"stack", stack},
      {"tile", tile},       {"transpose", transpose},
  };
  return entries;
}

} // namespace anet::mil::interpreter

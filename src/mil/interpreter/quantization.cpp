// quantize, dequantize and the compressed-constant ops (ane-facts.md 3.4 and appendix B).
#include "mil/interpreter/context.h"

#include <cmath>

namespace anet::mil::interpreter {

namespace {

// Parameter of element (.., i, ..): a scalar, or one entry for each position of the axis.
double parameter_at(const Tensor& parameter, int64_t i) {
  return parameter.values.size() == 1 ? parameter.values[0]
                                      : parameter.values.at(static_cast<size_t>(i));
}

// Calls f(element, scale, zero point) for every element of the operand.
template <typename F>
void map_affine(Context& c, const Tensor& x, F&& f) {
  const Tensor& scale = c.tensor("scale");
  const Tensor* zero = c.has("zero_point") ? &c.tensor("zero_point") : nullptr;
  const Shape& shape = x.type.shape;
  const bool per_axis = c.has("axis") && !shape.empty();
  const int64_t axis = per_axis ? c.axis("axis", static_cast<int64_t>(shape.size()), 0) : 0;
  const AxisView view = view_axis(shape, axis);
  Tensor& output = c.output();
  for (int64_t outer = 0; outer < view.outer; ++outer) {
    for (int64_t i = 0; i < view.extent; ++i) {
      const double zero_point = zero != nullptr ? parameter_at(*zero, i) : 0;
      const double factor = parameter_at(scale, i);
      for (int64_t inner = 0; inner < view.inner; ++inner) {
        const size_t at = view.at(outer, i, inner);
        output.values[at] = f(x.values[at], factor, zero_point);
      }
    }
  }
}

// round(x / scale) + zero_point, saturated.
void quantize(Context& c) {
  const DataType dtype = c.output().type.dtype;
  map_affine(c, c.tensor("input"), [=](double x, double scale, double zero) {
    return saturate_integer(std::nearbyint(x / scale) + zero, dtype);
  });
}

double affine(double x, double scale, double zero) { return (x - zero) * scale; }

void dequantize(Context& c) { map_affine(c, c.tensor("input"), affine); }

void constexpr_affine_dequantize(Context& c) { map_affine(c, c.tensor("quantized_data"), affine); }

// Position in `blocks` of the block that holds `index` of a tensor of `shape`.
size_t block_of(const Shape& index, const Shape& shape, const Shape& blocks) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) {
    const int64_t block_size = shape[axis] / blocks[axis];
    offset = offset * blocks[axis] + index[axis] / block_size;
  }
  return static_cast<size_t>(offset);
}

// scale * (data - offset), with one scale and offset for each block.
void constexpr_blockwise_shift_scale(Context& c) {
  const Tensor& data = c.tensor("data");
  const Tensor& scale = c.tensor("scale");
  const Tensor* offset = c.has("offset") ? &c.tensor("offset") : nullptr;
  const Shape& shape = data.type.shape;
  Tensor& output = c.output();
  size_t next = 0;
  for_each_index(shape, [&](const Shape& index) {
    const size_t block = block_of(index, shape, scale.type.shape);
    const double shift = offset != nullptr ? offset->values[block] : 0;
    output.values[next] = scale.values[block] * (data.values[next] - shift);
    ++next;
  });
}

// indices [d1 .. dK], lut [g1 .. gK, palette, vector]: each index picks a vector from the table of
// its block; the vector's elements follow each other along vector_axis.
void constexpr_lut_to_dense(Context& c) {
  const Tensor& indices = c.tensor("indices");
  const Tensor& lut = c.tensor("lut");
  const Shape& shape = indices.type.shape;
  const Shape& lut_shape = lut.type.shape;
  const Shape tables(lut_shape.begin(), lut_shape.end() - 2);
  const int64_t palette = lut_shape[lut_shape.size() - 2];
  const int64_t vector = lut_shape.back();
  const auto axis = static_cast<size_t>(c.axis("vector_axis", std::ssize(shape), 0));
  Tensor& output = c.output();
  const std::vector<int64_t> strides = contiguous_strides(output.type.shape);
  size_t next = 0;
  for_each_index(shape, [&](Shape index) {
    const auto table = static_cast<int64_t>(block_of(index, shape, tables));
    const auto entry = static_cast<int64_t>(indices.values[next++]);
    index[axis] *= vector;
    for (int64_t v = 0; v < vector; ++v, ++index[axis]) {
      output.values[static_cast<size_t>(offset_of(index, strides))] =
          lut.values.at(static_cast<size_t>((table * palette + entry) * vector + v));
    }
  });
}

// The non-zero elements, in order, at the positions where the mask is set.
void constexpr_sparse_to_dense(Context& c) {
  const Tensor& data = c.tensor("nonzero_data");
  const Tensor& mask = c.tensor("mask");
  Tensor& output = c.output();
  size_t next = 0;
  for (size_t i = 0; i < mask.values.size(); ++i) {
    if (mask.values[i] != 0) output.values[i] = data.values.at(next++);
  }
}

void constexpr_cast(Context& c) { c.output().values = c.tensor("source_val").values; }

} // namespace

std::span<const OpEntry> quantization_ops() {
  static const OpEntry entries[] = {
      {"constexpr_affine_dequantize", constexpr_affine_dequantize},
      {"constexpr_blockwise_shift_scale", constexpr_blockwise_shift_scale},
      {"constexpr_cast", constexpr_cast},
      {"constexpr_lut_to_dense", constexpr_lut_to_dense},
      {"constexpr_sparse_to_dense", constexpr_sparse_to_dense},
      {"dequantize", dequantize},
      {"quantize", quantize},
  };
  return entries;
}

} // namespace anet::mil::interpreter

#include "mil/ops/inference.h"

#include <algorithm>
#include <bit>

namespace anet::mil::ops {

namespace {

// A scale or zero point is a scalar, or a vector along the data's axis.
void check_parameter(const InferenceContext& context, std::string_view argument, int64_t extent) {
  const Shape& shape = context.type(argument).shape;
  if (shape.empty() || shape == Shape{extent}) return;
  context.fail("expected ", argument, " to be a scalar or of shape [", extent, "], got ",
               shape_to_string(shape));
}

// quantize and dequantize: scale and zero point are both scalars without an axis, or both vectors
// along it.
void check_scale_and_zero_point(const InferenceContext& context) {
  const Shape& input = context.type("input").shape;
  const Shape& scale = context.type("scale").shape;
  if (context.has("zero_point") && context.type("zero_point").shape.size() != scale.size()) {
    context.fail("expected scale and zero_point of one shape, got ", shape_to_string(scale),
                 " and ", shape_to_string(context.type("zero_point").shape));
  }
  if (scale.empty() == context.has("axis")) {
    context.fail(scale.empty() ? "expected no axis for a scalar scale"
                               : "expected an axis for a scale that is a vector");
  }
  if (scale.empty()) return;
  const size_t axis = context.axis("axis", context.integer("axis"), input.size());
  check_parameter(context, "scale", input[axis]);
  if (context.has("zero_point")) check_parameter(context, "zero_point", input[axis]);
}

bool all_zero(const Literal* literal) {
  if (literal == nullptr) return false;
  const std::vector<double> values = literal->numbers();
  return std::all_of(values.begin(), values.end(), [](double value) { return value == 0; });
}

// `coarse` divides `fine` on each of the axes of `fine`.
bool divides(const Shape& coarse, const Shape& fine) {
  for (size_t i = 0; i < fine.size(); ++i) {
    if (fine[i] % coarse[i] != 0) return false;
  }
  return true;
}

} // namespace

std::vector<Type> constant(const InferenceContext& context) {
  // Function::constant() finds the value of a `const` here and nowhere else.
  const Attribute* val = context.op().attribute("val");
  if (val == nullptr) context.fail("expected attribute val, got none");
  if (val->value.is_dictionary()) context.fail("expected a tensor or string as val");
  return {val->value.type};
}

std::vector<Type> quantize(const InferenceContext& context) {
  const std::string& dtype = context.string("output_dtype");
  if (dtype != "int8" && dtype != "uint8") {
    context.fail("expected output_dtype int8 or uint8, got '", dtype, "'");
  }
  const DataType output = *data_type_from_name(dtype);
  if (context.has("zero_point") && context.type("zero_point").dtype != output) {
    context.fail("expected zero_point of type ", dtype, ", got ",
                 data_type_name(context.type("zero_point").dtype));
  }
  if (all_zero(context.constant("scale"))) context.fail("expected a scale other than 0");
  check_scale_and_zero_point(context);
  return {Type{output, context.type("input").shape, {}}};
}

std::vector<Type> dequantize(const InferenceContext& context) {
  check_scale_and_zero_point(context);
  return {Type{context.type("scale").dtype, context.type("input").shape, {}}};
}

std::vector<Type> constexpr_affine_dequantize(const InferenceContext& context) {
  const Shape& data = context.type("quantized_data").shape;
  const size_t axis = context.axis("axis", context.integer("axis"), data.size());
  check_parameter(context, "scale", data[axis]);
  check_parameter(context, "zero_point", data[axis]);
  return {Type{context.type("scale").dtype, data, {}}};
}

std::vector<Type> constexpr_blockwise_shift_scale(const InferenceContext& context) {
  const Type& data = context.type("data");
  const Type& scale = context.type("scale");
  if (data.shape.empty() || data.shape.size() != scale.shape.size() ||
      !divides(scale.shape, data.shape)) {
    context.fail("expected scale of the rank of data ", shape_to_string(data.shape),
                 " with extents that divide its, got ", shape_to_string(scale.shape));
  }
  if (context.has("offset")) {
    const Type& offset = context.type("offset");
    if (offset.shape != scale.shape) {
      context.fail("expected offset of the shape of scale ", shape_to_string(scale.shape), ", got ",
                   shape_to_string(offset.shape));
    }
    if (!is_floating(offset.dtype) && offset.dtype != data.dtype) {
      context.fail("expected offset of type ", data_type_name(data.dtype), ", got ",
                   data_type_name(offset.dtype));
    }
  }
  return {Type{scale.dtype, data.shape, {}}};
}

std::vector<Type> constexpr_lut_to_dense(const InferenceContext& context) {
  const Type& indices = context.type("indices");
  const Type& lut = context.type("lut");
  const size_t rank = indices.shape.size();
  if (rank == 0 || lut.shape.size() != rank + 2 || !divides(lut.shape, indices.shape)) {
    context.fail("expected lut of two axes more than indices ", shape_to_string(indices.shape),
                 " with extents that divide theirs, got ", shape_to_string(lut.shape));
  }
  const int64_t palettes = lut.shape[rank];
  if (palettes != int64_t{1} << data_type_bits(indices.dtype)) {
    context.fail("expected ", int64_t{1} << data_type_bits(indices.dtype),
                 " lut entries for indices of type ", data_type_name(indices.dtype), ", got ",
                 palettes);
  }
  Shape shape = indices.shape;
  const int64_t vector_size = lut.shape[rank + 1];
  if (context.has("vector_axis")) {
    shape[context.axis("vector_axis", context.integer("vector_axis"), rank)] *= vector_size;
  } else if (vector_size > 1) {
    context.fail("expected a vector_axis for lut entries of size ", vector_size);
  }
  return {Type{lut.dtype, std::move(shape), {}}};
}

std::vector<Type> constexpr_sparse_to_dense(const InferenceContext& context) {
  const Type& data = context.type("nonzero_data");
  const Shape& mask_shape = context.type("mask").shape;
  if (data.shape.size() != 1) {
    context.fail("expected nonzero_data of rank 1, got ", shape_to_string(data.shape));
  }
  if (const Literal* mask = context.constant("mask")) {
    // Padding bits after the last element are not ours to trust.
    int64_t ones = 0;
    for (double bit : mask->numbers()) ones += bit != 0;
    if (ones != data.shape[0]) {
      context.fail("expected as many nonzero_data as ones in mask, got ", data.shape[0], " and ",
                   ones);
    }
  }
  return {Type{data.dtype, mask_shape, {}}};
}

std::vector<Type> constexpr_cast(const InferenceContext& context) {
  const std::string& dtype = context.string("output_dtype");
  if (dtype != "fp32") context.fail("expected output_dtype fp32, got '", dtype, "'");
  return {Type{DataType::fp32, context.type("source_val").shape, {}}};
}

std::vector<Type> tensor_buffer_to_tensor(const InferenceContext& context) {
  Type type = context.type("input");
  if (!type.buffer) context.fail("expected a tensor_buffer, got ", type_to_string(type));
  type.buffer.reset();
  return {type};
}

std::vector<Type> tensor_to_tensor_buffer(const InferenceContext& context) {
  Type type = context.type("input");
  if (type.buffer) context.fail("expected a tensor, got ", type_to_string(type));
  type.buffer = BufferLayout{context.integers("strides"), context.integers("interleave_factors")};
  return {type};
}

} // namespace anet::mil::ops

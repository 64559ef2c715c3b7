// Type inference of every op, by family. Each function may rely on what infer() checked before:
// required arguments are present, element types are in their sets, constants are constants.
#pragma once

#include "mil/op_table.h"

namespace anet::mil::ops {

// elementwise.cpp
std::vector<Type> same_as_x(const InferenceContext& context);
std::vector<Type> clip(const InferenceContext& context);
std::vector<Type> gelu(const InferenceContext& context);
std::vector<Type> cast(const InferenceContext& context);
std::vector<Type> binary(const InferenceContext& context);
std::vector<Type> comparison(const InferenceContext& context);
std::vector<Type> select(const InferenceContext& context);

// linear.cpp
std::vector<Type> matmul(const InferenceContext& context);
std::vector<Type> linear(const InferenceContext& context);
std::vector<Type> conv(const InferenceContext& context);
std::vector<Type> conv_transpose(const InferenceContext& context);
std::vector<Type> scaled_dot_product_attention(const InferenceContext& context);
std::optional<Literal> linear_bias_default(const InferenceContext& context);
std::optional<Literal> spatial_ones(const InferenceContext& context);
std::optional<Literal> spatial_pad_zeros(const InferenceContext& context);

// reduction.cpp
std::vector<Type> softmax(const InferenceContext& context);
std::vector<Type> layer_norm(const InferenceContext& context);
std::vector<Type> l2_norm(const InferenceContext& context);
std::vector<Type> reduce(const InferenceContext& context);
std::vector<Type> reduce_arg(const InferenceContext& context);
std::vector<Type> cumsum(const InferenceContext& context);
std::optional<Literal> every_axis(const InferenceContext& context);

// shape.cpp
std::vector<Type> reshape(const InferenceContext& context);
std::vector<Type> transpose(const InferenceContext& context);
std::vector<Type> expand_dims(const InferenceContext& context);
std::vector<Type> squeeze(const InferenceContext& context);
std::vector<Type> concat(const InferenceContext& context);
std::vector<Type> split(const InferenceContext& context);
std::vector<Type> stack(const InferenceContext& context);
std::vector<Type> tile(const InferenceContext& context);
std::vector<Type> pad(const InferenceContext& context);
std::vector<Type> reverse(const InferenceContext& context);

// slice.cpp
std::vector<Type> slice_by_size(const InferenceContext& context);
std::vector<Type> slice_by_index(const InferenceContext& context);
std::vector<Type> slice_update(const InferenceContext& context);
std::optional<Literal> unit_strides(const InferenceContext& context);
std::optional<Literal> unset_mask(const InferenceContext& context);

// gather.cpp
std::vector<Type> gather(const InferenceContext& context);
std::vector<Type> gather_along_axis(const InferenceContext& context);
std::vector<Type> scatter(const InferenceContext& context);
std::vector<Type> scatter_along_axis(const InferenceContext& context);
std::vector<Type> one_hot(const InferenceContext& context);

// constant.cpp
std::vector<Type> constant(const InferenceContext& context);
std::vector<Type> quantize(const InferenceContext& context);
std::vector<Type> dequantize(const InferenceContext& context);
std::vector<Type> constexpr_affine_dequantize(const InferenceContext& context);
std::vector<Type> constexpr_blockwise_shift_scale(const InferenceContext& context);
std::vector<Type> constexpr_lut_to_dense(const InferenceContext& context);
std::vector<Type> constexpr_sparse_to_dense(const InferenceContext& context);
std::vector<Type> constexpr_cast(const InferenceContext& context);
std::vector<Type> tensor_buffer_to_tensor(const InferenceContext& context);
std::vector<Type> tensor_to_tensor_buffer(const InferenceContext& context);

} // namespace anet::mil::ops

// Tensor descriptions of the C ABI and layouts of the library.
#pragma once

#include "backend/backend.h"

#include <ane_train.h>

#include <cstddef>

namespace anet::capi {

// ANET_DTYPE_UNDEFINED for types that the C ABI has no name for (int4, string, ...).
anet_dtype dtype_of(mil::DataType dtype);

// Throws type_mismatch, shape_mismatch; `desc` was read by read_struct.
backend::Layout layout_of(const anet_tensor_desc& desc);
anet_tensor_desc desc_of(const backend::Layout& layout);
// Contiguous.
anet_tensor_desc desc_of(const mil::Type& type);

// Elements times element size: what a dense copy has.
size_t dense_bytes(const backend::Layout& layout);
void copy_from_dense(const std::byte* dense, std::byte* strided, const backend::Layout& layout);
void copy_to_dense(const std::byte* strided, std::byte* dense, const backend::Layout& layout);

} // namespace anet::capi

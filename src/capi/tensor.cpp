#include "capi/tensor.h"

#include "base/status.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace anet::capi {

namespace {

using backend::Layout;
using mil::DataType;

struct DtypeEntry {
  anet_dtype number;
  DataType dtype;
  size_t size;
};

constexpr std::array<DtypeEntry, 12> dtypes = {{
    {ANET_DTYPE_BOOL, DataType::boolean, 1},
    {ANET_DTYPE_INT8, DataType::int8, 1},
    {ANET_DTYPE_UINT8, DataType::uint8, 1},
    {ANET_DTYPE_INT16, DataType::int16, 2},
    {ANET_DTYPE_UINT16, DataType::uint16, 2},
    {ANET_DTYPE_INT32, DataType::int32, 4},
    {ANET_DTYPE_UINT32, DataType::uint32, 4},
    {ANET_DTYPE_INT64, DataType::int64, 8},
    {ANET_DTYPE_UINT64, DataType::uint64, 8},
    {ANET_DTYPE_FP16, DataType::fp16, 2},
    {ANET_DTYPE_BF16, DataType::bf16, 2},
    {ANET_DTYPE_FP32, DataType::fp32, 4},
}};

const DtypeEntry* find_dtype(anet_dtype number) {
  const auto found = std::find_if(dtypes.begin(), dtypes.end(),
                                  [&](const DtypeEntry& entry) { return entry.number == number; });
  return found == dtypes.end() ? nullptr : &*found;
}

// Bounds every product below, so that none of them overflows.
constexpr int64_t max_span = int64_t{1} << 52;

// From the innermost axis outwards, each stride must step over all that the inner axes cover.
std::vector<int64_t> checked_strides(const anet_tensor_desc& desc, const mil::Shape& shape,
                                     int64_t element) {
  std::vector<int64_t> strides(desc.strides, desc.strides + desc.rank);
  int64_t covered = element;
  for (size_t axis = shape.size(); axis-- > 0;) {
    const int64_t stride = strides[axis];
    const bool innermost = axis + 1 == shape.size();
    if (stride < covered || stride % element != 0 || (innermost && stride != element))
      fail(Status::shape_mismatch, "expected a stride of ", innermost ? "" : "at least ", covered,
           " bytes", innermost ? "" : " in whole elements", " along axis ", axis, ", seen ",
           stride);
    if (stride > max_span / shape[axis])
      fail(Status::shape_mismatch, "expected a tensor of at most ", max_span,
           " bytes, seen a stride of ", stride, " along axis ", axis, " of ", shape[axis]);
    covered = stride * shape[axis];
  }
  return strides;
}

// Calls copy(dense offset, strided offset, bytes) for each contiguous run of elements.
template <typename Copy>
void for_each_run(const Layout& layout, Copy&& copy) {
  const size_t total = dense_bytes(layout);
  if (layout.is_contiguous()) {
    copy(size_t{0}, int64_t{0}, total);
    return;
  }
  const size_t outer_axes = layout.shape.size() - 1;
  const size_t run = total / static_cast<size_t>(mil::element_count(layout.shape)) *
                     static_cast<size_t>(layout.shape.back());
  std::vector<int64_t> index(outer_axes, 0);
  for (size_t dense = 0; dense < total; dense += run) {
    int64_t strided = 0;
    for (size_t axis = 0; axis < outer_axes; ++axis) strided += index[axis] * layout.strides[axis];
    copy(dense, strided, run);
    for (size_t axis = outer_axes; axis-- > 0;) {
      if (++index[axis] < layout.shape[axis]) break;
      index[axis] = 0;
    }
  }
}

} // namespace

anet_dtype dtype_of(DataType dtype) {
  for (const DtypeEntry& entry : dtypes)
    if (entry.dtype == dtype) return entry.number;
  return ANET_DTYPE_UNDEFINED;
}

Layout layout_of(const anet_tensor_desc& desc) {
  const DtypeEntry* dtype = find_dtype(desc.dtype);
  if (dtype == nullptr)
    fail(Status::type_mismatch, "expected a dtype between 1 and ", dtypes.size(), ", seen ",
         desc.dtype);
  if (desc.rank > ANET_MAX_RANK)
    fail(Status::shape_mismatch, "expected a rank of at most ", ANET_MAX_RANK, ", seen ",
         desc.rank);
  mil::Shape shape(desc.shape, desc.shape + desc.rank);
  for (size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] < 1)
      fail(Status::shape_mismatch, "expected an extent of at least 1 along axis ", axis, ", seen ",
           shape[axis]);
  if (!mil::checked_element_count(shape))
    fail(Status::shape_mismatch, "expected at most ", mil::max_elements, " elements, seen shape ",
         mil::shape_to_string(shape));
  const bool contiguous = std::all_of(desc.strides, desc.strides + desc.rank,
                                      [](int64_t stride) { return stride == 0; });
  if (contiguous) return Layout::contiguous(dtype->dtype, std::move(shape));
  Layout layout{dtype->dtype, shape, {}};
  layout.strides = checked_strides(desc, shape, static_cast<int64_t>(dtype->size));
  return layout;
}

anet_tensor_desc desc_of(const Layout& layout) {
  anet_tensor_desc desc{};
  desc.struct_size = sizeof(desc);
  desc.dtype = dtype_of(layout.dtype);
  desc.rank = static_cast<uint32_t>(layout.shape.size());
  std::copy(layout.shape.begin(), layout.shape.end(), desc.shape);
  std::copy(layout.strides.begin(), layout.strides.end(), desc.strides);
  return desc;
}

anet_tensor_desc desc_of(const mil::Type& type) {
  return desc_of(Layout::contiguous(type.dtype, type.shape));
}

size_t dense_bytes(const Layout& layout) {
  const auto elements = static_cast<size_t>(mil::element_count(layout.shape));
  return elements * anet_dtype_size(dtype_of(layout.dtype));
}

void copy_from_dense(const std::byte* dense, std::byte* strided, const Layout& layout) {
  for_each_run(layout, [&](size_t from, int64_t to, size_t bytes) {
    std::memcpy(strided + to, dense + from, bytes);
  });
}

void copy_to_dense(const std::byte* strided, std::byte* dense, const Layout& layout) {
  for_each_run(layout, [&](size_t to, int64_t from, size_t bytes) {
    std::memcpy(dense + to, strided + from, bytes);
  });
}

} // namespace anet::capi

size_t anet_dtype_size(anet_dtype dtype) {
  const auto* entry = anet::capi::find_dtype(dtype);
  return entry == nullptr ? 0 : entry->size;
}

const char* anet_dtype_name(anet_dtype dtype) {
  const auto* entry = anet::capi::find_dtype(dtype);
  return entry == nullptr ? "undefined" : anet::mil::data_type_name(entry->dtype);
}

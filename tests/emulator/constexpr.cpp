// Quantized constants (ane-facts.md 3.4): their types, and the dense values they stand for.
#include "arithmetic.h"
#include "op_rules.h"
#include "rules.h"

#include <algorithm>

namespace emulator {

using anet::mil::type_to_string;

namespace infer {

std::vector<Type> affine_dequantize(const Call& call) {
  const Type& data = call.type("quantized_data");
  const Type& scale = call.type("scale");
  if (data.dtype != DataType::int8 && data.dtype != DataType::uint8)
    call.fail("quantized_data is ", type_to_string(data));
  const size_t axis = call.axis(call.integer("axis"), data.shape.size());
  for (const char* argument : {"scale", "zero_point"}) {
    const Shape& shape = call.shape(argument);
    if (!shape.empty() && shape != Shape{data.shape[axis]}) {
      call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
                ", expected a scalar or rank 1");
    }
  }
  if (call.type("zero_point").dtype != data.dtype || !anet::mil::is_floating(scale.dtype)) {
    call.fail("scale or zero_point has the wrong element type");
  }
  return {{.dtype = scale.dtype, .shape = data.shape}};
}

std::vector<Type> blockwise_shift_scale(const Call& call) {
  const Type& data = call.type("data");
  const Type& scale = call.type("scale");
  const bool integers = data.dtype == DataType::int8 || data.dtype == DataType::uint8 ||
                        data.dtype == DataType::int4 || data.dtype == DataType::uint4;
  if (!integers || !anet::mil::is_floating(scale.dtype))
    call.fail("data is ", type_to_string(data));
  if (scale.shape.size() != data.shape.size()) call.fail("scale has another rank than data");
  for (size_t i = 0; i < data.shape.size(); ++i) {
    if (data.shape[i] % scale.shape[i] != 0)
      call.fail("blocks of ", type_to_string(scale), " do not divide ", type_to_string(data));
    // Only per-output-channel scales are seen to run (3.4).
    if (i > 0 && scale.shape[i] != 1)
      call.fail_chip("scale ", type_to_string(scale), " is not one a channel");
  }
  if (call.has("offset") &&
      (call.shape("offset") != scale.shape || call.type("offset").dtype != data.dtype)) {
    call.fail("offset is ", type_to_string(call.type("offset")));
  }
  return {{.dtype = scale.dtype, .shape = data.shape}};
}

namespace {

std::optional<int> index_bits(DataType dtype) {
  switch (dtype) {
  case DataType::uint1:
    return 1;
  case DataType::uint2:
    return 2;
  case DataType::uint3:
    return 3;
  case DataType::uint4:
    return 4;
  case DataType::uint6:
    return 6;
  case DataType::uint8:
    return 8;
  default:
    return std::nullopt;
  }
}

// ios16 packs the indices into bytes and gives the shape; ios18 has typed indices.
Type old_lut_type(const Call& call) {
  const Type& lut = call.type("lut");
  if (lut.shape.size() != 1) call.fail("lut is ", type_to_string(lut), ", expected rank 1");
  return {.dtype = lut.dtype, .shape = call.integers("shape")};
}

} // namespace

std::vector<Type> lut_to_dense(const Call& call) {
  const Type& lut = call.type("lut");
  if (!anet::mil::is_floating(lut.dtype)) call.fail("lut is ", type_to_string(lut));
  if (call.has("shape")) return {old_lut_type(call)};
  const Type& indices = call.type("indices");
  const auto bits = index_bits(indices.dtype);
  if (!bits) call.fail("indices are ", type_to_string(indices));
  // [groups..., entries, vector]: a group for each block of the weight.
  const size_t rank = indices.shape.size();
  if (lut.shape.size() != rank + 2 || lut.shape[rank] != int64_t{1} << *bits) {
    call.fail("lut is ", type_to_string(lut), " for ", type_to_string(indices));
  }
  if (lut.shape.back() != 1 || call.has("vector_axis"))
    call.fail_chip("vector palettes are not seen to run");
  for (size_t i = 0; i < rank; ++i) {
    if (indices.shape[i] % lut.shape[i] != 0)
      call.fail("groups of ", type_to_string(lut), " do not divide ", type_to_string(indices));
  }
  return {{.dtype = lut.dtype, .shape = indices.shape}};
}

std::vector<Type> sparse_to_dense(const Call& call) {
  const Type& mask = call.type("mask");
  const DataType dtype = call.type("nonzero_data").dtype;
  if (call.has("shape")) return {{.dtype = dtype, .shape = call.integers("shape")}};
  if (mask.dtype != DataType::uint1)
    call.fail("mask is ", type_to_string(mask), ", expected uint1");
  return {{.dtype = dtype, .shape = mask.shape}};
}

} // namespace infer

namespace {

// The index of the block that element `index` of `shape` falls in, where `blocks` counts blocks.
size_t block_index(int64_t index, const Shape& shape, const Shape& blocks) {
  int64_t result = 0;
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    const int64_t position = index % shape[i];
    index /= shape[i];
    result += position / (shape[i] / blocks[i]) * stride;
    stride *= blocks[i];
  }
  return static_cast<size_t>(result);
}

void fold_affine(const Call& call, Constant& result) {
  const Constant& data = *call.constant("quantized_data");
  const Constant& scale = *call.constant("scale");
  const Constant& zero = *call.constant("zero_point");
  const Shape& shape = data.type.shape;
  const size_t axis = call.axis(call.integer("axis"), shape.size());
  Shape blocks(shape.size(), 1);
  blocks[axis] = shape[axis];
  for (size_t i = 0; i < data.values.size(); ++i) {
    const size_t channel = block_index(static_cast<int64_t>(i), shape, blocks);
    const float shift = zero.values[zero.values.size() == 1 ? 0 : channel];
    const float factor = scale.values[scale.values.size() == 1 ? 0 : channel];
    result.values.push_back(round_half((data.values[i] - shift) * factor));
  }
}

void fold_blockwise(const Call& call, Constant& result) {
  const Constant& data = *call.constant("data");
  const Constant& scale = *call.constant("scale");
  const Constant* offset = call.has("offset") ? call.constant("offset") : nullptr;
  for (size_t i = 0; i < data.values.size(); ++i) {
    const size_t block = block_index(static_cast<int64_t>(i), data.type.shape, scale.type.shape);
    const float shift = offset == nullptr ? 0 : offset->values[block];
    result.values.push_back(round_half((data.values[i] - shift) * scale.values[block]));
  }
}

void fold_lut(const Call& call, Constant& result) {
  const Constant& indices = *call.constant("indices");
  const Constant& lut = *call.constant("lut");
  const auto count = static_cast<size_t>(result.type.elements());
  if (call.has("shape")) {
    int bits = 0;
    while (size_t{1} << bits < lut.values.size()) ++bits;
    for (size_t i = 0; i < count; ++i) {
      size_t index = 0;
      for (int bit = 0; bit < bits; ++bit) {
        const size_t at = i * static_cast<size_t>(bits) + static_cast<size_t>(bit);
        if (at / 8 >= indices.integers.size()) call.fail("indices are too short");
        index |= static_cast<size_t>(indices.integers[at / 8] >> (at % 8) & 1) << bit;
      }
      if (index >= lut.values.size()) call.fail("an index is outside the lut");
      result.values.push_back(lut.values[index]);
    }
    return;
  }
  const Shape groups(lut.type.shape.begin(), lut.type.shape.end() - 2);
  const auto entries = static_cast<size_t>(lut.type.shape[groups.size()]);
  for (size_t i = 0; i < count; ++i) {
    const size_t group = block_index(static_cast<int64_t>(i), indices.type.shape, groups);
    result.values.push_back(lut.values[group * entries + static_cast<size_t>(indices.integers[i])]);
  }
}

void fold_sparse(const Call& call, Constant& result) {
  const Constant& data = *call.constant("nonzero_data");
  const Constant& mask = *call.constant("mask");
  const bool packed = call.has("shape");
  size_t next = 0;
  for (int64_t i = 0; i < result.type.elements(); ++i) {
    const auto at = static_cast<size_t>(packed ? i / 8 : i);
    if (at >= mask.integers.size()) call.fail("mask is too short");
    const bool present = packed ? (mask.integers[at] >> (i % 8) & 1) != 0 : mask.integers[at] != 0;
    if (present && next == data.values.size()) call.fail("nonzero_data is too short");
    result.values.push_back(present ? data.values[next++] : 0);
  }
  if (next != data.values.size())
    call.fail("nonzero_data has ", data.values.size(), " values, the mask ", next);
}

} // namespace

ConstantPointer fold_constexpr(const Call& call, const Type& type) {
  const std::string& name = call.op().name;
  if (!name.starts_with("constexpr_")) return nullptr;
  auto result = std::make_shared<Constant>();
  result->type = type;
  result->values.reserve(static_cast<size_t>(type.elements()));
  if (name == "constexpr_affine_dequantize") fold_affine(call, *result);
  if (name == "constexpr_blockwise_shift_scale") fold_blockwise(call, *result);
  if (name == "constexpr_lut_to_dense") fold_lut(call, *result);
  if (name == "constexpr_sparse_to_dense") fold_sparse(call, *result);
  return result;
}

} // namespace emulator

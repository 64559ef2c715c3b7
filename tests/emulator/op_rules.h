// The compiler's operations: arguments (ane-facts.md appendix B), chips (4.3), result types.
#pragma once

#include "checked.h"

#include <string_view>
#include <vector>

namespace emulator {

enum class Chips { all, m2, m3, none };

using InferTypes = std::vector<Type> (*)(const Call& call);

struct ArgumentRule {
  std::string name;
  bool optional = false;
  bool constant = false;
  int opset = 15; // that introduced it
};

struct OpRule {
  const char* name;
  int opset; // that introduced it
  Chips chips;
  std::vector<ArgumentRule> arguments;
  InferTypes infer; // nullptr: types come from the reference interpreter's table (fallback.h)

  const ArgumentRule* argument(std::string_view argument) const;
};

const OpRule* find_rule(std::string_view name);

// Families of inference functions.
namespace infer {
std::vector<Type> same_as_x(const Call& call);
std::vector<Type> binary(const Call& call);
std::vector<Type> comparison(const Call& call);
std::vector<Type> select(const Call& call);
std::vector<Type> clip(const Call& call);
std::vector<Type> softmax(const Call& call);
std::vector<Type> cast(const Call& call);
std::vector<Type> quantize(const Call& call);
std::vector<Type> dequantize(const Call& call);
std::vector<Type> matmul(const Call& call);
std::vector<Type> linear(const Call& call);
std::vector<Type> conv(const Call& call);
std::vector<Type> attention(const Call& call);
std::vector<Type> reduce(const Call& call);
std::vector<Type> reduce_arg(const Call& call);
std::vector<Type> layer_norm(const Call& call);
std::vector<Type> batch_norm(const Call& call);
std::vector<Type> reshape(const Call& call);
std::vector<Type> expand_dims(const Call& call);
std::vector<Type> squeeze(const Call& call);
std::vector<Type> transpose(const Call& call);
std::vector<Type> concat(const Call& call);
std::vector<Type> stack(const Call& call);
std::vector<Type> split(const Call& call);
std::vector<Type> slice_by_index(const Call& call);
std::vector<Type> slice_by_size(const Call& call);
std::vector<Type> slice_update(const Call& call);
std::vector<Type> tile(const Call& call);
std::vector<Type> pad(const Call& call);
std::vector<Type> reverse(const Call& call);
std::vector<Type> gather(const Call& call);
std::vector<Type> gather_along_axis(const Call& call);
std::vector<Type> fill(const Call& call);
std::vector<Type> fill_like(const Call& call);
std::vector<Type> buffer_to_tensor(const Call& call);
std::vector<Type> tensor_to_buffer(const Call& call);
std::vector<Type> affine_dequantize(const Call& call);
std::vector<Type> blockwise_shift_scale(const Call& call);
std::vector<Type> lut_to_dense(const Call& call);
std::vector<Type> sparse_to_dense(const Call& call);
} // namespace infer

// begin, extent and step of each axis of slice_by_index; extents are those before squeezing.
struct SliceRange {
  int64_t begin;
  int64_t extent;
  int64_t step;
  bool squeezed;
};
std::vector<SliceRange> slice_ranges(const Call& call, const Shape& shape);

// Shapes that broadcast, NumPy's way.
std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b);

// The sizes along the axis that split cuts to.
std::vector<int64_t> split_extents(const Call& call);

// [top, bottom, left, right] of a convolution's padding.
std::vector<int64_t> conv_padding(const Call& call);

} // namespace emulator

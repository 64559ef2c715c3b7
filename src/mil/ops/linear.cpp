#include "mil/ops/inference.h"

#include <algorithm>

namespace anet::mil::ops {

namespace {

void swap_last_two(Shape& shape) { std::swap(shape[shape.size() - 1], shape[shape.size() - 2]); }

// Operands of different types compute in the type of the one that is not constant (iOS17).
DataType matmul_type(const InferenceContext& context) {
  const DataType x = context.type("x").dtype;
  const DataType y = context.type("y").dtype;
  const bool x_constant = context.is_constant("x");
  if (x_constant != context.is_constant("y")) return x_constant ? y : x;
  if (x != y) {
    context.fail("expected x and y of one type, got ", data_type_name(x), " and ",
                 data_type_name(y));
  }
  return x;
}

size_t spatial_rank(const InferenceContext& context) {
  const size_t rank = context.type("x").shape.size();
  if (rank < 3) {
    context.fail("expected x of rank 3 or more: [n, channels, spatial...], got ",
                 shape_to_string(context.type("x").shape));
  }
  return rank - 2;
}

struct Window {
  std::vector<int64_t> strides, dilations, pad;
  int64_t groups;
  std::string pad_type;
};

std::vector<int64_t> window_values(const InferenceContext& context, std::string_view argument,
                                   size_t size, int64_t fallback, int64_t least) {
  std::vector<int64_t> values = context.integers(argument, std::vector<int64_t>(size, fallback));
  const bool valid =
      std::all_of(values.begin(), values.end(), [least](int64_t value) { return value >= least; });
  if (values.size() != size || !valid) {
    context.fail("expected ", size, " values of at least ", least, " for ", argument, ", got ",
                 shape_to_string(values));
  }
  return values;
}

Window window(const InferenceContext& context) {
  const size_t spatial = spatial_rank(context);
  const Shape& weight = context.type("weight").shape;
  if (weight.size() != spatial + 2) {
    context.fail("expected weight of rank ", spatial + 2, ", got ", shape_to_string(weight));
  }
  Window window;
  window.strides = window_values(context, "strides", spatial, 1, 1);
  window.dilations = window_values(context, "dilations", spatial, 1, 1);
  window.pad_type = context.string("pad_type");
  window.pad = window_values(context, "pad", 2 * spatial, 0, 0);
  if (window.pad_type != "custom") std::fill(window.pad.begin(), window.pad.end(), 0);
  window.groups = context.integer("groups");
  if (window.groups < 1) context.fail("expected groups of at least 1, got ", window.groups);
  return window;
}

void check_bias(const InferenceContext& context, int64_t channels) {
  if (!context.has("bias")) return;
  const Shape& bias = context.type("bias").shape;
  if (bias != Shape{channels}) {
    context.fail("expected bias of shape [", channels, "], got ", shape_to_string(bias));
  }
}

int64_t dilated(int64_t kernel, int64_t dilation) { return (kernel - 1) * dilation + 1; }

int64_t conv_extent(const InferenceContext& context, const Window& window, size_t axis,
                    int64_t extent, int64_t kernel) {
  const int64_t stride = window.strides[axis];
  if (window.pad_type == "same" || window.pad_type == "same_lower") {
    return (extent + stride - 1) / stride;
  }
  if (window.pad_type != "valid" && window.pad_type != "custom") {
    context.fail("expected pad_type valid, same, same_lower or custom, got '", window.pad_type,
                 "'");
  }
  const int64_t padded = extent + window.pad[2 * axis] + window.pad[2 * axis + 1];
  const int64_t reach = dilated(kernel, window.dilations[axis]);
  if (padded < reach) {
    context.fail("expected a padded extent of at least ", reach, " on spatial axis ", axis,
                 ", got ", padded);
  }
  return (padded - reach) / stride + 1;
}

int64_t conv_transpose_extent(const InferenceContext& context, const Window& window, size_t axis,
                              int64_t extent, int64_t kernel) {
  const int64_t stride = window.strides[axis];
  if (window.pad_type == "same") return stride * extent;
  if (window.pad_type != "valid" && window.pad_type != "custom") {
    context.fail("expected pad_type valid, same or custom, got '", window.pad_type, "'");
  }
  return stride * (extent - 1) + dilated(kernel, window.dilations[axis]) - window.pad[2 * axis] -
         window.pad[2 * axis + 1];
}

} // namespace

std::vector<Type> matmul(const InferenceContext& context) {
  const Shape& declared_x = context.type("x").shape;
  const Shape& declared_y = context.type("y").shape;
  const bool transpose_x = context.boolean("transpose_x");
  const bool transpose_y = context.boolean("transpose_y");
  if (declared_x.empty() || declared_y.size() < 2 || (declared_x.size() == 1 && transpose_x)) {
    context.fail("expected x of rank 1 (without transpose_x) or more and y of rank 2 or more, got ",
                 shape_to_string(declared_x), " and ", shape_to_string(declared_y));
  }
  Shape x = declared_x;
  Shape y = declared_y;
  if (transpose_x) swap_last_two(x);
  if (transpose_y) swap_last_two(y);
  if (x.back() != y[y.size() - 2]) {
    context.fail("expected equal inner extents, got x ", shape_to_string(declared_x),
                 transpose_x ? " transposed" : "", " and y ", shape_to_string(declared_y),
                 transpose_y ? " transposed" : "");
  }
  const bool vector = x.size() == 1;
  if (vector) x.insert(x.begin(), 1);
  std::optional<Shape> shape =
      broadcast(Shape(x.begin(), x.end() - 2), Shape(y.begin(), y.end() - 2));
  if (!shape) {
    context.fail("expected leading axes that broadcast, got ", shape_to_string(declared_x), " and ",
                 shape_to_string(declared_y));
  }
  if (!vector) shape->push_back(x[x.size() - 2]);
  shape->push_back(y.back());
  return {Type{matmul_type(context), *std::move(shape), {}}};
}

std::vector<Type> linear(const InferenceContext& context) {
  const Type& x = context.type("x");
  const Shape& weight = context.type("weight").shape;
  if (weight.size() != 2 || x.shape.empty() || x.shape.back() != weight[1]) {
    context.fail("expected x [..., in] and weight [out, in], got ", shape_to_string(x.shape),
                 " and ", shape_to_string(weight));
  }
  check_bias(context, weight[0]);
  Shape shape = x.shape;
  shape.back() = weight[0];
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> conv(const InferenceContext& context) {
  const Window conv_window = window(context);
  const Type& x = context.type("x");
  const Shape& weight = context.type("weight").shape;
  if (x.shape[1] % conv_window.groups != 0 || x.shape[1] / conv_window.groups != weight[1] ||
      weight[0] % conv_window.groups != 0) {
    context.fail("expected x [n, in, ...] and weight [out, in / groups, ...] with groups ",
                 conv_window.groups, ", got ", shape_to_string(x.shape), " and ",
                 shape_to_string(weight));
  }
  check_bias(context, weight[0]);
  Shape shape{x.shape[0], weight[0]};
  for (size_t axis = 0; axis + 2 < x.shape.size(); ++axis) {
    shape.push_back(conv_extent(context, conv_window, axis, x.shape[axis + 2], weight[axis + 2]));
  }
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> conv_transpose(const InferenceContext& context) {
  const Window conv_window = window(context);
  const Type& x = context.type("x");
  const Shape& weight = context.type("weight").shape;
  if (x.shape[1] != weight[0] || x.shape[1] % conv_window.groups != 0) {
    context.fail("expected x [n, in, ...] and weight [in, out / groups, ...] with groups ",
                 conv_window.groups, ", got ", shape_to_string(x.shape), " and ",
                 shape_to_string(weight));
  }
  const int64_t channels = weight[1] * conv_window.groups;
  check_bias(context, channels);
  Shape shape{x.shape[0], channels};
  for (size_t axis = 0; axis + 2 < x.shape.size(); ++axis) {
    shape.push_back(
        conv_transpose_extent(context, conv_window, axis, x.shape[axis + 2], weight[axis + 2]));
  }
  if (context.has("output_shape")) {
    const Shape output = context.integers("output_shape");
    if (output.size() != shape.size() || output[0] != shape[0] || output[1] != shape[1]) {
      context.fail("expected output_shape [", shape[0], ", ", shape[1], ", spatial...], got ",
                   shape_to_string(output));
    }
    shape = output;
  }
  return {Type{x.dtype, std::move(shape), {}}};
}

std::vector<Type> scaled_dot_product_attention(const InferenceContext& context) {
  const Type& query = context.type("query");
  const Shape& q = query.shape;
  const Shape& k = context.type("key").shape;
  const Shape& v = context.type("value").shape;
  const size_t rank = q.size();
  const bool shapes_fit = rank >= 3 && k.size() == rank && v.size() == rank &&
                          std::equal(q.begin(), q.end() - 2, k.begin()) &&
                          std::equal(q.begin(), q.end() - 2, v.begin()) && q.back() == k.back() &&
                          k[rank - 2] == v[rank - 2];
  if (!shapes_fit) {
    context.fail("expected query [b..., s, e], key [b..., t, e] and value [b..., t, f], got ",
                 shape_to_string(q), ", ", shape_to_string(k), " and ", shape_to_string(v));
  }
  if (context.has("attn_mask")) {
    Shape scores(q.begin(), q.end() - 1);
    scores.push_back(k[rank - 2]);
    const Shape& mask = context.type("attn_mask").shape;
    if (mask.empty() || mask.back() != scores.back() || broadcast(mask, scores) != scores) {
      context.fail("expected attn_mask that broadcasts to ", shape_to_string(scores), ", got ",
                   shape_to_string(mask));
    }
  }
  Shape shape(q.begin(), q.end() - 1);
  shape.push_back(v.back());
  return {Type{query.dtype, std::move(shape), {}}};
}

std::optional<Literal> linear_bias_default(const InferenceContext& context) {
  const Type& weight = context.type("weight");
  if (weight.shape.size() != 2)
    context.fail("expected weight of rank 2, got ", shape_to_string(weight.shape));
  return Literal::fill({weight.dtype, {weight.shape[0]}, {}}, 0);
}

std::optional<Literal> spatial_ones(const InferenceContext& context) {
  const auto count = static_cast<int64_t>(spatial_rank(context));
  return Literal::fill({DataType::int32, {count}, {}}, 1);
}

std::optional<Literal> spatial_pad_zeros(const InferenceContext& context) {
  const auto count = static_cast<int64_t>(2 * spatial_rank(context));
  return Literal::fill({DataType::int32, {count}, {}}, 0);
}

} // namespace anet::mil::ops

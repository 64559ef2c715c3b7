#include "op_rules.h"

#include <algorithm>

namespace emulator {

using anet::mil::is_floating;
using anet::mil::shape_to_string;
using anet::mil::type_to_string;

namespace infer {

namespace {

void require_one_type(const Call& call, std::initializer_list<const char*> arguments) {
  const DataType dtype = call.type(*arguments.begin()).dtype;
  for (const char* argument : arguments) {
    const DataType other = call.type(argument).dtype;
    if (!is_floating(other) || other != dtype) {
      call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
                ", expected the floating type of ", *arguments.begin());
    }
  }
}

} // namespace

std::vector<Type> matmul(const Call& call) {
  require_one_type(call, {"x", "y"});
  Shape x = call.shape("x");
  Shape y = call.shape("y");
  if (x.empty() || y.empty()) call.fail("an operand is a scalar");
  // NumPy: a vector on the left is a row, on the right a column.
  const bool row = x.size() == 1;
  const bool column = y.size() == 1;
  if (row) x.insert(x.begin(), 1);
  if (column) y.push_back(1);
  if (call.boolean("transpose_x") && !row) std::swap(x[x.size() - 1], x[x.size() - 2]);
  if (call.boolean("transpose_y") && !column) std::swap(y[y.size() - 1], y[y.size() - 2]);
  if (x.back() != y[y.size() - 2]) {
    call.fail("inner extents ", x.back(), " and ", y[y.size() - 2], " differ");
  }
  const auto batch = broadcast_shapes(Shape(x.begin(), x.end() - 2), Shape(y.begin(), y.end() - 2));
  if (!batch)
    call.fail("leading axes of ", shape_to_string(x), " and ", shape_to_string(y),
              " do not broadcast");
  Shape result = *batch;
  if (!row) result.push_back(x[x.size() - 2]);
  if (!column) result.push_back(y.back());
  return {{.dtype = call.type("x").dtype, .shape = std::move(result)}};
}

std::vector<Type> linear(const Call& call) {
  require_one_type(call, {"x", "weight"});
  Shape shape = call.shape("x");
  const Shape& weight = call.shape("weight");
  if (weight.size() != 2 || shape.empty() || shape.back() != weight[1]) {
    call.fail("weight ", shape_to_string(weight), " does not fit x ", shape_to_string(shape));
  }
  if (call.has("bias")) {
    require_one_type(call, {"x", "bias"});
    if (call.shape("bias") != Shape{weight[0]})
      call.fail("bias is ", type_to_string(call.type("bias")));
  }
  shape.back() = weight[0];
  return {{.dtype = call.type("x").dtype, .shape = std::move(shape)}};
}

} // namespace infer

// "valid": none; "same": so that the extent is divided by the stride, the odd one behind; "custom".
std::vector<int64_t> conv_padding(const Call& call) {
  const std::string& kind = call.text("pad_type");
  const std::vector<int64_t> given = call.integers("pad");
  const Shape& x = call.shape("x");
  const Shape& weight = call.shape("weight");
  const size_t spatial = x.size() - 2;
  if (given.size() != 2 * spatial)
    call.fail("pad has ", given.size(), " entries, expected ", 2 * spatial);
  if (kind == "custom") return given;
  std::vector<int64_t> result(2 * spatial, 0);
  if (kind == "valid") return result;
  if (kind != "same" && kind != "same_lower") call.fail("pad_type is \"", kind, "\"");
  const std::vector<int64_t> strides = call.integers("strides");
  const std::vector<int64_t> dilations = call.integers("dilations");
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t extent = x[i + 2];
    const int64_t output = (extent + strides[i] - 1) / strides[i];
    const int64_t reach = (weight[i + 2] - 1) * dilations[i] + 1;
    const int64_t total = std::max<int64_t>(0, (output - 1) * strides[i] + reach - extent);
    const int64_t less = total / 2;
    result[2 * i] = kind == "same" ? less : total - less;
    result[2 * i + 1] = total - result[2 * i];
  }
  return result;
}

namespace infer {

std::vector<Type> conv(const Call& call) {
  require_one_type(call, {"x", "weight"});
  const Shape& x = call.shape("x");
  const Shape& weight = call.shape("weight");
  if (x.size() < 3 || x.size() > 5 || weight.size() != x.size()) {
    call.fail("x ", shape_to_string(x), " and weight ", shape_to_string(weight), " do not fit");
  }
  const size_t spatial = x.size() - 2;
  const std::vector<int64_t> strides = call.integers("strides");
  const std::vector<int64_t> dilations = call.integers("dilations");
  if (strides.size() != spatial || dilations.size() != spatial) {
    call.fail("strides and dilations need ", spatial, " entries");
  }
  const int64_t groups = call.integer("groups");
  if (groups < 1 || x[1] % groups != 0 || weight[0] % groups != 0 || weight[1] != x[1] / groups) {
    call.fail("weight ", shape_to_string(weight), " does not fit ", x[1], " channels in ", groups,
              " groups");
  }
  for (size_t i = 0; i < spatial; ++i) {
    if (strides[i] < 1 || dilations[i] < 1) call.fail("a stride or dilation is below 1");
  }
  const std::vector<int64_t> padding = conv_padding(call);
  Shape result = {x[0], weight[0]};
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t reach = (weight[i + 2] - 1) * dilations[i] + 1;
    const int64_t room = x[i + 2] + padding[2 * i] + padding[2 * i + 1] - reach;
    if (room < 0 || padding[2 * i] < 0 || padding[2 * i + 1] < 0)
      call.fail("the kernel is larger than x");
    result.push_back(room / strides[i] + 1);
  }
  if (call.has("bias") && call.shape("bias") != Shape{weight[0]}) {
    call.fail("bias is ", type_to_string(call.type("bias")));
  }
  return {{.dtype = call.type("x").dtype, .shape = std::move(result)}};
}

std::vector<Type> attention(const Call& call) {
  require_one_type(call, {"query", "key", "value"});
  const Shape& query = call.shape("query");
  const Shape& key = call.shape("key");
  const Shape& value = call.shape("value");
  const size_t rank = query.size();
  if (rank < 3 || key.size() != rank || value.size() != rank)
    call.fail("query, key and value need one rank from 3");
  const bool leading = std::equal(query.begin(), query.end() - 2, key.begin()) &&
                       std::equal(query.begin(), query.end() - 2, value.begin());
  if (!leading || query[rank - 1] != key[rank - 1] || key[rank - 2] != value[rank - 2]) {
    call.fail("query ", shape_to_string(query), ", key ", shape_to_string(key), " and value ",
              shape_to_string(value), " do not fit");
  }
  if (call.has("attn_mask")) {
    Shape scores(query.begin(), query.end() - 1);
    scores.push_back(key[rank - 2]);
    const Type& mask = call.type("attn_mask");
    if (mask.dtype != DataType::boolean && mask.dtype != call.type("query").dtype) {
      call.fail("attn_mask is ", type_to_string(mask));
    }
    if (broadcast_shapes(scores, mask.shape) != scores)
      call.fail("attn_mask does not broadcast to the scores");
  }
  Shape result(query.begin(), query.end() - 1);
  result.push_back(value[rank - 1]);
  return {{.dtype = call.type("query").dtype, .shape = std::move(result)}};
}

std::vector<Type> reduce(const Call& call) {
  const Type& x = call.type("x");
  if (!is_floating(x.dtype)) call.fail("x is ", type_to_string(x), ", expected fp16 or fp32");
  const std::vector<size_t> axes = call.axes("axes", x.shape.size());
  const bool keep = call.boolean("keep_dims");
  Shape result;
  for (size_t i = 0; i < x.shape.size(); ++i) {
    const bool reduced = std::ranges::binary_search(axes, i);
    if (!reduced) result.push_back(x.shape[i]);
    if (reduced && keep) result.push_back(1);
  }
  return {{.dtype = x.dtype, .shape = std::move(result)}};
}

std::vector<Type> reduce_arg(const Call& call) {
  const Shape& x = call.shape("x");
  const size_t axis = call.axis(call.integer("axis"), x.size());
  Shape result = x;
  if (call.boolean("keep_dims")) {
    result[axis] = 1;
  } else {
    result.erase(result.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  DataType dtype = DataType::int32;
  if (call.has("output_dtype")) {
    const std::string& name = call.text("output_dtype");
    if (name != "int32" && name != "uint16") call.fail("output_dtype is \"", name, "\"");
    if (name == "uint16") dtype = DataType::uint16;
  }
  return {{.dtype = dtype, .shape = std::move(result)}};
}

std::vector<Type> layer_norm(const Call& call) {
  const Type& x = call.type("x");
  require_one_type(call, {"x"});
  Shape normalized;
  for (const size_t axis : call.axes("axes", x.shape.size())) normalized.push_back(x.shape[axis]);
  for (const char* argument : {"gamma", "beta"}) {
    if (!call.has(argument)) continue;
    require_one_type(call, {"x", argument});
    if (call.shape(argument) != normalized) {
      call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
                ", expected shape ", shape_to_string(normalized));
    }
  }
  if (call.op().opset >= 17 && call.type("epsilon").dtype != x.dtype)
    call.fail("epsilon has another type than x");
  call.number("epsilon");
  return {x};
}

std::vector<Type> batch_norm(const Call& call) {
  const Type& x = call.type("x");
  if (x.shape.size() < 3) call.fail("x has rank ", x.shape.size(), ", expected at least 3");
  for (const char* argument : {"mean", "variance", "gamma", "beta"}) {
    if (!call.has(argument)) continue;
    require_one_type(call, {"x", argument});
    if (call.shape(argument) != Shape{x.shape[1]}) {
      call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
                ", expected one value a channel");
    }
  }
  call.number("epsilon");
  return {x};
}

} // namespace infer
} // namespace emulator

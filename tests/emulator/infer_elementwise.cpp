#include "op_rules.h"

#include <algorithm>

namespace emulator {

using anet::mil::is_floating;
using anet::mil::shape_to_string;
using anet::mil::type_to_string;

std::optional<Shape> broadcast_shapes(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  Shape result(rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t left = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t right = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (left != right && left != 1 && right != 1) return std::nullopt;
    result[rank - 1 - i] = std::max(left, right);
  }
  return result;
}

namespace infer {

namespace {

void require_floating(const Call& call, std::string_view argument) {
  if (!is_floating(call.type(argument).dtype)) {
    call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
              ", expected fp16 or fp32");
  }
}

Shape broadcast(const Call& call, std::string_view a, std::string_view b) {
  const auto shape = broadcast_shapes(call.shape(a), call.shape(b));
  if (!shape) {
    call.fail(shape_to_string(call.shape(a)), " and ", shape_to_string(call.shape(b)),
              " do not broadcast");
  }
  return *shape;
}

void require_same_dtype(const Call& call, std::string_view a, std::string_view b) {
  if (call.type(a).dtype != call.type(b).dtype) {
    call.fail("arguments ", a, " and ", b, " are ", type_to_string(call.type(a)), " and ",
              type_to_string(call.type(b)), ": expected one element type");
  }
}

// Since ios17 such arguments have the element type of x; before, floating is enough.
void check_parameter(const Call& call, std::string_view argument) {
  if (!call.has(argument)) return;
  const Type& type = call.type(argument);
  const bool agrees =
      call.op().opset >= 17 ? type.dtype == call.type("x").dtype : is_floating(type.dtype);
  if (!agrees) {
    call.fail("argument ", argument, " is ", type_to_string(type),
              ", expected the element type of x, ", type_to_string(call.type("x")));
  }
}

void check_mode(const Call& call) {
  const std::string& mode = call.text("mode");
  if (mode != "EXACT" && mode != "TANH_APPROXIMATION" && mode != "SIGMOID_APPROXIMATION") {
    call.fail("mode is \"", mode, "\"");
  }
}

std::optional<DataType> cast_target(const std::string& name) {
  for (const DataType dtype :
       {DataType::fp16, DataType::fp32, DataType::int8, DataType::uint8, DataType::int16,
        DataType::uint16, DataType::int32, DataType::boolean}) {
    if (name == anet::mil::data_type_name(dtype)) return dtype;
  }
  return std::nullopt;
}

} // namespace

std::vector<Type> same_as_x(const Call& call) {
  const std::string& name = call.op().name;
  if (name == "logical_not") {
    if (call.type("x").dtype != DataType::boolean) call.fail("x is not bool");
  } else if (name != "identity" && name != "abs" && name != "sign" && name != "square") {
    require_floating(call, "x");
  }
  if (name == "gelu") check_mode(call);
  for (const char* argument : {"epsilon", "alpha", "beta"}) {
    check_parameter(call, argument);
    const bool vector = name == "prelu" || name == "softplus_parametric";
    if (!vector && call.has(argument) && !call.type(argument).is_scalar()) {
      call.fail("argument ", argument, " is not a scalar");
    }
    if (vector && call.has(argument) &&
        (call.shape("x").size() < 2 || call.shape(argument) != Shape{call.shape("x")[1]})) {
      call.fail("argument ", argument, " is ", type_to_string(call.type(argument)),
                ", expected one value a channel");
    }
  }
  return {call.type("x")};
}

std::vector<Type> clip(const Call& call) { return same_as_x(call); }

std::vector<Type> softmax(const Call& call) {
  require_floating(call, "x");
  call.axis(call.integer("axis"), call.shape("x").size());
  if (call.has("exclusive")) {
    call.boolean("exclusive");
    call.boolean("reverse");
  }
  return {call.type("x")};
}

std::vector<Type> binary(const Call& call) {
  require_same_dtype(call, "x", "y");
  const DataType dtype = call.type("x").dtype;
  if (!is_floating(dtype) && dtype != DataType::int32) {
    call.fail("operands are ", type_to_string(call.type("x")), ", expected fp16, fp32 or int32");
  }
  return {{.dtype = dtype, .shape = broadcast(call, "x", "y")}};
}

std::vector<Type> comparison(const Call& call) {
  require_same_dtype(call, "x", "y");
  return {{.dtype = DataType::boolean, .shape = broadcast(call, "x", "y")}};
}

std::vector<Type> select(const Call& call) {
  if (call.type("cond").dtype != DataType::boolean) {
    call.fail("cond is ", type_to_string(call.type("cond")), ", expected bool");
  }
  require_same_dtype(call, "a", "b");
  const auto shape = broadcast_shapes(broadcast(call, "a", "b"), call.shape("cond"));
  if (!shape) call.fail("cond does not broadcast to a and b");
  return {{.dtype = call.type("a").dtype, .shape = *shape}};
}

std::vector<Type> cast(const Call& call) {
  const auto dtype = cast_target(call.text("dtype"));
  if (!dtype) call.fail("dtype is \"", call.text("dtype"), "\"");
  const bool narrow = *dtype == DataType::int8 || *dtype == DataType::uint8 ||
                      *dtype == DataType::int16 || *dtype == DataType::uint16;
  if (narrow && call.op().opset < 17) call.fail("dtype \"", call.text("dtype"), "\" needs ios17");
  return {{.dtype = *dtype, .shape = call.shape("x")}};
}

namespace {

// Scalar, or one value for each index along `axis`.
void check_scale(const Call& call, std::string_view argument) {
  const Shape& shape = call.shape(argument);
  if (shape.empty()) return;
  if (!call.has("axis")) call.fail("argument ", argument, " is a vector and axis is missing");
  const Shape& input = call.shape("input");
  const size_t axis = call.axis(call.integer("axis"), input.size());
  if (shape != Shape{input[axis]}) {
    call.fail("argument ", argument, " is ", type_to_string(call.type(argument)), " for extent ",
              input[axis]);
  }
}

void check_scales(const Call& call, DataType quantized) {
  check_scale(call, "scale");
  if (!is_floating(call.type("scale").dtype)) call.fail("scale is not fp16 or fp32");
  if (!call.has("zero_point")) return;
  check_scale(call, "zero_point");
  if (call.type("zero_point").dtype != quantized)
    call.fail("zero_point has another type than the integers");
}

} // namespace

std::vector<Type> quantize(const Call& call) {
  require_floating(call, "input");
  const std::string& name = call.text("output_dtype");
  if (name != "int8" && name != "uint8") call.fail("output_dtype is \"", name, "\"");
  const DataType dtype = name == "int8" ? DataType::int8 : DataType::uint8;
  check_scales(call, dtype);
  if (call.type("scale").dtype != call.type("input").dtype)
    call.fail("scale has another type than input");
  return {{.dtype = dtype, .shape = call.shape("input")}};
}

std::vector<Type> dequantize(const Call& call) {
  const DataType dtype = call.type("input").dtype;
  if (dtype != DataType::int8 && dtype != DataType::uint8) {
    call.fail("input is ", type_to_string(call.type("input")), ", expected int8 or uint8");
  }
  check_scales(call, dtype);
  return {{.dtype = call.type("scale").dtype, .shape = call.shape("input")}};
}

} // namespace infer
} // namespace emulator

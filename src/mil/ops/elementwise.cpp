#include "mil/ops/inference.h"

namespace anet::mil::ops {

namespace {

Shape broadcast_or_fail(const InferenceContext& context, const Shape& a, const Shape& b) {
  std::optional<Shape> shape = broadcast(a, b);
  if (!shape) {
    context.fail("expected shapes that broadcast, got ", shape_to_string(a), " and ",
                 shape_to_string(b));
  }
  return *std::move(shape);
}

} // namespace

std::vector<Type> same_as_x(const InferenceContext& context) { return {context.type("x")}; }

std::vector<Type> clip(const InferenceContext& context) {
  const double low = context.required_constant("alpha").number();
  const double high = context.required_constant("beta").number();
  if (!(low < high)) context.fail("expected alpha < beta, got ", low, " and ", high);
  return same_as_x(context);
}

std::vector<Type> gelu(const InferenceContext& context) {
  const std::string& mode = context.string("mode");
  if (mode != "EXACT" && mode != "TANH_APPROXIMATION" && mode != "SIGMOID_APPROXIMATION") {
    context.fail("expected mode EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION, got '", mode,
                 "'");
  }
  return same_as_x(context);
}

std::vector<Type> cast(const InferenceContext& context) {
  const std::string& name = context.string("dtype");
  const std::optional<DataType> dtype = data_type_from_name(name);
  // The types that `x` may have are those it may become.
  if (!dtype || !context.op().schema->argument("x")->types.contains(*dtype)) {
    context.fail(
        "expected dtype fp16, bf16, fp32, int8, uint8, int16, uint16, int32 or bool, got '", name,
        "'");
  }
  return {Type{*dtype, context.type("x").shape, {}}};
}

std::vector<Type> binary(const InferenceContext& context) {
  const Type& x = context.type("x");
  return {Type{x.dtype, broadcast_or_fail(context, x.shape, context.type("y").shape), {}}};
}

std::vector<Type> comparison(const InferenceContext& context) {
  std::vector<Type> types = binary(context);
  types.front().dtype = DataType::boolean;
  return types;
}

std::vector<Type> select(const InferenceContext& context) {
  const Type& a = context.type("a");
  const Shape values = broadcast_or_fail(context, a.shape, context.type("b").shape);
  return {Type{a.dtype, broadcast_or_fail(context, values, context.type("cond").shape), {}}};
}

} // namespace anet::mil::ops

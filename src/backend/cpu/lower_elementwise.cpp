#include "backend/cpu/lowering.h"

#include <cmath>

namespace anet::backend::cpu {

namespace {

// Least and greatest value of an integer type, as saturating stores need them.
PointwiseParameters integer_range(DataType dtype) {
  const int bits = mil::data_type_bits(dtype);
  const bool is_signed = mil::data_type_name(dtype)[0] == 'i';
  const double low = is_signed ? -std::ldexp(1.0, bits - 1) : 0.0;
  const double high = std::ldexp(1.0, is_signed ? bits - 1 : bits) - 1;
  return {static_cast<float>(low), static_cast<float>(high), 0};
}

void lower(Lowering& l, std::string_view kernel, std::vector<Operand> inputs,
           const PointwiseParameters& parameters = {}) {
  const Operand output = l.result_in_place(inputs);
  l.pointwise(kernel, std::move(inputs), output, parameters);
}

void plain_unary(Lowering& l) { lower(l, l.op().name(), {l.operand("x")}); }

void with_alpha(Lowering& l) {
  const Operand x = l.operand("x");
  lower(l, l.op().name(), {x}, {l.parameter("alpha", x.dtype), 0, 0});
}

void with_alpha_beta(Lowering& l) {
  const Operand x = l.operand("x");
  lower(l, l.op().name(), {x}, {l.parameter("alpha", x.dtype), l.parameter("beta", x.dtype), 0});
}

void with_epsilon(Lowering& l) {
  const Operand x = l.operand("x");
  lower(l, l.op().name(), {x}, {l.parameter("epsilon", x.dtype), 0, 0});
}

void gelu(Lowering& l) {
  const std::string mode = l.string("mode");
  const char* kernel = mode == "TANH_APPROXIMATION"      ? "gelu_tanh"
                       : mode == "SIGMOID_APPROXIMATION" ? "gelu_sigmoid"
                                                         : "gelu";
  lower(l, kernel, {l.operand("x")});
}

// Nothing moves when the type stays.
void cast(Lowering& l) {
  if (l.keep_compressed_cast()) return;
  const Operand x = l.operand("x");
  const DataType to = l.result_type().dtype;
  if (x.dtype == to) return l.bind(x);
  if (mil::is_floating(x.dtype) && mil::is_integer(to)) {
    return l.pointwise("truncate", {x}, l.result(0, &x), integer_range(to));
  }
  // A NaN that enters fp16 is read as +Inf; "identity" would take it for a result, and store 0.
  const bool enters_half = to == DataType::fp16 && mil::is_floating(x.dtype);
  l.pointwise(enters_half ? "nan_to_infinity" : "identity", {x}, l.result(0, &x));
}

void binary(Lowering& l) { lower(l, l.op().name(), {l.operand("x"), l.operand("y")}); }

// The exponents that programs use have kernels of their own: a general power takes long.
void pow(Lowering& l) {
  const mil::Literal* exponent = l.function().constant(l.op(), "y");
  if (exponent != nullptr && mil::is_floating(exponent->type.dtype) &&
      exponent->type.elements() == 1) {
    static constexpr std::pair<double, const char*> kernels[] = {
        {2, "square"}, {0.5, "pow_0.5"}, {-0.5, "pow_-0.5"}};
    for (const auto& [value, kernel] : kernels) {
      if (exponent->number() == value) return lower(l, kernel, {l.operand("x")});
    }
  }
  binary(l);
}

void select(Lowering& l) {
  lower(l, "select", {l.operand("cond"), l.operand("a"), l.operand("b")});
}

} // namespace

LoweringRule elementwise_rule(std::string_view op) {
  static const std::map<std::string_view, LoweringRule> rules = {
      {"abs", plain_unary},
      {"add", binary},
      {"atan", plain_unary},
      {"cast", cast},
      {"ceil", plain_unary},
      {"clip", with_alpha_beta},
      {"cos", plain_unary},
      {"elu", with_alpha},
      {"equal", binary},
      {"erf", plain_unary},
      {"exp", plain_unary},
      {"exp2", plain_unary},
      {"floor", plain_unary},
      {"floor_div", binary},
      {"gelu", gelu},
      {"greater", binary},
      {"greater_equal", binary},
      {"inverse", with_epsilon},
      {"leaky_relu", with_alpha},
      {"less", binary},
      {"less_equal", binary},
      {"log", with_epsilon},
      {"logical_and", binary},
      {"logical_not", plain_unary},
      {"logical_or", binary},
      {"logical_xor", binary},
      {"maximum", binary},
      {"minimum", binary},
      {"mod", binary},
      {"mul", binary},
      {"not_equal", binary},
      {"pow", pow},
      {"real_div", binary},
      {"relu", plain_unary},
      {"relu6", plain_unary},
      {"round", plain_unary},
      {"rsqrt", with_epsilon},
      {"select", select},
      {"sigmoid", plain_unary},
      {"sigmoid_hard", with_alpha_beta},
      {"sign", plain_unary},
      {"silu", plain_unary},
      {"sin", plain_unary},
      {"softplus", plain_unary},
      {"softsign", plain_unary},
      {"sqrt", plain_unary},
      {"square", plain_unary},
      {"sub", binary},
      {"tan", plain_unary},
      {"tanh", plain_unary},
      {"threshold", with_alpha},
  };
  const auto found = rules.find(op);
  return found == rules.end() ? nullptr : found->second;
}

} // namespace anet::backend::cpu

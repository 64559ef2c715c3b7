#include "backend/cpu/elementwise.h"
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

// What the kernel of an op reads: tensors, then numbers.
struct Signature {
  std::vector<std::string_view> inputs;
  std::vector<std::string_view> parameters;
};

const Signature* find_signature(std::string_view op) {
  static const Signature unary = {{"x"}, {}};
  static const Signature binary = {{"x", "y"}, {}};
  static const Signature with_alpha = {{"x"}, {"alpha"}};
  static const Signature with_alpha_beta = {{"x"}, {"alpha", "beta"}};
  static const Signature with_epsilon = {{"x"}, {"epsilon"}};
  static const Signature choice = {{"cond", "a", "b"}, {}};
  static const std::map<std::string_view, const Signature*> signatures = {
      {"abs", &unary},
      {"add", &binary},
      {"atan", &unary},
      {"ceil", &unary},
      {"clip", &with_alpha_beta},
      {"cos", &unary},
      {"elu", &with_alpha},
      {"equal", &binary},
      {"erf", &unary},
      {"exp", &unary},
      {"exp2", &unary},
      {"floor", &unary},
      {"floor_div", &binary},
      {"gelu", &unary},
      {"greater", &binary},
      {"greater_equal", &binary},
      {"inverse", &with_epsilon},
      {"leaky_relu", &with_alpha},
      {"less", &binary},
      {"less_equal", &binary},
      {"log", &with_epsilon},
      {"logical_and", &binary},
      {"logical_not", &unary},
      {"logical_or", &binary},
      {"logical_xor", &binary},
      {"maximum", &binary},
      {"minimum", &binary},
      {"mod", &binary},
      {"mul", &binary},
      {"not_equal", &binary},
      {"pow", &binary},
      {"real_div", &binary},
      {"relu", &unary},
      {"relu6", &unary},
      {"round", &unary},
      {"rsqrt", &with_epsilon},
      {"select", &choice},
      {"sigmoid", &unary},
      {"sigmoid_hard", &with_alpha_beta},
      {"sign", &unary},
      {"silu", &unary},
      {"sin", &unary},
      {"softplus", &unary},
      {"softsign", &unary},
      {"sqrt", &unary},
      {"square", &unary},
      {"sub", &binary},
      {"tan", &unary},
      {"tanh", &unary},
      {"threshold", &with_alpha},
  };
  const auto found = signatures.find(op);
  return found == signatures.end() ? nullptr : found->second;
}

// The exponents that programs use have kernels of their own: a general power takes long.
const char* power_kernel(const mil::Literal& exponent) {
  static constexpr std::pair<double, const char*> kernels[] = {
      {2, "square"}, {0.5, "pow_0.5"}, {-0.5, "pow_-0.5"}};
  if (!mil::is_floating(exponent.type.dtype) || exponent.type.elements() != 1) return nullptr;
  for (const auto& [value, kernel] : kernels)
    if (exponent.number() == value) return kernel;
  return nullptr;
}

const char* gelu_kernel(const std::string& mode) {
  if (mode == "TANH_APPROXIMATION") return "gelu_tanh";
  return mode == "SIGMOID_APPROXIMATION" ? "gelu_sigmoid" : "gelu";
}

void elementwise(Lowering& l) {
  const ElementwiseCall call = *elementwise_call(l.function(), l.op());
  std::vector<Operand> inputs;
  for (const std::string_view name : call.inputs) inputs.push_back(l.operand(name));
  const Operand output = l.result_in_place(inputs);
  l.pointwise(call.kernel, std::move(inputs), output, call.parameters);
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

} // namespace

std::optional<ElementwiseCall> elementwise_call(const mil::Function& function,
                                                const mil::Operation& op) {
  const std::string_view name = op.name();
  const Signature* signature = find_signature(name);
  if (signature == nullptr) return std::nullopt;
  ElementwiseCall call{std::string(name), signature->inputs, {}};
  for (size_t i = 0; i < signature->parameters.size(); ++i) {
    const DataType dtype = function.type(op.input("x")).dtype;
    call.parameters[i] = rounded_argument(function, op, signature->parameters[i], dtype);
  }
  if (name == "gelu") call.kernel = gelu_kernel(literal_argument(function, op, "mode").string());
  if (const mil::Literal* exponent = function.constant(op, "y"); name == "pow" && exponent) {
    if (const char* kernel = power_kernel(*exponent)) call = {kernel, {"x"}, {}};
  }
  return call;
}

LoweringRule elementwise_rule(std::string_view op) {
  if (op == "cast") return cast;
  return find_signature(op) == nullptr ? nullptr : elementwise;
}

} // namespace anet::backend::cpu

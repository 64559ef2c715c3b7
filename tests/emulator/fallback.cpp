#include "fallback.h"

#include "arithmetic.h"
#include "base/status.h"
#include "mil/interpreter.h"
#include "mil/op_table.h"

#include <algorithm>

namespace emulator {

namespace {

using anet::mil::Literal;

// A function with this one operation: constants stay constants, other operands become inputs.
struct OneOp {
  anet::mil::Function function;
  std::vector<int> inputs; // CheckedFunction values, in the order of function.inputs
};

Literal to_literal(const Constant& constant) {
  if (constant.type.dtype == DataType::string) return Literal::string(constant.text);
  const std::vector<double> numbers(constant.values.begin(), constant.values.end());
  if (constant.integers.empty()) return Literal::numbers(constant.type, numbers);
  const std::vector<double> integers(constant.integers.begin(), constant.integers.end());
  return Literal::numbers(constant.type, integers);
}

class Builder {
public:
  explicit Builder(const Call& call) : call_(call) {}

  OneOp build() {
    const anet::mil::OpSchema* schema = anet::mil::find_op(call_.op().name);
    if (schema == nullptr) call_.fail_chip("the emulator does not implement this operation");
    anet::mil::Operation op;
    op.schema = schema;
    for (const Operand& operand : call_.op().operands) {
      anet::mil::Argument argument{operand.name, {}, operand.tuple};
      for (const int value : operand.values) argument.values.push_back(add(value));
      op.arguments.push_back(std::move(argument));
    }
    result_.function.ops.push_back(std::move(op));
    return std::move(result_);
  }

private:
  anet::mil::ValueId add(int index) {
    anet::mil::Function& function = result_.function;
    const auto known = std::ranges::find(result_.inputs, index);
    if (known != result_.inputs.end()) {
      return function.inputs[static_cast<size_t>(known - result_.inputs.begin())];
    }
    const ValueInfo& value = call_.function().value(index);
    const auto id = static_cast<anet::mil::ValueId>(function.values.size());
    function.values.push_back({.name = "v" + std::to_string(id), .type = value.type});
    if (!value.constant) {
      function.inputs.push_back(id);
      result_.inputs.push_back(index);
      return id;
    }
    anet::mil::Operation constant;
    constant.schema = anet::mil::const_schema();
    constant.outputs = {id};
    constant.attributes.push_back({"val", to_literal(*value.constant)});
    function.values.back().producer = static_cast<int32_t>(function.ops.size());
    function.ops.push_back(std::move(constant));
    return id;
  }

  const Call& call_;
  OneOp result_;
};

OneOp with_outputs(const Call& call) {
  OneOp one = Builder(call).build();
  anet::mil::Function& function = one.function;
  const std::vector<Type> types = anet::mil::infer(function, function.ops.back());
  for (const Type& type : types) {
    const auto id = static_cast<anet::mil::ValueId>(function.values.size());
    function.values.push_back({.name = "v" + std::to_string(id),
                               .type = type,
                               .producer = static_cast<int32_t>(function.ops.size() - 1)});
    function.ops.back().outputs.push_back(id);
    function.outputs.push_back(id);
  }
  return one;
}

} // namespace

struct FallbackOp::State {
  OneOp one;
};

std::vector<Type> fallback_types(const Call& call) {
  try {
    const OneOp one = with_outputs(call);
    std::vector<Type> types;
    for (const anet::mil::ValueId id : one.function.outputs) types.push_back(one.function.type(id));
    return types;
  } catch (const anet::Error& error) {
    call.fail(error.message());
  }
}

FallbackOp::FallbackOp(const Call& call) : state_(std::make_unique<State>()) {
  state_->one = with_outputs(call);
  inputs_ = state_->one.inputs;
}

FallbackOp::~FallbackOp() = default;
FallbackOp::FallbackOp(FallbackOp&&) noexcept = default;
FallbackOp& FallbackOp::operator=(FallbackOp&&) noexcept = default;

void FallbackOp::run(const std::vector<const float*>& inputs,
                     const std::vector<float*>& outputs) const {
  const anet::mil::Function& function = state_->one.function;
  std::vector<anet::mil::Tensor> tensors;
  tensors.reserve(inputs.size());
  std::vector<const anet::mil::Tensor*> values(function.values.size(), nullptr);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& type = function.type(function.inputs[i]);
    tensors.push_back({type, std::vector<double>(inputs[i], inputs[i] + type.elements())});
    values[static_cast<size_t>(function.inputs[i])] = &tensors.back();
  }
  const std::vector<anet::mil::Tensor> results =
      anet::mil::interpret_op(function, function.ops.back(), values, anet::mil::Precision::f16);
  for (size_t i = 0; i < results.size(); ++i) {
    std::ranges::transform(results[i].values, outputs[i],
                           [](double value) { return static_cast<float>(value); });
  }
}

} // namespace emulator

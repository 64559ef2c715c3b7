// One op as a test case of the interpreter: its inputs, its arguments, what it must give.
#pragma once

#include "mil/builder.h"
#include "mil/interpreter.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace anet::mil::test {

using Values = std::vector<double>;

inline Type type_of(DataType dtype, Shape shape) { return {dtype, std::move(shape), {}}; }
inline Type fp32(Shape shape) { return type_of(DataType::fp32, std::move(shape)); }
inline Type int32(Shape shape) { return type_of(DataType::int32, std::move(shape)); }
inline Type boolean(Shape shape) { return type_of(DataType::boolean, std::move(shape)); }

inline ValueId list(Builder& b, std::vector<int64_t> values) {
  return b.constant(Literal::int32s(values));
}
inline ValueId number(Builder& b, double value) { return b.scalar(DataType::fp32, value); }
inline ValueId integer(Builder& b, double value) { return b.scalar(DataType::int32, value); }
inline ValueId flag(Builder& b, bool value) { return b.constant(Literal::boolean(value)); }
inline ValueId text(Builder& b, const char* value) { return b.constant(Literal::string(value)); }
inline ValueId literal(Builder& b, Type type, Values values) {
  return b.constant(Literal::numbers(std::move(type), values));
}
inline ValueId flags(Builder& b, Values values) {
  return literal(b, boolean({static_cast<int64_t>(values.size())}), values);
}

using Arguments = std::function<std::vector<Builder::Input>(Builder&, const std::vector<ValueId>&)>;

// One op on `inputs`, and its outputs one after the other.
struct Case {
  std::string op;
  std::vector<Tensor> inputs;
  Arguments arguments;
  Values expected;
};

inline Values run(const Case& entry, Precision precision = Precision::f64) {
  Builder b;
  std::vector<ValueId> ids;
  TensorMap inputs;
  for (const Tensor& tensor : entry.inputs) {
    const std::string name = "in" + std::to_string(ids.size());
    ids.push_back(b.input(name, tensor.type));
    inputs[name] = tensor;
  }
  const std::vector<ValueId> outputs = b.add_multiple(entry.op, entry.arguments(b, ids));
  std::vector<std::string> names;
  for (ValueId id : outputs) {
    names.push_back("out" + std::to_string(names.size()));
    b.output(id, names.back());
  }
  TensorMap results = interpret(std::move(b).finish(), inputs, precision);
  Values values;
  for (const std::string& name : names) {
    values.insert(values.end(), results[name].values.begin(), results[name].values.end());
  }
  return values;
}

inline Arguments unary_arguments() {
  return [](Builder&, const std::vector<ValueId>& in) {
    return std::vector<Builder::Input>{{"x", in[0]}};
  };
}

inline Arguments binary_arguments() {
  return [](Builder&, const std::vector<ValueId>& in) {
    return std::vector<Builder::Input>{{"x", in[0]}, {"y", in[1]}};
  };
}

} // namespace anet::mil::test

#include "mil/interpreter/context.h"

#include "base/float16.h"

#include <algorithm>
#include <cmath>

namespace anet::mil::interpreter {

namespace {

bool contains_nan(const Tensor& tensor) {
  return std::any_of(tensor.values.begin(), tensor.values.end(),
                     [](double value) { return std::isnan(value); });
}

// The ANE reads a NaN as +Inf (ane-facts.md 6, R).
Tensor without_nan(Tensor tensor) {
  for (double& value : tensor.values) {
    if (std::isnan(value)) value = INFINITY;
  }
  return tensor;
}

// Rounds once: going through float would round twice. bf16 has 8 significant bits and the exponents
// of float.
double round_to_bfloat16(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int unit = std::max(std::ilogb(value), -126) - 7;
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
  return std::fabs(rounded) >= 0x1p128 ? std::copysign(INFINITY, value) : rounded;
}

} // namespace

Context::Context(const Function& function, const Operation& op,
                 const std::vector<const Tensor*>& values_by_id, Precision precision)
    : function_(function), op_(op), values_by_id_(values_by_id), precision_(precision) {
  for (ValueId id : op.outputs) outputs_.push_back(make_tensor(function.type(id)));
}

bool Context::has(std::string_view argument) const {
  return op_.argument(argument) != nullptr || function_.constant(op_, argument) != nullptr;
}

const Tensor& Context::own(const Literal& literal) {
  Tensor tensor{literal.type, literal.numbers()};
  if (f16() && is_floating(tensor.type.dtype)) {
    tensor = without_nan(std::move(tensor));
    round_in_place(tensor, precision_);
  }
  return owned_.emplace_back(std::move(tensor));
}

const Tensor& Context::value(ValueId id) {
  if (const auto found = cached_.find(id); found != cached_.end()) return *found->second;
  const auto index = static_cast<size_t>(id);
  const Tensor* tensor = index < values_by_id_.size() ? values_by_id_[index] : nullptr;
  if (tensor == nullptr) {
    const Literal* literal = function_.constant(id);
    if (literal == nullptr) {
      fail(Status::internal, op_.name(), " reads ", function_.value(id).name,
           ", which has no value yet");
    }
    tensor = &own(*literal);
  } else if (f16() && contains_nan(*tensor)) {
    tensor = &owned_.emplace_back(without_nan(*tensor));
  }
  cached_[id] = tensor;
  return *tensor;
}

const Tensor& Context::tensor(std::string_view argument) {
  if (const Argument* found = op_.argument(argument)) return value(found->values.front());
  const Literal* literal = function_.constant(op_, argument);
  if (literal == nullptr) {
    fail(Status::invalid_program, op_.name(), " needs the argument ", argument);
  }
  return own(*literal);
}

std::vector<const Tensor*> Context::tensors(std::string_view argument) {
  const Argument* found = op_.argument(argument);
  if (found == nullptr) {
    fail(Status::invalid_program, op_.name(), " needs the argument ", argument);
  }
  std::vector<const Tensor*> result;
  for (ValueId id : found->values) result.push_back(&value(id));
  return result;
}

const Tensor& Context::first() {
  if (op_.arguments.empty()) fail(Status::invalid_program, op_.name(), " has no argument");
  return value(op_.arguments.front().values.front());
}

double Context::number(std::string_view argument) { return tensor(argument).values.at(0); }

double Context::number_or(std::string_view argument, double otherwise) {
  return has(argument) ? number(argument) : otherwise;
}

int64_t Context::integer(std::string_view argument) {
  return static_cast<int64_t>(number(argument));
}

int64_t Context::integer_or(std::string_view argument, int64_t otherwise) {
  return has(argument) ? integer(argument) : otherwise;
}

bool Context::boolean_or(std::string_view argument, bool otherwise) {
  return has(argument) ? number(argument) != 0 : otherwise;
}

std::vector<int64_t> Context::integers(std::string_view argument) {
  const Tensor& list = tensor(argument);
  std::vector<int64_t> result;
  for (double value : list.values) result.push_back(static_cast<int64_t>(value));
  return result;
}

std::vector<int64_t> Context::integers_or(std::string_view argument,
                                          std::vector<int64_t> otherwise) {
  return has(argument) ? integers(argument) : std::move(otherwise);
}

std::string Context::string(std::string_view argument) const {
  const Literal* literal = function_.constant(op_, argument);
  if (literal == nullptr) {
    fail(Status::invalid_program, op_.name(), " needs the constant string ", argument);
  }
  return literal->string();
}

std::string Context::string_or(std::string_view argument, std::string otherwise) const {
  return has(argument) ? string(argument) : std::move(otherwise);
}

int64_t Context::axis(std::string_view argument, int64_t rank, int64_t otherwise) {
  const int64_t axis = integer_or(argument, otherwise);
  const int64_t positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) {
    fail(Status::invalid_program, op_.name(), " expects an axis of a rank ", rank, " tensor, got ",
         axis);
  }
  return positive;
}

std::vector<int64_t> Context::axes(std::string_view argument, int64_t rank) {
  std::vector<int64_t> result;
  if (!has(argument)) {
    for (int64_t axis = 0; axis < rank; ++axis) result.push_back(axis);
    return result;
  }
  for (int64_t axis : integers(argument)) result.push_back(axis < 0 ? axis + rank : axis);
  return result;
}

double round_to(double value, DataType dtype, Precision precision) {
  if (!is_floating(dtype) || precision == Precision::f64) return value;
  if (precision == Precision::f16) {
    // The engine never emits NaN: Inf - Inf, 0 * Inf, sqrt(-1) are +0 (ane-facts.md 6, R).
    return std::isnan(value) ? 0.0 : half_to_float(double_to_half(value));
  }
  switch (dtype) {
  case DataType::fp16:
    return half_to_float(double_to_half(value));
  case DataType::bf16:
    return round_to_bfloat16(value);
  default:
    return static_cast<float>(value);
  }
}

void round_in_place(Tensor& tensor, Precision precision) {
  if (!is_floating(tensor.type.dtype)) return;
  for (double& value : tensor.values) value = round_to(value, tensor.type.dtype, precision);
}

double wrap_integer(int64_t value, DataType dtype) {
  if (dtype == DataType::boolean) return value != 0 ? 1 : 0;
  const int bits = data_type_bits(dtype);
  if (bits == 64) {
    return dtype == DataType::uint64 ? static_cast<double>(static_cast<uint64_t>(value))
                                     : static_cast<double>(value);
  }
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  const uint64_t low = static_cast<uint64_t>(value) & mask;
  const bool is_signed = data_type_name(dtype)[0] == 'i';
  if (is_signed && (low >> (bits - 1)) != 0) return -static_cast<double>(mask - low + 1);
  return static_cast<double>(low);
}

double saturate_integer(double value, DataType dtype) {
  if (std::isnan(value)) return 0;
  const int bits = data_type_bits(dtype);
  const bool is_signed = data_type_name(dtype)[0] == 'i';
  const double low = is_signed ? -std::ldexp(1.0, bits - 1) : 0.0;
  const double high = std::ldexp(1.0, is_signed ? bits - 1 : bits) - 1;
  return std::clamp(value, low, high);
}

int64_t checked_index(const char* op, double index, int64_t extent) {
  const auto given = static_cast<int64_t>(index);
  const int64_t positive = given < 0 ? given + extent : given;
  if (positive < 0 || positive >= extent) {
    fail(Status::out_of_range, op, " expects indices of an axis of extent ", extent, ", got ",
         given);
  }
  return positive;
}

double greater_of(double x, double y) { return std::isnan(x) || x > y ? x : y; }

double lesser_of(double x, double y) { return std::isnan(x) || x < y ? x : y; }

// 32752 is the greatest finite result; what rounds to 32768 is infinite, ties among it.
void overflow_products(Tensor& tensor) {
  for (double& value : tensor.values) {
    if (std::fabs(value) >= 32760) value = std::copysign(INFINITY, value);
  }
}

int64_t offset_of(const Shape& index, const std::vector<int64_t>& strides) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < index.size(); ++axis) offset += index[axis] * strides[axis];
  return offset;
}

AxisView view_axis(const Shape& shape, int64_t axis) {
  AxisView view;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (static_cast<int64_t>(i) < axis) view.outer *= shape[i];
    if (static_cast<int64_t>(i) == axis) view.extent = shape[i];
    if (static_cast<int64_t>(i) > axis) view.inner *= shape[i];
  }
  return view;
}

std::vector<double> broadcast_values(const Tensor& tensor, const Shape& shape) {
  if (tensor.type.shape == shape) return tensor.values;
  // A broadcast axis has stride 0; missing leading axes are broadcast.
  const std::vector<int64_t> own_strides = contiguous_strides(tensor.type.shape);
  const size_t missing = shape.size() - tensor.type.shape.size();
  std::vector<int64_t> strides(shape.size(), 0);
  for (size_t axis = missing; axis < shape.size(); ++axis) {
    if (tensor.type.shape[axis - missing] != 1) strides[axis] = own_strides[axis - missing];
  }
  std::vector<double> values;
  values.reserve(static_cast<size_t>(element_count(shape)));
  for_each_index(shape, [&](const Shape& index) {
    values.push_back(tensor.values[static_cast<size_t>(offset_of(index, strides))]);
  });
  return values;
}

} // namespace anet::mil::interpreter

#include "mil/gradient/context.h"

#include "base/status.h"

#include <algorithm>
#include <unordered_map>

namespace anet::mil::gradient {

ValueId Gradients::of(ValueId id) {
  Signed& sum = sums_[static_cast<size_t>(id)];
  if (sum.sign == Sign::minus) sum = {negate(builder_, sum.value), Sign::plus};
  return sum.value;
}

void Gradients::add(ValueId id, ValueId gradient, Sign sign) {
  if (!wanted(id)) return;
  Signed& sum = sums_[static_cast<size_t>(id)];
  const Type& type = builder_.type(id);
  if (builder_.shape(gradient) != type.shape) {
    fail(Status::internal, "the gradient of ", builder_.function().value(id).name, " has shape ",
         shape_to_string(builder_.shape(gradient)), ", expected ", shape_to_string(type.shape));
  }
  gradient = builder_.cast(gradient, type.dtype);
  if (sum.value == no_value)
    sum = {gradient, sign};
  else if (sum.sign == sign)
    sum.value = builder_.add(sum.value, gradient);
  else if (sign == Sign::minus)
    sum.value = builder_.sub(sum.value, gradient);
  else
    sum = {builder_.sub(gradient, sum.value), Sign::plus};
}

const Operation* Context::producer(ValueId id) const {
  const int32_t index = function_.value(id).producer;
  return index < 0 ? nullptr : &function_.ops[static_cast<size_t>(index)];
}

const Operation* Context::only_reader(ValueId id) const {
  const std::vector<ValueId>& outputs = function_.outputs;
  if (std::find(outputs.begin(), outputs.end(), id) != outputs.end()) return nullptr;
  const Operation* reader = nullptr;
  for (const Operation& op : function_.ops) {
    for (const Argument& argument : op.arguments) {
      const auto reads = std::count(argument.values.begin(), argument.values.end(), id);
      if (reads == 0) continue;
      if (reads > 1 || reader != nullptr) return nullptr;
      reader = &op;
    }
  }
  return reader;
}

std::span<const ValueId> Context::inputs(std::string_view argument) const {
  const Argument* found = op_.argument(argument);
  return found == nullptr ? std::span<const ValueId>{} : std::span<const ValueId>(found->values);
}

bool Context::wanted(std::string_view argument) const {
  const ValueId id = input(argument);
  return id != no_value && gradients_.wanted(id);
}

void Context::add_broadcast(std::string_view argument, ValueId gradient, Sign sign) {
  if (wanted(argument)) gradients_.add(input(argument), sum_to(b, gradient, shape(argument)), sign);
}

bool Context::has(std::string_view argument) const {
  return op_.argument(argument) != nullptr || function_.constant(op_, argument) != nullptr;
}

double Context::number(std::string_view argument) const {
  const Literal* literal = function_.constant(op_, argument);
  if (literal == nullptr) {
    fail(Status::unsupported, "the gradient of ", op_.name(), " needs a constant ", argument);
  }
  return literal->number();
}

int64_t Context::integer(std::string_view argument, int64_t otherwise) const {
  const Literal* literal = function_.constant(op_, argument);
  return literal == nullptr ? otherwise : literal->integer();
}

bool Context::boolean(std::string_view argument) const {
  const Literal* literal = function_.constant(op_, argument);
  return literal != nullptr && literal->boolean();
}

std::string Context::string(std::string_view argument, std::string_view otherwise) const {
  const Literal* literal = function_.constant(op_, argument);
  return literal == nullptr ? std::string(otherwise) : literal->string();
}

std::vector<int64_t> Context::integers(std::string_view argument,
                                       std::vector<int64_t> otherwise) const {
  const Literal* literal = function_.constant(op_, argument);
  if (literal == nullptr && op_.argument(argument) != nullptr) {
    fail(Status::unsupported, "the gradient of ", op_.name(), " needs a constant ", argument);
  }
  return literal == nullptr ? std::move(otherwise) : literal->integers();
}

int64_t Context::axis(std::string_view argument, int64_t rank, int64_t otherwise) const {
  const int64_t axis = integer(argument, otherwise);
  return axis < 0 ? axis + rank : axis;
}

std::vector<int64_t> Context::axes(std::string_view argument, int64_t rank) const {
  std::vector<int64_t> every;
  for (int64_t axis = 0; axis < rank; ++axis) every.push_back(axis);
  std::vector<int64_t> axes = integers(argument, std::move(every));
  for (int64_t& axis : axes) {
    if (axis < 0) axis += rank;
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

std::vector<Builder::Input>
Context::other_arguments(std::initializer_list<std::string_view> but) const {
  std::vector<Builder::Input> inputs;
  for (const Argument& argument : op_.arguments) {
    if (std::find(but.begin(), but.end(), argument.name) != but.end()) continue;
    if (argument.tuple) {
      inputs.emplace_back(argument.name, argument.values);
    } else {
      inputs.emplace_back(argument.name, argument.values.front());
    }
  }
  return inputs;
}

const RuleEntry* find_rule(std::string_view op) {
  static const std::unordered_map<std::string_view, const RuleEntry*> table = [] {
    std::unordered_map<std::string_view, const RuleEntry*> rules;
    for (std::span<const RuleEntry> family :
         {unary_rules(), binary_rules(), matrix_rules(), convolution_rules(), reduction_rules(),
          normalization_rules(), shape_rules(), slice_rules(), index_rules(), constant_rules()}) {
      for (const RuleEntry& entry : family) rules.emplace(entry.name, &entry);
    }
    return rules;
  }();
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

ValueId integers(Builder& b, const std::vector<int64_t>& values) {
  return b.constant(Literal::int32s(values));
}

ValueId negate(Builder& b, ValueId x) { return b.mul(x, -1.0); }

ValueId filled(Builder& b, const Type& type, double value) {
  // Constant folding would undo the repetition of smaller ones (passes.h).
  constexpr int64_t largest_constant = 4096;
  const Type plain{type.dtype, type.shape, {}};
  if (plain.elements() <= largest_constant) return b.constant(Literal::fill(plain, value));
  const Type one{type.dtype, Shape(type.shape.size(), 1), {}};
  return repeat_to(b, b.constant(Literal::fill(one, value)), type.shape);
}

ValueId zeros(Builder& b, const Type& type) { return filled(b, type, 0); }

ValueId where(Builder& b, ValueId condition, ValueId x) {
  return b.add("select", {{"cond", condition}, {"a", x}, {"b", b.scalar(b.type(x).dtype, 0)}});
}

ValueId reshape(Builder& b, ValueId x, Shape shape) {
  if (b.shape(x) == shape) return x;
  // A reshape to rank 0 has no spelling; a squeeze of every axis does.
  if (shape.empty()) return b.add("squeeze", {{"x", x}});
  return b.reshape(x, std::move(shape));
}

ValueId sum_to(Builder& b, ValueId x, Shape shape) {
  const Shape from = b.shape(x);
  if (from == shape) return x;
  const size_t missing = from.size() - shape.size();
  std::vector<int64_t> axes;
  for (size_t axis = 0; axis < from.size(); ++axis) {
    const bool summed = axis < missing || (shape[axis - missing] == 1 && from[axis] != 1);
    if (summed) axes.push_back(static_cast<int64_t>(axis));
  }
  if (!axes.empty()) x = b.reduce("reduce_sum", x, axes, true);
  return reshape(b, x, std::move(shape));
}

ValueId repeat_to(Builder& b, ValueId x, Shape shape) {
  const Shape from = b.shape(x);
  if (from == shape) return x;
  std::vector<int64_t> reps;
  for (size_t axis = 0; axis < shape.size(); ++axis) reps.push_back(shape[axis] / from[axis]);
  return b.add("tile", {{"x", x}, {"reps", integers(b, reps)}});
}

ValueId pad_or_crop(Builder& b, ValueId x, const std::vector<int64_t>& before,
                    const std::vector<int64_t>& after) {
  const Shape shape = b.shape(x);
  std::vector<int64_t> begin;
  std::vector<int64_t> size;
  std::vector<int64_t> amounts;
  bool crops = false;
  bool pads = false;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    begin.push_back(std::max<int64_t>(-before[axis], 0));
    const int64_t removed_after = std::max<int64_t>(-after[axis], 0);
    size.push_back(shape[axis] - begin.back() - removed_after);
    amounts.push_back(std::max<int64_t>(before[axis], 0));
    amounts.push_back(std::max<int64_t>(after[axis], 0));
    crops |= size.back() != shape[axis];
    pads |= before[axis] > 0 || after[axis] > 0;
  }
  if (crops) x = b.slice_by_size(x, begin, size);
  if (!pads) return x;
  return b.add("pad", {{"x", x},
                       {"pad", integers(b, amounts)},
                       {"mode", b.constant(Literal::string("constant"))},
                       {"constant_val", b.scalar(b.type(x).dtype, 0)}});
}

} // namespace anet::mil::gradient

#include "checked.h"

#include <algorithm>

namespace emulator {

const Operand* CheckedOp::operand(std::string_view operand_name) const {
  for (const Operand& operand : operands) {
    if (operand.name == operand_name) return &operand;
  }
  return nullptr;
}

int Call::index(std::string_view argument) const {
  const Operand* operand = op_.operand(argument);
  if (operand == nullptr || operand->values.empty()) fail("argument ", argument, " is missing");
  return operand->values.front();
}

const ValueInfo& Call::value(std::string_view argument) const {
  return function_.value(index(argument));
}

std::vector<const Type*> Call::tuple(std::string_view argument) const {
  std::vector<const Type*> result;
  const Operand* operand = op_.operand(argument);
  if (operand == nullptr) fail("argument ", argument, " is missing");
  for (const int index : operand->values) result.push_back(&function_.value(index).type);
  return result;
}

std::vector<int64_t> Call::integers(std::string_view argument) const {
  const ValueInfo& info = value(argument);
  if (!info.constant || info.constant->integers.empty() || info.type.shape.size() > 1) {
    fail("argument ", argument, " is not a list of integers, but ",
         anet::mil::type_to_string(info.type));
  }
  return info.constant->integers;
}

int64_t Call::integer(std::string_view argument) const {
  const ValueInfo& info = value(argument);
  if (!info.constant || info.constant->integers.size() != 1 ||
      info.type.dtype == DataType::boolean) {
    fail("argument ", argument, " is not an integer, but ", anet::mil::type_to_string(info.type));
  }
  return info.constant->integers.front();
}

double Call::number(std::string_view argument) const {
  const ValueInfo& info = value(argument);
  if (!info.constant || info.constant->values.size() != 1) {
    fail("argument ", argument, " is not one number, but ", anet::mil::type_to_string(info.type));
  }
  return info.constant->values.front();
}

bool Call::boolean(std::string_view argument) const {
  const ValueInfo& info = value(argument);
  if (!info.constant || info.type.dtype != DataType::boolean ||
      info.constant->integers.size() != 1) {
    fail("argument ", argument, " is not a boolean, but ", anet::mil::type_to_string(info.type));
  }
  return info.constant->integers.front() != 0;
}

const std::string& Call::text(std::string_view argument) const {
  const ValueInfo& info = value(argument);
  if (!info.constant || info.type.dtype != DataType::string) {
    fail("argument ", argument, " is not a string, but ", anet::mil::type_to_string(info.type));
  }
  return info.constant->text;
}

std::vector<bool> Call::mask(std::string_view argument, size_t rank) const {
  std::vector<bool> result(rank, false);
  if (!has(argument)) return result;
  const ValueInfo& info = value(argument);
  if (info.type.dtype != DataType::boolean || info.constant->integers.size() != rank) {
    fail("argument ", argument, " is not ", rank, " booleans, but ",
         anet::mil::type_to_string(info.type));
  }
  for (size_t i = 0; i < rank; ++i) result[i] = info.constant->integers[i] != 0;
  return result;
}

size_t Call::axis(int64_t axis, size_t rank) const {
  const auto limit = static_cast<int64_t>(rank);
  if (axis < -limit || axis >= limit) fail("axis ", axis, " is outside a tensor of rank ", rank);
  return static_cast<size_t>(axis < 0 ? axis + limit : axis);
}

std::vector<size_t> Call::axes(std::string_view argument, size_t rank) const {
  std::vector<size_t> result;
  for (const int64_t entry : integers(argument)) result.push_back(axis(entry, rank));
  std::ranges::sort(result);
  if (std::ranges::adjacent_find(result) != result.end())
    fail("argument ", argument, " repeats an axis");
  return result;
}

void Call::fail_text(Verdict verdict, const std::string& text) const {
  refuse(verdict, "line ", op_.line, ": ", op_.name, ": ", text);
}

} // namespace emulator

// Reads tests/golden/op_table/op_table.json: coremltools' view of the op table, and operands.
#pragma once

#include "mil/builder.h"

#include <cjson/cJSON.h>
#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace golden {

using namespace anet::mil;

using Json = std::unique_ptr<cJSON, decltype(&cJSON_Delete)>;

inline const cJSON& root() {
  static const Json parsed = [] {
    std::ifstream file("tests/golden/op_table/op_table.json");
    std::stringstream text;
    text << file.rdbuf();
    return Json(cJSON_Parse(text.str().c_str()), cJSON_Delete);
  }();
  REQUIRE_MESSAGE(parsed != nullptr, "run from the root of the repository");
  return *parsed;
}

inline std::string text_of(const cJSON* node, const char* key) {
  const char* text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(node, key));
  REQUIRE(text != nullptr);
  return text;
}

inline bool flag_of(const cJSON* node, const char* key) {
  return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(node, key)) != 0;
}

inline int integer_of(const cJSON* node, const char* key) {
  return cJSON_GetObjectItemCaseSensitive(node, key)->valueint;
}

inline std::vector<const cJSON*> children(const cJSON* node) {
  std::vector<const cJSON*> result;
  for (const cJSON* child = node->child; child != nullptr; child = child->next) {
    result.push_back(child);
  }
  return result;
}

inline std::vector<const cJSON*> list_of(const cJSON* node, const char* key) {
  return children(cJSON_GetObjectItemCaseSensitive(node, key));
}

inline std::vector<const cJSON*> ops() { return list_of(&root(), "ops"); }

inline double number_of(const cJSON* node) {
  if (cJSON_IsBool(node) != 0) return cJSON_IsTrue(node) != 0 ? 1 : 0;
  return node->valuedouble;
}

inline Shape shape_of(const cJSON* node) {
  Shape shape;
  for (const cJSON* extent : children(node)) {
    shape.push_back(static_cast<int64_t>(extent->valuedouble));
  }
  return shape;
}

inline Type type_of(const cJSON* operand) {
  const std::optional<DataType> dtype = data_type_from_name(text_of(operand, "dtype"));
  REQUIRE(dtype.has_value());
  return {*dtype, shape_of(cJSON_GetObjectItemCaseSensitive(operand, "shape")), {}};
}

inline ValueId build_operand(Builder& builder, const std::string& name, const cJSON* operand) {
  const Type type = type_of(operand);
  const cJSON* value = cJSON_GetObjectItemCaseSensitive(operand, "value");
  if (value == nullptr) return builder.input(name, type);
  if (type.dtype == DataType::string) {
    return builder.constant(Literal::string(cJSON_GetStringValue(value->child)));
  }
  std::vector<double> numbers;
  for (const cJSON* element : children(value)) numbers.push_back(number_of(element));
  return builder.constant(Literal::numbers(type, numbers));
}

// Adds one op with its recorded operands; throws what the builder throws.
inline std::vector<ValueId> add_op(Builder& builder, const std::string& op, const cJSON* operands) {
  std::vector<Builder::Input> inputs;
  for (const cJSON* operand : children(operands)) {
    if (cJSON_IsArray(operand) == 0) {
      inputs.emplace_back(operand->string, build_operand(builder, operand->string, operand));
      continue;
    }
    std::vector<ValueId> values;
    for (const cJSON* member : children(operand)) {
      values.push_back(build_operand(
          builder, std::string(operand->string) + std::to_string(values.size()), member));
    }
    inputs.emplace_back(operand->string, std::move(values));
  }
  return builder.add_multiple(op, inputs);
}

} // namespace golden

// Our op table against coremltools 9.0, as tests/golden/op_table/make_op_table.py recorded it.
#include "op_table_golden.h"

#include "base/status.h"
#include "mil/builder.h"
#include "mil/op_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

using namespace anet;
using namespace anet::mil;

namespace {

std::string types_to_string(const std::vector<Type>& types) {
  std::string text;
  for (const Type& type : types) text += (text.empty() ? "" : " ") + type_to_string(type);
  return text;
}

struct Outcome {
  std::string types; // empty when refused
  std::string error;
};

Outcome infer_with_us(const std::string& op, const cJSON* operands) {
  try {
    Builder builder;
    std::vector<Type> types;
    for (ValueId id : golden::add_op(builder, op, operands)) types.push_back(builder.type(id));
    return {types_to_string(types), {}};
  } catch (const Error& error) {
    CHECK(error.status() == Status::invalid_program);
    return {{}, error.message()};
  }
}

std::string golden_types(const cJSON* outputs) {
  if (cJSON_IsArray(outputs) == 0) return {};
  std::vector<Type> types;
  for (const cJSON* output : golden::children(outputs)) {
    const std::optional<DataType> dtype = data_type_from_name(output->child->valuestring);
    REQUIRE(dtype.has_value());
    types.push_back({*dtype, golden::shape_of(output->child->next), {}});
  }
  return types_to_string(types);
}

// Where we differ from coremltools on purpose. `refusal` is part of our message when we refuse what
// coremltools accepts. Otherwise we accept what it refuses, for the operands that `applies` to.
struct Difference {
  std::string_view op; // a prefix
  std::string_view refusal;
  std::string_view reason;
  bool (*applies)(const cJSON* operands) = nullptr;
};

bool counts_from_the_end(const cJSON* operands) {
  const cJSON* axis = cJSON_GetObjectItemCaseSensitive(operands, "axis");
  return cJSON_GetObjectItemCaseSensitive(axis, "value")->child->valueint < -1;
}

// Only a constant operand has a value.
bool dilates_weight_of_run_time(const cJSON* operands) {
  const cJSON* weight = cJSON_GetObjectItemCaseSensitive(operands, "weight");
  const cJSON* dilations = cJSON_GetObjectItemCaseSensitive(operands, "dilations");
  if (dilations == nullptr || cJSON_GetObjectItemCaseSensitive(weight, "value") != nullptr) {
    return false;
  }
  const std::vector<const cJSON*> values = golden::list_of(dilations, "value");
  return std::any_of(values.begin(), values.end(),
                     [](const cJSON* value) { return value->valueint > 1; });
}

bool has_no_axes(const cJSON* operands) {
  return cJSON_GetObjectItemCaseSensitive(operands, "axes") == nullptr;
}

constexpr std::array<Difference, 18> differences{{
    {"conv", "", "the gradient of a strided conv dilates a weight that is not a constant",
     dilates_weight_of_run_time},
    {"conv_transpose", "expected x [n, in, ...] and weight",
     "coremltools does not compare the channels of x and weight"},
    {"cumsum", "", "a negative axis counts from the end here as for every other op",
     counts_from_the_end},
    {"layer_norm", "", "coremltools cannot build its own default for axes, every axis",
     has_no_axes},
    {"cumsum", "expected axis in", "a scalar has no axis to sum along"},
    {"gather", "expected batch_dims", "coremltools does not compare the batch axes"},
    {"reduce_", "expected axes in", "coremltools reads an axis below -rank as another one"},
    {"reduce_arg", "expected axis in", "coremltools reads an axis below -rank as another one"},
    {"reduce_", "expected distinct axes", "coremltools drops an axis that is named twice"},
    {"reverse", "expected axes in", "coremltools does not check axes"},
    {"scaled_dot_product_attention", "expected attn_mask that broadcasts",
     "coremltools lets a mask have more batches than the scores it is added to"},
    {"select", "expected shapes that broadcast",
     "coremltools ignores the shape of cond, which takes part in broadcasting"},
    {"slice_by_index", "expected a slice with elements", "tensors have elements here"},
    {"slice_by_size", "expected a slice inside x", "coremltools does not compare with x"},
    {"softmax", "expected axis in", "coremltools does not check the axis"},
    {"split", "expected split_sizes that sum", "coremltools does not compare with x"},
    {"squeeze", "expected an extent of 1", "coremltools leaves such axes as they are"},
    {"transpose", "expected a permutation", "coremltools repeats axes"},
}};

// The listed difference that explains an outcome, or nullptr.
const Difference* explain(const std::string& op, const cJSON* operands, const Outcome& ours) {
  for (const Difference& difference : differences) {
    if (op.substr(0, difference.op.size()) != difference.op) continue;
    const bool refused = !ours.error.empty();
    if (refused == (difference.applies != nullptr)) continue;
    const bool explains = refused ? ours.error.find(difference.refusal) != std::string::npos
                                  : difference.applies(operands);
    if (explains) return &difference;
  }
  return nullptr;
}

} // namespace

TEST_CASE("every op of the table is known to coremltools, or listed") {
  std::set<std::string> known;
  for (const cJSON* op : golden::ops()) known.insert(golden::text_of(op, "name"));
  // Layout conversions exist in the ANE's dialect only (ane-facts.md 4.1, R).
  const std::set<std::string> ours_alone{"tensor_buffer_to_tensor", "tensor_to_tensor_buffer"};
  for (const OpSchema& schema : op_table()) {
    CAPTURE(schema.name);
    CHECK(known.count(schema.name) + ours_alone.count(schema.name) == 1);
    known.erase(schema.name);
  }
  CHECK(known.empty());
}

TEST_CASE("argument names, presence, opsets and element types are those of coremltools") {
  for (const cJSON* op : golden::ops()) {
    const std::string name = golden::text_of(op, "name");
    const OpSchema* schema = find_op(name);
    REQUIRE(schema != nullptr);
    CAPTURE(name);
    CHECK(schema->introduced == golden::integer_of(op, "introduced"));
    const std::vector<const cJSON*> arguments = golden::list_of(op, "arguments");
    REQUIRE(schema->arguments.size() == arguments.size());
    for (size_t i = 0; i < arguments.size(); ++i) {
      const ArgumentSchema& ours = schema->arguments[i];
      const std::string argument = golden::text_of(arguments[i], "name");
      CAPTURE(argument);
      CHECK(ours.name == argument);
      CHECK((ours.presence == Presence::required) == !golden::flag_of(arguments[i], "optional"));
      CHECK(ours.variadic == golden::flag_of(arguments[i], "variadic"));
      // An argument cannot be older than its op.
      CHECK(std::max(ours.introduced, schema->introduced) ==
            std::max(golden::integer_of(arguments[i], "introduced"), schema->introduced));
      // All shapes are static here, so shape-like arguments must be constants with us too.
      const std::set<std::string> static_arguments{
          "shape", "begin", "end", "size", "reps", "pad", "one_hot_vector_size"};
      CHECK(ours.constant ==
            (golden::flag_of(arguments[i], "constant") || static_arguments.count(argument) != 0));
      TypeSet theirs;
      for (const cJSON* type : golden::list_of(arguments[i], "types")) {
        theirs = theirs | TypeSet{*data_type_from_name(type->valuestring)};
      }
      if (theirs.bits == 0) continue; // anything goes: values of concat, x of identity
      // bf16 goes wherever both other floating types do, as an extension.
      if (theirs.contains(DataType::fp16) && theirs.contains(DataType::fp32)) {
        theirs = theirs | TypeSet{DataType::bf16};
      }
      CHECK(ours.types.bits == theirs.bits);
    }
  }
}

TEST_CASE("default values are those of coremltools") {
  // coremltools computes some from its operands; here x is [2, 2, 2, 2] and weight [2, 2].
  const std::set<std::string> masks{"stride", "begin_mask", "end_mask", "squeeze_mask"};
  size_t compared = 0;
  for (const cJSON* op : golden::ops()) {
    const std::string name = golden::text_of(op, "name");
    const OpSchema* schema = find_op(name);
    REQUIRE(schema != nullptr);
    for (const cJSON* argument : golden::list_of(op, "arguments")) {
      const ArgumentSchema* ours = schema->argument(golden::text_of(argument, "name"));
      REQUIRE(ours != nullptr);
      CAPTURE(name);
      CAPTURE(ours->name);
      const cJSON* theirs = cJSON_GetObjectItemCaseSensitive(argument, "default");
      if (theirs == nullptr) {
        // None in coremltools: no operand at all, or a neutral value that we spell out.
        const bool axes = std::string(ours->name) == "axes" &&
                          (name.rfind("reduce", 0) == 0 || name == "reverse");
        const bool neutral = axes || masks.count(ours->name) != 0;
        CHECK((ours->presence == Presence::defaulted) == neutral);
        continue;
      }
      REQUIRE(ours->presence == Presence::defaulted);
      Builder builder;
      const ValueId x = builder.input("x", {DataType::fp32, {2, 2, 2, 2}, {}});
      const ValueId weight = builder.input("weight", {DataType::fp32, {2, 2}, {}});
      Operation operation;
      operation.schema = schema;
      operation.arguments = {{"x", {x}, false}};
      if (name == "linear") operation.arguments.push_back({"weight", {weight}, false});
      const std::optional<Literal> value = default_argument(builder.function(), operation, *ours);
      REQUIRE(value.has_value());
      ++compared;
      if (cJSON_IsString(theirs) != 0) {
        CHECK(value->string() == theirs->valuestring);
      } else if (cJSON_IsArray(theirs) != 0) {
        std::vector<double> numbers;
        for (const cJSON* element : golden::children(theirs))
          numbers.push_back(golden::number_of(element));
        CHECK(value->numbers() == numbers);
      } else {
        // coremltools rounds some of its defaults to float before we see them.
        CHECK(value->number() == doctest::Approx(golden::number_of(theirs)).epsilon(1e-6));
      }
    }
  }
  CHECK(compared > 40);
}

TEST_CASE("inferred types are those of coremltools") {
  std::map<const Difference*, int> used;
  int accepted = 0;
  int refused = 0;
  for (const cJSON* op : golden::ops()) {
    const std::string name = golden::text_of(op, "name");
    for (const cJSON* each : golden::list_of(op, "cases")) {
      const cJSON* operands = cJSON_GetObjectItemCaseSensitive(each, "operands");
      const std::string theirs = golden_types(cJSON_GetObjectItemCaseSensitive(each, "outputs"));
      const Outcome ours = infer_with_us(name, operands);
      (theirs.empty() ? refused : accepted) += 1;
      if (ours.types == theirs) continue;
      if (const Difference* difference = explain(name, operands, ours)) {
        ++used[difference];
        continue;
      }
      const std::unique_ptr<char, decltype(&cJSON_free)> printed(cJSON_PrintUnformatted(operands),
                                                                 cJSON_free);
      FAIL_CHECK(name, " ", std::string(printed.get()), ": coremltools says '", theirs,
                 "', we say '", ours.types, ours.error, "'");
    }
  }
  CHECK(accepted > 1000);
  CHECK(refused > 500);
  // A difference that explains nothing is a stale excuse.
  for (const Difference& difference : differences) {
    CAPTURE(difference.op);
    CAPTURE(difference.refusal);
    CHECK(used.count(&difference) == 1);
  }
}

// parse(print(p)) == p.
#include "op_table_golden.h"

#include "base/status.h"
#include "mil/blob.h"
#include "mil/builder.h"
#include "mil/op_table.h"
#include "mil/text.h"
#include "mil/verify.h"

#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <set>

using namespace anet;
using namespace anet::mil;

namespace {

void check_round_trip(const Program& program) {
  const std::string text = print(program);
  CAPTURE(text);
  const Program parsed = parse(text, program.blobs);
  CHECK(parsed == program);
  CHECK(print(parsed) == text);
}

Program program_of(const Literal& value) {
  Builder builder;
  builder.output(builder.constant(value, "value"), "out");
  return std::move(builder).finish_program();
}

Literal floats(DataType dtype, const std::vector<uint64_t>& bits) {
  return Literal::from_bits({dtype, {static_cast<int64_t>(bits.size())}, {}}, bits);
}

} // namespace

TEST_CASE("programs with every op survive printing and parsing") {
  std::set<std::string> covered{"const", "tensor_buffer_to_tensor", "tensor_to_tensor_buffer"};
  for (const cJSON* op : golden::ops()) {
    const std::string name = golden::text_of(op, "name");
    for (const cJSON* each : golden::list_of(op, "cases")) {
      const cJSON* operands = cJSON_GetObjectItemCaseSensitive(each, "operands");
      Program program;
      try {
        Builder builder;
        for (ValueId id : golden::add_op(builder, name, operands)) builder.output(id);
        program = std::move(builder).finish_program();
      } catch (const Error&) {
        continue; // invalid operands are op_table_coremltools.cpp's subject
      }
      check_round_trip(program);
      CHECK_NOTHROW(verify(program));
      covered.insert(name);
    }
  }
  covered.insert("identity"); // program_of() uses it
  for (const OpSchema& schema : op_table()) {
    CAPTURE(schema.name);
    CHECK(covered.count(schema.name) == 1);
  }
}

TEST_CASE("tensor_buffer ports survive printing and parsing") {
  Builder builder;
  const BufferLayout layout{{4096, 4096, 64, 1}, {1, 1, 1, 1}};
  const ValueId x = builder.input("x", {DataType::fp16, {1, 1, 64, 20}, layout});
  const ValueId tensor = builder.add("tensor_buffer_to_tensor", {{"input", x}});
  CHECK(builder.type(tensor) == Type{DataType::fp16, {1, 1, 64, 20}, {}});
  const ValueId factors = builder.constant(Literal::fill({DataType::uint8, {4}, {}}, 1));
  const std::vector<double> strides{4096, 4096, 64, 1};
  const ValueId y = builder.add(
      "tensor_to_tensor_buffer",
      {{"input", builder.unary("relu", tensor)},
       {"interleave_factors", factors},
       {"strides", builder.constant(Literal::numbers({DataType::int64, {4}, {}}, strides))}});
  CHECK(builder.type(y) == builder.type(x));
  builder.output(y, "y");
  check_round_trip(std::move(builder).finish_program());
}

TEST_CASE("every element of every type survives") {
  std::mt19937_64 random(7);
  for (int i = 0; i <= static_cast<int>(DataType::fp32); ++i) {
    const auto dtype = static_cast<DataType>(i);
    if (dtype == DataType::string) continue;
    const int bits = data_type_bits(dtype);
    const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{13}, Shape{2, 3}, Shape{3, 1, 2, 2}}) {
      std::vector<uint64_t> elements(static_cast<size_t>(element_count(shape)));
      for (uint64_t& element : elements) {
        element = random() & (dtype == DataType::boolean ? 1 : mask);
      }
      check_round_trip(program_of(Literal::from_bits({dtype, shape, {}}, elements)));
    }
  }
}

TEST_CASE("all 65536 halves survive, NaN payloads included") {
  std::vector<uint64_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = i;
  check_round_trip(program_of(floats(DataType::fp16, bits)));
  check_round_trip(program_of(floats(DataType::bf16, bits)));
}

TEST_CASE("floats print short when that is exact, else as hex floats") {
  const auto printed = [](DataType dtype, double value) {
    const std::string text = print(program_of(Literal::scalar(dtype, value)));
    const std::string open = std::string("val = ") + data_type_name(dtype) + "(";
    const size_t begin = text.find(open) + open.size();
    return text.substr(begin, text.find(")]", begin) - begin);
  };
  CHECK(printed(DataType::fp16, 1) == "1.0");
  CHECK(printed(DataType::fp16, 0.5) == "0.5");
  CHECK(printed(DataType::fp16, -0.0) == "-0.0");
  CHECK(printed(DataType::fp16, 65504) == "65504.0");
  CHECK(printed(DataType::fp16, 0.1) == "0x1.998p-4"); // 1638/16384
  CHECK(printed(DataType::fp32, 0.0078125) == "0.0078125");
  CHECK(printed(DataType::fp32, 0.1) == "0x1.99999ap-4");
  CHECK(printed(DataType::fp32, 1e30) == "0x1.93e594p+99");
  CHECK(printed(DataType::fp32, std::numeric_limits<double>::infinity()) == "inf");
  CHECK(printed(DataType::fp16, -std::numeric_limits<double>::infinity()) == "-inf");
  CHECK(printed(DataType::fp16, std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(printed(DataType::int32, -7) == "-7");
}

TEST_CASE("strings survive whatever they hold") {
  std::string every_byte;
  for (int i = 0; i < 256; ++i) every_byte += static_cast<char>(i);
  check_round_trip(program_of(Literal::string(every_byte)));
  check_round_trip(program_of(Literal::string("")));
  Literal list;
  list.type = {DataType::string, {3}, {}};
  list.strings = {"a\"b", "\\", every_byte};
  check_round_trip(program_of(list));
  Program program = program_of(Literal::int32(1));
  program.attributes = {{"a", Literal::dictionary({})},
                        {"b", Literal::dictionary({{"k", every_byte}, {"", "\n"}})},
                        {"c", Literal::boolean(true)}};
  check_round_trip(program);
}

TEST_CASE("several functions, opsets of ops and attributes survive") {
  Program program = program_of(Literal::int32(1));
  Builder builder("second_1", "ios17");
  const ValueId x = builder.input("x", {DataType::fp32, {2, 6}, {}});
  const ValueId axis = builder.constant(Literal::int32(1));
  for (ValueId part : builder.add_multiple(
           "split", std::vector<Builder::Input>{{"x", x},
                                                {"num_splits", builder.constant(Literal::int32(3))},
                                                {"axis", axis}})) {
    builder.output(part);
  }
  program.functions.push_back(std::move(builder).finish());
  program.functions.back().ops.back().opset = "ios16";
  program.functions.back().ops.back().attributes.push_back({"mark", Literal::string("kept")});
  check_round_trip(program);
  CHECK(parse(print(program)).find("second_1")->outputs.size() == 3);
}

TEST_CASE("inputs that were declared after ops survive, renumbered") {
  Builder builder;
  const ValueId one = builder.scalar(DataType::fp32, 1);
  const ValueId x = builder.input("x", {DataType::fp32, {2}, {}});
  builder.output(builder.add(x, one), "y");
  check_round_trip(std::move(builder).finish_program());
}

TEST_CASE("blob references survive") {
  Builder builder;
  const ValueId x = builder.input("x", {DataType::fp16, {1, 8, 1, 32}, {}});
  const ValueId w = builder.constant(Literal::fill({DataType::fp16, {4, 8, 1, 1}, {}}, 0.25), "w");
  builder.output(builder.linear(x, w), "y");
  Program program = std::move(builder).finish_program();
  store_in_blobs(program, 32, "@model_path/weights/weight.bin");
  CHECK(print(program).find("BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), "
                            "offset = uint64(64))") != std::string::npos);
  check_round_trip(program);
}

// The verifier on programs that were damaged after they were built.
#include "mil/verify.h"

#include "base/status.h"
#include "mil/builder.h"
#include "mil/op_table.h"
#include "mil/text.h"

#include <doctest/doctest.h>

#include <functional>

using namespace anet;
using namespace anet::mil;

namespace {

Program make_program() {
  Builder builder;
  const ValueId x = builder.input("x", {DataType::fp16, {2, 4}, {}});
  const ValueId y = builder.input("y", {DataType::fp16, {2, 4}, {}});
  const ValueId s = builder.softmax(builder.add(x, y), -1, "s");
  builder.output(s, "out");
  builder.output(builder.unary("relu", x, "r"));
  return std::move(builder).finish_program();
}

std::string refusal(const std::function<void(Function&)>& damage) {
  Program program = make_program();
  REQUIRE_NOTHROW(verify(program));
  damage(program.main());
  try {
    verify(program);
  } catch (const Error& error) {
    CHECK(error.status() == Status::invalid_program);
    return error.message();
  }
  return "accepted";
}

Operation& op_named(Function& function, std::string_view name) {
  for (Operation& op : function.ops) {
    if (name == op.name()) return op;
  }
  FAIL("no such op");
  return function.ops.front();
}

Value& value_named(Function& function, std::string_view name) {
  return function.values[static_cast<size_t>(function.find(name))];
}

} // namespace

TEST_CASE("damaged functions are refused") {
  const auto check = [](std::string_view phrase, const std::function<void(Function&)>& damage) {
    const std::string message = refusal(damage);
    CAPTURE(message);
    CHECK(message.find(phrase) != std::string::npos);
  };
  check("expected a function name", [](Function& f) { f.name = "a-b"; });
  check("expected opset", [](Function& f) { f.opset = "ios9"; });
  check("expected unique names, got 'x' twice",
        [](Function& f) { value_named(f, "y").name = "x"; });
  check("expected a value name", [](Function& f) { value_named(f, "r").name = "0"; });
  check("expected a value name",
        [](Function& f) { value_named(f, "r").name = std::string(2000, 'r'); });
  check("to have one producer", [](Function& f) { value_named(f, "r").producer = 0; });
  check("to have one producer", [](Function& f) { value_named(f, "x").producer = 0; });
  check("expected unique names", [](Function& f) { f.inputs.push_back(f.inputs[0]); });
  check("expected a value id below", [](Function& f) { f.inputs.push_back(99); });
  check("expected a value id below", [](Function& f) { f.outputs.push_back(-1); });
  check("expected a value id below", [](Function& f) { f.ops.back().arguments[0].values = {99}; });
  check("expected unique outputs", [](Function& f) { f.outputs.push_back(f.outputs[0]); });
  check("to have an output", [](Function& f) { f.outputs.clear(); });
  check("to be an input or the result of an op", [](Function& f) {
    f.values.push_back({"stray", {DataType::fp16, {}, {}}, -1});
  });
  check("to be defined before its use",
        [](Function& f) { op_named(f, "add").arguments[1].values = {f.find("r")}; });
  check("expected an op of the op table", [](Function& f) { f.ops[0].schema = nullptr; });
  check("expected an op of the op table", [](Function& f) { f.ops.back().outputs.clear(); });
  check("unknown argument 'z'", [](Function& f) { f.ops.back().arguments[0].name = "z"; });
  check("expected argument x, got none", [](Function& f) { f.ops.back().arguments.clear(); });
  check("expected argument x once",
        [](Function& f) { f.ops.back().arguments.push_back(f.ops.back().arguments[0]); });
  check("expected one value for x",
        [](Function& f) { f.ops.back().arguments[0].values.push_back(f.inputs[1]); });
  check("expected one value for x", [](Function& f) { f.ops.back().arguments[0].values.clear(); });
  check("expected declared type tensor<fp16, [2, 4]>, got tensor<fp16, [2, 5]>",
        [](Function& f) { value_named(f, "r").type.shape[1] = 5; });
  check("expected declared type",
        [](Function& f) { value_named(f, "r").type.dtype = DataType::fp32; });
  check("expected extents from 1", [](Function& f) { value_named(f, "x").type.shape[0] = 0; });
  check("expected extents from 1", [](Function& f) {
    value_named(f, "x").type.shape = {1 << 30, 1 << 30, 1 << 30};
  });
  check("expected a rank of at most",
        [](Function& f) { value_named(f, "x").type.shape.assign(9, 1); });
  check("to be a tensor, got a string", [](Function& f) {
    value_named(f, "x").type = {DataType::string, {}, {}};
  });
  check("expected y of the type of x",
        [](Function& f) { value_named(f, "y").type.dtype = DataType::fp32; });
  check("expected a compile-time constant for axis", [](Function& f) {
    value_named(f, "y").type = {DataType::int32, {}, {}};
    op_named(f, "add").arguments[1].values = {f.find("x")};
    op_named(f, "softmax").arguments[1].values = {f.find("y")};
  });
  check("expected attribute name once",
        [](Function& f) { f.ops.back().attributes.push_back(f.ops.back().attributes[0]); });
  check("expected an attribute name", [](Function& f) { f.ops.back().attributes[0].name = "?"; });
  check("expected 0 strings and 4 bytes", [](Function& f) {
    op_named(f, "const").attributes[1].value.data = Bytes(std::vector<std::byte>(3));
  });
  check("got 1 and 4",
        [](Function& f) { op_named(f, "const").attributes[1].value.strings.push_back("stray"); });
  check("expected opset ios15", [](Function& f) { f.ops.back().opset = "ios3"; });
}

TEST_CASE("damaged programs are refused") {
  const auto check = [](std::string_view phrase, const std::function<void(Program&)>& damage) {
    Program program = make_program();
    damage(program);
    std::string message = "accepted";
    try {
      verify(program);
    } catch (const Error& error) {
      message = error.message();
    }
    CAPTURE(message);
    CHECK(message.find(phrase) != std::string::npos);
  };
  check("expected unique function names", [](Program& p) { p.functions.push_back(p.main()); });
  check("expected a program with a function", [](Program& p) { p.functions.clear(); });
  check("expected a version", [](Program& p) { p.version = "one"; });
  check("expected a version", [](Program& p) { p.version.clear(); });
  check("expected an attribute name", [](Program& p) { p.attributes[0].name = "build info"; });
}

TEST_CASE("an error about a parsed op has the op's place, and a built one has none") {
  const Program parsed = parse(print(make_program()));
  Program damaged = parsed;
  damaged.main().values[static_cast<size_t>(damaged.main().find("r"))].type.shape[1] = 5;
  const auto line_of = [](const Program& program) {
    try {
      verify(program);
    } catch (const Error& error) {
      return error.detail().line;
    }
    return -1;
  };
  CHECK(line_of(damaged) == damaged.main().ops.back().location.line);
  CHECK(line_of(damaged) > 1);
  Program built = make_program();
  built.main().values[static_cast<size_t>(built.main().find("r"))].type.shape[1] = 5;
  CHECK(line_of(built) == 0);
}

TEST_CASE("explicit arguments are recognised") {
  const std::string head =
      "program(1.3){func main<ios18>(tensor<fp16, [2]> x){tensor<fp16, [2]> y=";
  const std::string tail = ";}->(y);}";
  const auto is_explicit = [&](const std::string& op) {
    return every_argument_explicit(parse(head + op + tail).main());
  };
  CHECK(is_explicit("softmax(x=x, axis=int32(0))"));
  CHECK_FALSE(is_explicit("softmax(x=x)"));
  CHECK(is_explicit("rsqrt(x=x, epsilon=fp16(0.5))"));
  CHECK_FALSE(is_explicit("rsqrt(x=x)"));
  CHECK_FALSE(is_explicit("layer_norm(x=x, epsilon=fp16(0.5))"));
  CHECK(is_explicit("layer_norm(x=x, axes=tensor<int32, [1]>([0]), epsilon=fp16(0.5))"));
}

// The forms of ane-facts.md 4.1 that programs in the wild use.
#include "base/status.h"
#include "mil/blob.h"
#include "mil/text.h"

#include <doctest/doctest.h>

using namespace anet;
using namespace anet::mil;

namespace {

std::string in_main(const std::string& body, const std::string& outputs = "y") {
  return "program(1.3)\n{\nfunc main<ios18>(tensor<fp16, [2, 3]> x) {\n" + body + "\n} -> (" +
         outputs + ");\n}\n";
}

// The value of `y`, a constant made of one literal.
Literal literal_of(const std::string& type, const std::string& literal, BlobFiles blobs = {}) {
  const Program program = parse(in_main(type + " c = const()[val = " + literal + "];\n" + type +
                                        " y = identity(x = c)[name = string(\"y\")];"),
                                std::move(blobs));
  const Function& main = program.main();
  const Literal* value = main.constant(main.find("c"));
  REQUIRE(value != nullptr);
  return *value;
}

} // namespace

TEST_CASE("both scalar spellings are one type") {
  CHECK(literal_of("int32", "tensor<int32, []>(5)") == Literal::int32(5));
  CHECK(literal_of("tensor<int32, []>", "int32(5)") == Literal::int32(5));
  CHECK(literal_of("string", "tensor<string, []>(\"valid\")") == Literal::string("valid"));
  CHECK(literal_of("bool", "bool(true)") == Literal::boolean(true));
}

TEST_CASE("number literals") {
  CHECK(literal_of("fp16", "fp16(0x1p-7)").number() == 0.0078125);
  CHECK(literal_of("fp32", "fp32(-0x1.8p+1)").number() == -3);
  CHECK(literal_of("fp32", "fp32(1)").number() == 1);
  CHECK(literal_of("fp32", "fp32(-1.5e-2)").number() == doctest::Approx(-0.015));
  CHECK(literal_of("fp32", "fp32(2E+3)").number() == 2000);
  CHECK(literal_of("fp32", "fp32(.5)").number() == 0.5);
  CHECK(literal_of("int8", "int8(-128)").number() == -128);
  CHECK(literal_of("uint8", "uint8(0xff)").number() == 255);
  CHECK(literal_of("int64", "int64(-9223372036854775808)").integers() ==
        std::vector<int64_t>{INT64_MIN});
  CHECK(literal_of("uint64", "uint64(18446744073709551615)").bits(0) == UINT64_MAX);
  CHECK(literal_of("uint4", "uint4(15)").number() == 15);
  // Rounded once: 1 + 2^-11 + 2^-40 is above the midpoint of two halves, though not as a float.
  CHECK(literal_of("fp16", "fp16(1.000488281250909494701772928237915)").bits(0) == 0x3c01);
}

TEST_CASE("lists are flat or nested like the shape") {
  const std::vector<double> expected{1, 2, 3, 4};
  CHECK(literal_of("tensor<int32, [2, 2]>", "tensor<int32, [2,2]>([1,2,3,4])").numbers() ==
        expected);
  CHECK(literal_of("tensor<int32, [2, 2]>", "tensor<int32, [2,2]>([[1,2],[3,4]])").numbers() ==
        expected);
  CHECK(literal_of("tensor<string, [2]>", "tensor<string, [2]>([\"a\", \"\\n\"])").strings ==
        std::vector<std::string>{"a", "\n"});
}

TEST_CASE("white space is free") {
  const Program program = parse("program(1.0)[a=string(\"b\")]{func f<ios16>(fp16 x){fp16 "
                                "y=relu(x=x);}->(y);}");
  CHECK(program.version == "1.0");
  CHECK(program.main().name == "f");
  CHECK(program.main().opset == "ios16");
  CHECK_NOTHROW(parse("\t\r\nprogram (1.3)\n{func\nmain < ios18 > (fp16\tx ) { fp16 y\n=relu ( x "
                      "=x ) ;} ->( y ) ; }\n\n"));
}

TEST_CASE("the header's dictionary, in both spellings") {
  const std::string body = "{func main<ios16>(fp16 x){fp16 y=relu(x=x);}->(y);}";
  const std::vector<std::pair<std::string, std::string>> expected{{"coremltools-version", "9.0"}};
  for (const std::string type :
       {"dict<string, string>", "dict<tensor<string, []>, tensor<string, []>>"}) {
    const Program program = parse("program(1.0)[buildInfo = " + type +
                                  "({{\"coremltools-version\", \"9.0\"}})]" + body);
    CHECK(program.attributes.front().name == "buildInfo");
    CHECK(program.attributes.front().value.entries == expected);
  }
  CHECK_NOTHROW(parse("program(1.3)" + body)); // without any header
}

TEST_CASE("inline literal arguments become constants with names of their own") {
  const Program program = parse(in_main(
      "tensor<int32, [1]> c_0 = const()[name = string(\"c_0\"), val = tensor<int32, [1]>([1])];\n"
      "tensor<fp16, [2, 1]> s = reduce_sum(x = x, axes = c_0, keep_dims = bool(true));\n"
      "tensor<fp16, [2, 4]> c_1 = concat(values = (x, s), axis = int32(-1), interleave = "
      "bool(false));\n"
      "tensor<fp16, [2, 4]> y = softmax(x = c_1, axis = tensor<int32, []>(1));"));
  const Function& main = program.main();
  const Operation& softmax = main.ops.back();
  CHECK(main.constant(softmax, "axis")->integer() == 1);
  const Operation& sum = main.ops[2];
  CHECK(std::string(sum.name()) == "reduce_sum");
  CHECK(main.value(sum.input("keep_dims")).name == "c_2"); // c_0 and c_1 are the text's own
  CHECK(main.ops[1].attribute("name")->value.string() == "c_2");
  CHECK(parse(print(program)) == program);
}

TEST_CASE("several outputs and several functions") {
  const Program program =
      parse("program(1.5){func main_ane<ios17>(tensor<fp16, [4]> x){"
            "tensor<fp16, [1]> a, tensor<fp16, [3]> b = split(x=x, "
            "split_sizes=tensor<int32,[2]>([1,3]), axis=int32(0))[name=string(\"s\")];}->(b, a);"
            "func second<ios18>(fp32 x){fp32 y=relu(x=x);}->(y);}");
  REQUIRE(program.functions.size() == 2);
  const Function& first = program.functions[0];
  CHECK(first.value(first.outputs[0]).name == "b");
  CHECK(first.type(first.output("a")).shape == Shape{1});
}

TEST_CASE("tensor_buffer ports with the opset of their ops") {
  const Program program = parse(
      "program(1.3){func main<ios16>(tensor_buffer<fp16, shape=[1,1,2,8], strides=[64,64,32,1], "
      "interleave_factors=[1,1,1,1]> a){tensor<fp16,[1,1,2,8]> "
      "t=tensor_buffer_to_tensor<ios17>(input=a);}->(t);}");
  const Function& main = program.main();
  CHECK(main.ops.front().opset == "ios17");
  const BufferLayout expected{{64, 64, 32, 1}, {1, 1, 1, 1}};
  CHECK(main.type(main.inputs.front()).buffer == expected);
}

TEST_CASE("constexpr operands are arguments or attributes") {
  const std::string parameters =
      "axis = int32(0), quantized_data = tensor<int8, [2, 3]>([1,2,3,4,5,6]), scale = "
      "tensor<fp16, [2]>([0.5, 2.0]), zero_point = int8(0)";
  const std::string tail = ";\ntensor<fp16, [2, 3]> y = add(x = x, y = w);";
  const Program as_attributes = parse(
      in_main("tensor<fp16, [2, 3]> w = constexpr_affine_dequantize()[" + parameters + "]" + tail));
  const Program as_arguments = parse(
      in_main("tensor<fp16, [2, 3]> w = constexpr_affine_dequantize(" + parameters + ")" + tail));
  for (const Program* program : {&as_attributes, &as_arguments}) {
    const Function& main = program->main();
    const Operation& op = main.ops[main.ops.size() - 2];
    REQUIRE(std::string(op.name()) == "constexpr_affine_dequantize");
    CHECK(main.constant(op, "quantized_data")->numbers() == std::vector<double>{1, 2, 3, 4, 5, 6});
    CHECK(main.constant(op, "scale")->numbers() == std::vector<double>{0.5, 2});
    CHECK(parse(print(*program)) == *program);
  }
}

TEST_CASE("BLOBFILE in both spellings reads the file") {
  const Literal weight =
      Literal::numbers({DataType::fp32, {2, 2}, {}}, std::vector<double>{1, 2, 3, 4});
  BlobWriter writer;
  const uint64_t offset = writer.add(DataType::fp32, weight.data.view(), 4);
  const BlobFiles blobs{{"@model_path/w.bin", Bytes(std::move(writer).finish())}};
  for (const std::string operands :
       {"path=string(\"@model_path/w.bin\"), offset=uint64(64)",
        "path = tensor<string, []>(\"@model_path/w.bin\"), offset = tensor<uint64, []>(64)"}) {
    const Literal value = literal_of("tensor<fp32, [2, 2]>",
                                     "tensor<fp32, [2,2]>(BLOBFILE(" + operands + "))", blobs);
    CHECK(value.numbers() == std::vector<double>{1, 2, 3, 4});
    CHECK(value.blob == BlobReference{"@model_path/w.bin", offset});
  }
}

TEST_CASE("names of types and keywords are names too") {
  CHECK_NOTHROW(parse("program(1.3){func func<ios18>(fp16 fp16, fp16 tensor){fp16 dict=add(x=fp16, "
                      "y=tensor);fp16 true=relu(x=dict);}->(true);}"));
}

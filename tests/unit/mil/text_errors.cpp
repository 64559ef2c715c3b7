// Malformed programs: each error names its place and what was expected.
#include "base/status.h"
#include "mil/text.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace anet;
using namespace anet::mil;

namespace {

struct Malformed {
  std::string text;
  int line;
  int column;
  std::string phrase;
  Status status = Status::invalid_program;
};

// Lines 1 and 2 are the head, line 3 is `body`, the rest follows.
std::string in_main(const std::string& body, const std::string& tail = "} -> (y);\n}") {
  return "program(1.3) {\nfunc main<ios18>(tensor<fp16, [2, 3]> x) {\n" + body + "\n" + tail;
}

const std::string good = "tensor<fp16, [2, 3]> y = relu(x = x);";

const std::vector<Malformed>& table() {
  static const std::vector<Malformed> cases{
      // The program and its functions.
      {"", 1, 1, "expected 'program', got the end of the text"},
      {"prog(1.3)", 1, 1, "expected 'program', got 'prog'"},
      {"program(x)", 1, 9, "expected a version like 1.3, got 'x'"},
      {"program(1.3) [a = 1] {", 1, 19, "expected a value like int32(1), got '1'"},
      {"program(1.3) {\n  fun main", 2, 3, "expected 'func', got 'fun'"},
      {"program(1.3) {\nfunc main<ios14>(", 2, 11, "expected opset ios15, ios16, ios17 or ios18"},
      {"program(1.3) {\nfunc main(fp16 x)", 2, 10, "expected '<', got '('"},
      {"program(1.3) {\nfunc 1main<ios18>(", 2, 6, "expected a function name, got '1main'"},
      {"program(1.3) {}", 0, 0, "expected a program with a function"},
      {in_main(good) + " x", 5, 3, "expected the end of the text, got 'x'"},
      {in_main(good, "} -> (y, y);\n}"), 4, 10, "expected unique outputs, got 'y' twice"},
      {in_main(good, "} -> (z);\n}"), 4, 7, "expected a value that is defined above, got 'z'"},
      {in_main(good, "} -> ();\n}"), 0, 0, "expected function 'main' to have an output"},
      {in_main(good, "} -> (y)\n}"), 5, 1, "expected ';', got '}'"},
      {in_main(good, ""), 4, 1, "expected a type, got the end of the text"},
      {in_main(good, "} -> (y);\nfunc main<ios18>(fp16 x) {fp16 y = relu(x=x);} -> (y);}"), 5, 1,
       "expected unique function names, got 'main' again"},
      {"program(1.3) {\nfunc main<ios18>(fp16 x, fp16 x)", 2, 31, "expected a new name, got 'x'"},
      // Types.
      {in_main("tensor<fp17, [2]> y = relu(x = x);"), 3, 8, "expected an element type, got 'fp17'"},
      {in_main("float y = relu(x = x);"), 3, 1, "expected a type, got 'float'"},
      {in_main("tensor<fp16, [2, 0]> y = relu(x = x);"), 3, 18, "expected an extent from 1 to"},
      {in_main("tensor<fp16, [-2]> y = relu(x = x);"), 3, 15, "expected an extent from 1 to"},
      {in_main("tensor<fp16, [1.5]> y = relu(x = x);"), 3, 15, "expected an extent from 1 to"},
      {in_main("tensor<fp16, [9999999999]> y = relu(x = x);"), 3, 15, "expected an extent"},
      {in_main("tensor<fp16, [1,1,1,1,1,1,1,1,1]> y = relu(x = x);"), 3, 31, "at most 8 axes"},
      {in_main("tensor<fp16, [2000000000, 2000000000]> y = relu(x = x);"), 3, 1,
       "at most 281474976710656 elements"},
      {in_main("tensor<fp16 y = relu(x = x);"), 3, 13, "expected ',', got 'y'"},
      {in_main("tensor_buffer<fp16, shape=[2], strides=[1, 1], interleave_factors=[1]> y = "
               "identity(x = x);"),
       3, 1, "expected 1 strides and interleave factors, got 2 and 1"},
      {in_main("tensor_buffer<fp16, strides=[1]> y = relu(x = x);"), 3, 21, "expected 'shape'"},
      // Statements.
      {in_main("tensor<fp16, [2, 3]> y = rellu(x = x);"), 3, 26,
       "an op of the op table, got "
       "'rellu'"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = z);"), 3, 35, "defined above, got 'z'"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = y);"), 3, 35, "defined above, got 'y'"},
      {in_main("tensor<fp16, [2, 3]> y = relu(a = x);"), 3, 31, "an argument of relu, got 'a'"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = x, x = x);"), 3, 38, "argument x once"},
      {in_main("tensor<fp16, [2, 3]> x = relu(x = x);"), 3, 22, "expected a new name, got 'x'"},
      {in_main("tensor<fp16, [2, 3]> y = relu();"), 3, 1, "expected argument x, got none"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = true);"), 3, 35, "defined above, got 'true'"},
      {in_main("tensor<fp16, [2, 3]> y = softmax(x = x, axis = -1);"), 3, 48,
       "expected a value, got '-1'"},
      {in_main("tensor<fp16, [2, 4]> y = relu(x = x);"), 3, 1,
       "expected declared type tensor<fp16, [2, 3]>, got tensor<fp16, [2, 4]>"},
      {in_main("tensor<fp32, [2, 3]> y = relu(x = x);"), 3, 1, "expected declared type"},
      {in_main("fp16 a, fp16 y = relu(x = x);"), 3, 1, "expected 1 outputs, got 2"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = (x));"), 3, 1, "expected one value for x"},
      {in_main("tensor<fp16, [2, 3]> y = softmax(x = x, axis = x);"), 3, 1,
       "expected axis of type int32"},
      {in_main("tensor<fp16, [2, 3]> y = softmax(x = x, axis = int32(2));"), 3, 1,
       "expected axis in [-2, 2), got 2"},
      {in_main("tensor<fp16, [2, 3]> y = gelu(x = x, mode = string(\"FAST\"));"), 3, 1,
       "expected mode EXACT, TANH_APPROXIMATION or SIGMOID_APPROXIMATION, got 'FAST'"},
      {in_main("tensor<fp16, [2, 3]> y = cast(x = x, dtype = string(\"fp64\"));"), 3, 1,
       "expected dtype"},
      {in_main("tensor<fp16, [2, 3]> y = scaled_dot_product_attention<ios17>(query = x, key = x, "
               "value = x);"),
       3, 1, "expected opset ios18 or later, got ios17"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = x)[a = bool(true), a = bool(true)];"), 3, 54,
       "expected attribute a once"},
      {in_main("tensor<fp16, [2, 3]> y = const();"), 3, 1, "expected argument val, got none"},
      {in_main("tensor<fp16, [2, 3]> y = relu(x = x)"), 4, 1, "expected ';', got '}'"},
      // Literals.
      {in_main("int32 y = const()[val = int32(1.5)];"), 3, 31, "an integer that fits int32"},
      {in_main("int8 y = const()[val = int8(128)];"), 3, 29, "an integer that fits int8"},
      {in_main("uint8 y = const()[val = uint8(-1)];"), 3, 31, "an integer that fits uint8"},
      {in_main("bool y = const()[val = bool(1)];"), 3, 29, "expected true or false, got '1'"},
      {in_main("fp16 y = const()[val = fp16(abc)];"), 3, 29, "expected a number of type fp16"},
      {in_main("fp16 y = const()[val = fp16(1.2.3)];"), 3, 29, "expected a number of type fp16"},
      {in_main("fp16 y = const()[val = fp16(nan(0x3c00))];"), 3, 33, "the bits of a nan"},
      {in_main("fp16 y = const()[val = fp16(\"1\")];"), 3, 29, "a number of type fp16, got string"},
      {in_main("tensor<int32, [3]> y = const()[val = tensor<int32, [3]>([1, 2])];"), 3, 57,
       "expected 3 entries in this list of tensor<int32, [3]>, got 2"},
      {in_main("tensor<int32, [2, 2]> y = const()[val = tensor<int32, [2, 2]>([[1,2],[3]])];"), 3,
       70, "expected 2 entries in this list of tensor<int32, [2, 2]>, got 1"},
      {in_main("tensor<int32, [2, 2]> y = const()[val = tensor<int32, [2, 2]>([[1,2],3])];"), 3, 70,
       "expected '[', got '3'"},
      {in_main("tensor<int32, [2]> y = const()[val = tensor<int32, [2]>([[1,2]])];"), 3, 58,
       "expected lists nested at most 1 deep"},
      {in_main("string y = const()[val = string(\"a\\q\")];"), 3, 33, "got '\\q'"},
      {in_main("string y = const()[val = string(\"a\\x1\")];"), 3, 33, "two hexadecimal digits"},
      {in_main("string y = const()[val = string(\"a"), 3, 33, "expected a closing quote"},
      {in_main("tensor<fp16, [4]> y = const()[val = tensor<fp16, [4]>(BLOBFILE(path = "
               "string(\"w\"), offset = uint64(64)))];"),
       3, 37, "expected blob file 'w' to be given", Status::invalid_blob},
      {in_main("tensor<fp16, [4]> y = const()[val = tensor<fp16, [4]>(BLOBFILE(path = "
               "string(\"w\"), offset = int32(64)))];"),
       3, 93, "expected uint64 for offset, got int32"},
      // Characters.
      {in_main(good + " // note"), 3, 39, "expected MIL text, got character '/'"},
      {in_main(good + " \x01"), 3, 39, "expected MIL text, got character '\\x01'"},
      {in_main("tensor<fp16, [2, 3]> " + std::string(2000, 'y') + " = relu(x = x);"), 3, 22,
       "expected an identifier of at most 1024 characters, got 2000"},
      {in_main("fp16 y = const()[val = fp16(" + std::string(600, '1') + ")];"), 3, 29,
       "expected a number of at most 512 characters"},
  };
  return cases;
}

} // namespace

TEST_CASE("malformed programs are refused at the right place, for the right reason") {
  for (const Malformed& malformed : table()) {
    CAPTURE(malformed.text);
    try {
      parse(malformed.text);
      FAIL_CHECK("parsed");
    } catch (const Error& error) {
      CHECK(error.status() == malformed.status);
      CHECK(error.detail().line == malformed.line);
      CHECK(error.detail().column == malformed.column);
      CAPTURE(error.message());
      CHECK(error.message().find(malformed.phrase) != std::string::npos);
      CHECK(error.message().find('\n') == std::string::npos);
      CHECK(error.message().back() != '.');
    }
  }
}

TEST_CASE("the good program of the table parses") { CHECK_NOTHROW(parse(in_main(good))); }

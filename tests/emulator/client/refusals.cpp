// Texts that the compiler does not take (ane-facts.md 4.1, 4.3 to 4.5).
#include "../ane_emulator.h"
#include "client.h"

#include <doctest/doctest.h>

using namespace client;

namespace {

const std::string type = "tensor<fp16, [1, 4, 1, 32]>";

enum class Answer { compiled, invalid, failed, other };

Answer compile(const std::string& text) {
  const Pool pool;
  Model model(text);
  if (model.compile()) return Answer::compiled;
  CHECK(std::string(model.failure().domain) == "com.apple.appleneuralengine.compiler");
  CHECK(model.failure().code == 1);
  const std::string detail = model.failure().underlying;
  CHECK(detail.starts_with("ANECCompile(" + model.directory() + ") FAILED: err="));
  if (detail.ends_with("( InvalidMILProgram )")) return Answer::invalid;
  return detail.ends_with("( CompilationFailure )") ? Answer::failed : Answer::other;
}

Answer body(const std::string& statements) {
  return compile(program(type + " x, " + type + " z", statements, "y"));
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("every argument must be there") {
  const Reset reset;
  const std::vector<std::pair<std::string, std::string>> required = {
      {type + " y = softmax(x = x, axis = int32(1));\n", ", axis = int32(1)"},
      {type + " y = gelu(x = x, mode = string(\"EXACT\"));\n", ", mode = string(\"EXACT\")"},
      {type + " y = rsqrt(x = x, epsilon = fp16(0x1p-10));\n", ", epsilon = fp16(0x1p-10)"},
      {type + " y = log(x = x, epsilon = fp16(0x1p-10));\n", ", epsilon = fp16(0x1p-10)"},
      {"tensor<fp16, [1, 8, 1, 32]> y = concat(values = (x, z), axis = int32(1), interleave = "
       "bool(false));\n",
       ", interleave = bool(false)"},
      {"tensor<fp16, [1, 1, 1, 32]> y = reduce_sum(x = x, axes = tensor<int32, [1]>([1]), "
       "keep_dims = bool(true));\n",
       ", keep_dims = bool(true)"},
      {"tensor<fp16, [1, 4, 1, 1]> y = matmul(x = x, y = z, transpose_x = bool(false), transpose_y "
       "= bool(true));\n",
       "transpose_x = bool(false), "},
      {type + " y = add(x = x, y = z);\n", ", y = z"},
  };
  for (const auto& [statement, argument] : required) {
    CAPTURE(statement);
    CHECK(body(statement) == Answer::compiled);
    CHECK(body(replaced(statement, argument, "")) == Answer::invalid);
    CHECK(std::string(ane_emulator_last_refusal()).find("is missing") != std::string::npos);
  }
}

TEST_CASE("names, types and literals") {
  const Reset reset;
  const std::string good = type + " y = add(x = x, y = z);\n";
  CHECK(body(good) == Answer::compiled);
  CHECK(body(replaced(good, "y = z", "y = q")) == Answer::invalid);               // not declared
  CHECK(body(good + good) == Answer::invalid);                                    // declared twice
  CHECK(body(replaced(good, "32]", "31]")) == Answer::invalid);                   // shape
  CHECK(body(replaced(good, "fp16", "fp32")) == Answer::invalid);                 // type
  CHECK(body(replaced(good, "add(", "adds(")) == Answer::invalid);                // operation
  CHECK(body(replaced(good, "y = z)", "y = z, w = z)")) == Answer::invalid);      // argument
  CHECK(body(replaced(good, "y = z)", "y = z, y = z)")) == Answer::invalid);      // twice
  CHECK(body(replaced(good, "y = z", "y = 1")) == Answer::invalid);               // no type
  CHECK(body(replaced(good, "y = z", "y = fp16(1)")) == Answer::compiled);        // typed literal
  CHECK(body(replaced(good, "y = z", "y = fp16(0x1.8p-3)")) == Answer::compiled); // hex float
  CHECK(body(replaced(good, "y = z", "y = fp32(1)")) == Answer::invalid);         // other type
  CHECK(body(replaced(good, ";", "")) == Answer::invalid);                        // grammar
  CHECK(body("tensor<fp16, [1, 8, 1, 32]> y = concat(values = (x, z), axis = int32(1), interleave "
             "= false);\n") == Answer::invalid);
  CHECK(body("tensor<fp16, [1, 8, 1, 32]> y = concat(values = (x, z), axis = 1, interleave = "
             "bool(false));\n") == Answer::invalid);
  CHECK(body("tensor<fp16, [1, 8, 1, 32]> y = concat(values = (x, z), axis = int32(1.5), "
             "interleave = bool(false));\n") == Answer::invalid);
  CHECK(body("tensor<fp16, [2]> c = const()[name = string(\"c\"), val = tensor<fp16, [2]>([1, 2, "
             "3])];\n" +
             good) == Answer::invalid);
  CHECK(body("tensor<fp16, [2]> c = const()[name = string(\"c\")];\n" + good) == Answer::invalid);
  CHECK(body("tensor<fp16, [2]> c = const()[name = string(\"c\"), val = tensor<fp32, [2]>([1, "
             "2])];\n" +
             good) == Answer::invalid);
  CHECK(compile(program(type + " x, " + type + " z", good, "nobody")) == Answer::invalid);
  CHECK(compile(program(type + " x, " + type + " x", good, "y")) == Answer::invalid);
  CHECK(compile(replaced(program(type + " x, " + type + " z", good, "y"), "1.3", "2.0")) ==
        Answer::invalid);
  CHECK(compile(program(type + " x, " + type + " z", good, "y") + "}") == Answer::invalid);
  CHECK(compile("") == Answer::invalid);
  // scaled_dot_product_attention needs ios18.
  const std::string attention = "tensor<fp16, [1, 4, 1, 32]> y = "
                                "scaled_dot_product_attention(query = x, key = z, value = z);\n";
  CHECK(body(attention) == Answer::compiled);
  CHECK(compile(replaced(program(type + " x, " + type + " z", attention, "y"), "ios18", "ios17")) ==
        Answer::invalid);
}

TEST_CASE("old spellings are accepted") {
  const Reset reset;
  const std::string text =
      "program(1.0)\n[buildInfo = dict<tensor<string, []>, tensor<string, "
      "[]>>({{\"coremlc-component-MIL\", \"3510.2.1\"}})]\n{\n"
      "func main<ios16>(" +
      type +
      " x) {\n"
      "tensor<int32, []> a = const()[name = tensor<string, []>(\"a\"), val = tensor<int32, "
      "[]>(-1)];\n" +
      type + " y = softmax(axis = a, x = x)[name = tensor<string, []>(\"y\")];\n} -> (y);\n}\n";
  CHECK(compile(text) == Answer::compiled);
  const std::string bare =
      "program(1.5) { func f<ios18>(" + type + " x) { " + type + " y = relu(x = x); } -> (y); }";
  CHECK(compile(bare) == Answer::compiled);
  ane_emulator_reset();
  REQUIRE(ane_emulator_set("build_info", "1") == 1);
  CHECK(compile(bare) == Answer::invalid);
}

TEST_CASE("operations without a path, and rules of single operations") {
  const Reset reset;
  const std::string conv = "tensor<fp16, [4, 4, 1, 1]> w = const()[name = string(\"w\"), val = "
                           "tensor<fp16, [4, 4, 1, 1]>([1, 0, 0, 0, 0, 1, 0, "
                           "0, 0, 0, 1, 0, 0, 0, 0, 1])];\ntensor<fp16, [4]> b = const()[name = "
                           "string(\"b\"), val = tensor<fp16, [4]>([1, 1, 1, "
                           "1])];\n" +
                           type +
                           " y = conv(x = x, weight = w, bias = b, strides = tensor<int32, "
                           "[2]>([1, 1]), pad_type = string(\"valid\"), pad = "
                           "tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, [2]>([1, "
                           "1]), groups = int32(1));\n";
  CHECK(body(conv) == Answer::invalid);
  CHECK(body(replaced(conv, "bias = b, ", "")) == Answer::compiled);
  CHECK(body(replaced(replaced(conv, "bias = b, ", ""), "tensor<int32, [2]>([1, 1])",
                      "tensor<int32, [2]>([5, 5])")) != Answer::compiled);
  ane_emulator_set("conv_bias", "1");
  CHECK(body(conv) == Answer::compiled);
  ane_emulator_reset();
  CHECK(body(type + " y = mod(x = x, y = z);\n") == Answer::failed);
  CHECK(body("tensor<fp16, [1, 1, 1, 32]> s = reduce_sum(x = x, axes = tensor<int32, [1]>([1]), "
             "keep_dims = bool(true));\n"
             "tensor<fp16, [1, 1, 1, 32]> y = mul(x = s, y = fp16(0));\n") == Answer::failed);
  CHECK(body("tensor<fp16, [1, 4, 1, 32]> y = concat(values = (x), axis = int32(1), interleave = "
             "bool(false));\n") == Answer::failed);
  // A constant operand of matmul: M1 says no.
  const std::string matmul = "tensor<fp16, [32, 1]> c = const()[name = string(\"c\"), val = "
                             "tensor<fp16, [32, 1]>([1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
                             "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1])];\ntensor<fp16, [1, 4, 1, 1]> y = "
                             "matmul(x = x, y = c, transpose_x = bool(false), "
                             "transpose_y = bool(false));\n";
  CHECK(body(matmul) == Answer::compiled);
  ane_emulator_set("profile", "m1");
  CHECK(body(matmul) == Answer::invalid);
}

TEST_CASE("ports") {
  const Reset reset;
  const auto port = [](const std::string& parameter) {
    return compile(program(parameter + " x", parameter + " y = identity(x = x);\n", "y"));
  };
  CHECK(port("tensor<fp16, [1, 4, 1, 32]>") == Answer::compiled);
  CHECK(port("tensor<fp16, [4, 32]>") == Answer::compiled);
  CHECK(port("tensor<int32, [1, 4, 1, 32]>") == Answer::failed);
  CHECK(port("tensor<bool, [1, 4, 1, 32]>") == Answer::failed);
  CHECK(port("tensor<bf16, [1, 4, 1, 32]>") == Answer::failed);
  CHECK(port("tensor<fp16, [1, 1, 1, 1, 4, 32]>") == Answer::failed);
  CHECK(port("fp16") == Answer::failed);
  const std::string statement = type + " y = relu(x = x);\n";
  CHECK(compile(program(type + " x", statement, "x")) == Answer::failed); // nothing computes it
  CHECK(compile(program(
            "", type + " y = fill(shape = tensor<int32, [4]>([1, 4, 1, 32]), value = fp16(1));\n",
            "y")) == Answer::failed);
}

TEST_CASE("chips: limits and operations") {
  const auto on = [](const char* profile, const std::string& text) {
    ane_emulator_reset();
    REQUIRE(ane_emulator_set("profile", profile) == 1);
    return compile(text);
  };
  const Reset reset;
  const auto wide = [](const std::string& width) {
    const std::string wide_type = "tensor<fp16, [1, 1, 1, " + width + "]>";
    return program(wide_type + " x", wide_type + " y = relu(x = x);\n", "y");
  };
  CHECK(on("m1", wide("16384")) == Answer::compiled);
  CHECK(on("m1", wide("16385")) == Answer::failed);
  CHECK(on("m3", wide("17920")) == Answer::failed);
  CHECK(on("m4", wide("65536")) == Answer::compiled);
  CHECK(on("m5", wide("65537")) == Answer::failed);
  const std::string sine = program(type + " x", type + " y = sin(x = x);\n", "y");
  CHECK(on("m1", sine) == Answer::failed);
  CHECK(on("m3", sine) == Answer::compiled);
  const std::string topk = program("tensor<fp16, [1, 1, 1, 32]> x",
                                   "tensor<fp16, [1, 1, 1, 3]> y, tensor<int32, [1, 1, 1, 3]> i = "
                                   "topk(x = x, k = int32(3), axis = int32(3), "
                                   "ascending = bool(false), sort = bool(true), return_indices = "
                                   "bool(true), output_indices_dtype = "
                                   "string(\"int32\"));\n",
                                   "y");
  CHECK(on("m1", topk) == Answer::failed);
  CHECK(on("m5", topk) == Answer::failed);
  const std::string channels = program(type + " x, " + type + " z",
                                       "tensor<fp16, [1, 4, 1, 1]> y = matmul(x = x, y = z, "
                                       "transpose_x = bool(false), transpose_y = bool(true));\n",
                                       "y");
  CHECK(on("a17", channels) == Answer::failed);
  CHECK(on("m4", channels) == Answer::compiled);

  const Pool pool;
  for (const auto& [profile, architecture, board] : {std::tuple{"m1", "h13g", 96ull},
                                                     {"m3", "h15g", 192ull},
                                                     {"m4", "h16g", 256ull},
                                                     {"m5", "h17s", 544ull},
                                                     {"a17", "h16", 208ull}}) {
    REQUIRE(ane_emulator_set("profile", profile) == 1);
    void* device = bridge_class("_ANEDeviceInfo");
    CHECK(std::string(bridge_text(device, "aneArchitectureType")) == architecture);
    CHECK(bridge_number(device, "aneBoardType") == board);
    CHECK((bridge_number(device, "numANECores") & 0xffffffff) == 16);
    CHECK(bridge_flag(device, "hasANE"));
  }
}

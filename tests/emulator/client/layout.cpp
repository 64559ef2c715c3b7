// Surfaces, strides and binding (ane-facts.md 0.1 to 0.4, 2).
#include "../ane_emulator.h"
#include "client.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

using namespace client;

namespace {

std::string pass_through(int64_t channels, int64_t width) {
  const std::string type =
      "tensor<fp16, [1, " + std::to_string(channels) + ", 1, " + std::to_string(width) + "]>";
  return program(type + " x", type + " y = add(x = x, y = x)[name = string(\"y\")];\n", "y");
}

} // namespace

TEST_CASE("a surface has the keys that it was made with") {
  const Pool pool;
  const Reset reset;
  const long long before = ane_emulator_count("live_surfaces");
  void* surface = bridge_surface(24, 3, 2, 64, 192);
  REQUIRE(surface != nullptr);
  CHECK(IOSurfaceGetWidth(surface) == 24);
  CHECK(IOSurfaceGetHeight(surface) == 3);
  CHECK(IOSurfaceGetBytesPerElement(surface) == 2);
  CHECK(IOSurfaceGetBytesPerRow(surface) == 64);
  CHECK(IOSurfaceGetAllocSize(surface) == 16384);
  CHECK(reinterpret_cast<uintptr_t>(IOSurfaceGetBaseAddress(surface)) % 16384 == 0);
  CHECK(ane_emulator_count("live_surfaces") == before + 1);

  void* same = IOSurfaceLookup(IOSurfaceGetID(surface));
  CHECK(same == surface);
  CHECK(CFGetRetainCount(surface) == 2);
  CFRelease(same);

  uint32_t first = 0;
  uint32_t second = 0;
  CHECK(IOSurfaceLock(surface, 0, &first) == 0);
  CHECK(IOSurfaceUnlock(surface, 0, &second) == 0);
  CHECK(second == first + 1);
  CHECK(IOSurfaceUnlock(surface, 0, nullptr) != 0);
  const uint32_t identifier = IOSurfaceGetID(surface);
  CFRelease(surface);
  CHECK(IOSurfaceLookup(identifier) == nullptr);
  CHECK(ane_emulator_count("live_surfaces") == before);
  CHECK(bridge_surface(0, 0, 0, 0, 0) == nullptr);
  CHECK(bridge_surface(64, 4, 1, 64, 128) == nullptr); // fewer bytes than rows
}

TEST_CASE("a surface from CoreFoundation's dictionary and numbers") {
  const Pool pool;
  void* surface = bridge_surface_core_foundation(40000);
  REQUIRE(surface != nullptr);
  CHECK(IOSurfaceGetAllocSize(surface) == 49152);
  CHECK(IOSurfaceGetBytesPerRow(surface) == 40000);
  CFRelease(surface);
}

TEST_CASE("rows are padded to 64 bytes, whatever the width") {
  const Pool pool;
  const Reset reset;
  for (const int64_t width : {1, 24, 30, 32, 33, 256}) {
    CAPTURE(width);
    Model model(pass_through(5, width));
    model.ready();
    const Port port = model.inputs().front();
    const int64_t row = (width * 2 + 63) / 64 * 64;
    CHECK(port.row_stride == row);
    CHECK(port.plane_stride == row);
    CHECK(port.batch_stride == 5 * row);
    CHECK(std::string(port.type) == "Float16");
    const std::vector<double> x = sequence(5 * width, static_cast<uint64_t>(width));
    const Values results = model.run({{"x", x}});
    for (size_t i = 0; i < x.size(); ++i) CHECK(results.at("y")[i] == 2 * x[i]);
  }
}

TEST_CASE("an evaluation does not keep what is in the padding of a row") {
  const Pool pool;
  const Reset reset;
  Model model(pass_through(2, 24));
  model.ready();
  const Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> inputs;
  std::vector<Surface> outputs;
  inputs.emplace_back(port_bytes(in));
  outputs.emplace_back(port_bytes(out));
  inputs[0].write(in, sequence(48, 1));
  REQUIRE(model.evaluate(make_request({in}, inputs, {out}, outputs)));
  CHECK(outputs[0].bytes()[48] == 0x7f);
  CHECK(outputs[0].bytes()[63] == 0x7f);
  CHECK(outputs[0].bytes()[127] == 0x7f);
  CHECK(outputs[0].bytes()[128] == 0); // behind the port

  outputs[0].bytes()[50] = 1;
  REQUIRE(ane_emulator_set("garbage_padding", "0") == 1);
  REQUIRE(model.evaluate(make_request({in}, inputs, {out}, outputs)));
  CHECK(outputs[0].bytes()[50] == 1);
}

TEST_CASE("a surface that is too small is status 0x1d, a larger one works") {
  const Pool pool;
  const Reset reset;
  // 300 channels of 64 bytes are 19200 bytes: packed, 300 * 24 * 2 = 14400 fit into one page.
  Model model(pass_through(300, 24));
  model.ready();
  const Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> small;
  std::vector<Surface> large;
  std::vector<Surface> result;
  small.emplace_back(14400);
  large.emplace_back(40000);
  result.emplace_back(port_bytes(out));
  large[0].write(in, sequence(7200, 3));
  CHECK_FALSE(model.evaluate(make_request({in}, small, {out}, result)));
  CHECK(std::string(model.failure().domain) == "com.apple.appleneuralengine");
  CHECK(model.failure().code == 8);
  CHECK(std::string(model.failure().text) ==
        "processRequest:model:qos:qIndex:modelStringID:options:returnValue:error:: "
        "ANEProgramProcessRequestDirect() "
        "Failed with status=0x1d : statusType=0x9: Program Inference error");
  CHECK(model.evaluate(make_request({in}, large, {out}, result)));
  CHECK(result[0].read(out)[7199] == 2 * sequence(7200, 3)[7199]);

  REQUIRE(ane_emulator_set("small_surface_zeros", "1") == 1);
  CHECK(model.evaluate(make_request({in}, small, {out}, result)));
  CHECK(result[0].read(out)[7199] == 0);
}

TEST_CASE(
    "nine inputs and five outputs of different sizes bind in the order of their names' bytes") {
  const Pool pool;
  const Reset reset;
  // Declared in an order that is neither theirs nor that of their sizes.
  const std::vector<std::string> declared = {"x10", "x2", "b", "Z", "_q", "a", "x1", "B", "c"};
  const std::vector<std::string> sorted = {"B", "Z", "_q", "a", "b", "c", "x1", "x10", "x2"};
  std::string parameters;
  Values values;
  for (size_t i = 0; i < declared.size(); ++i) {
    const int64_t width = 7 + 13 * static_cast<int64_t>(i);
    parameters += (i > 0 ? ", " : "") + std::string("tensor<fp16, [1, 3, 1, ") +
                  std::to_string(width) + "]> " + declared[i];
    values[declared[i]] = sequence(3 * width, i + 1);
  }
  std::string body;
  std::string results;
  const std::vector<std::string> returned = {"r3", "R", "r20", "r1", "k"};
  for (size_t i = 0; i < returned.size(); ++i) {
    const int64_t width = 7 + 13 * static_cast<int64_t>(i);
    const std::string factor = "fp16(" + std::to_string(i + 1) + ")";
    body += "tensor<fp16, [1, 3, 1, " + std::to_string(width) + "]> " + returned[i] +
            " = mul(x = " + declared[i] + ", y = " + factor + ")[name = string(\"" + returned[i] +
            "\")];\n";
    results += (i > 0 ? ", " : "") + returned[i];
  }
  Model model(program(parameters, body, results));
  model.ready();
  char names[16][64];
  REQUIRE(bridge_symbols(model.model(), 0, names, 16) == 9);
  for (size_t i = 0; i < sorted.size(); ++i) CHECK(names[i] == sorted[i]);
  const std::vector<std::string> symbols = {"R@output", "k@output", "r1@output", "r20@output",
                                            "r3@output"};
  REQUIRE(bridge_symbols(model.model(), 1, names, 16) == 5);
  for (size_t i = 0; i < symbols.size(); ++i) CHECK(names[i] == symbols[i]);

  const Values got = model.run(values);
  for (size_t i = 0; i < returned.size(); ++i) {
    CAPTURE(returned[i]);
    const std::vector<double>& x = values[declared[i]];
    const std::vector<double>& y = got.at(returned[i]);
    REQUIRE(y.size() == x.size());
    for (size_t j = 0; j < x.size(); ++j) CHECK(y[j] == as_half(x[j] * static_cast<double>(i + 1)));
  }
}

TEST_CASE("symbols that are not the procedure's are status 0x2") {
  const Pool pool;
  const Reset reset;
  Model model(pass_through(2, 32));
  model.ready();
  Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> inputs;
  std::vector<Surface> outputs;
  inputs.emplace_back(port_bytes(in));
  outputs.emplace_back(port_bytes(out));
  // One procedure takes any index up to 15.
  CHECK(model.evaluate(make_request({in}, inputs, {out}, outputs, 15)));
  in.symbol = 1;
  CHECK_FALSE(model.evaluate(make_request({in}, inputs, {out}, outputs)));
  CHECK(std::string(model.failure().text).find("status=0x2 ") != std::string::npos);
}

TEST_CASE("a request that does not validate is a bad argument") {
  const Pool pool;
  const Reset reset;
  Model model(pass_through(2, 32));
  model.ready();
  const Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> inputs;
  std::vector<Surface> outputs;
  inputs.emplace_back(port_bytes(in));
  outputs.emplace_back(port_bytes(out));
  std::vector<Surface> two;
  two.emplace_back(port_bytes(in));
  two.emplace_back(port_bytes(in));
  void* good = make_request({in}, inputs, {out}, outputs);
  CHECK(bridge_flag(good, "validate"));
  CHECK(bridge_number(good, "ioSurfacesCount") == 2);
  Port far = in;
  far.symbol = 255;
  CHECK_FALSE(bridge_flag(make_request({far}, inputs, {out}, outputs), "validate"));
  CHECK_FALSE(bridge_flag(make_request({in}, inputs, {out}, outputs, 0x81), "validate"));
  CHECK_FALSE(bridge_flag(make_request({}, {}, {out}, outputs), "validate"));
  CHECK_FALSE(model.evaluate(make_request({far}, inputs, {out}, outputs)));
  CHECK(model.failure().code == 26);
  CHECK_FALSE(
      model.evaluate(make_request({in, in}, two, {out}, outputs))); // well formed, one too many
  CHECK(std::string(model.failure().text).find("status=0x2 ") != std::string::npos);
}

TEST_CASE("several functions are procedures with symbols of their own") {
  const Pool pool;
  const Reset reset;
  const std::string type = "tensor<fp16, [1, 4, 1, 32]>";
  const auto function = [&](const std::string& name, const std::string& op) {
    return "func " + name + "<ios18>(" + type + " x, " + type + " a) {\n" + type + " y = " + op +
           "(x = x, y = a)[name = string(\"y\")];\n} -> (y);\n";
  };
  Model model("program(1.3)\n{\n" + function("first", "sub") + function("second", "mul") + "}\n");
  model.ready();
  const Values given = {{"x", sequence(128, 1)}, {"a", sequence(128, 2)}};
  const Values difference = model.run(given, 0);
  const Values product = model.run(given, 1);
  for (size_t i = 0; i < 128; ++i) {
    CHECK(difference.at("y")[i] == as_half(given.at("x")[i] - given.at("a")[i]));
    CHECK(product.at("y")[i] == as_half(given.at("x")[i] * given.at("a")[i]));
  }
  std::set<int64_t> symbols;
  for (const Port& port : model.inputs(0)) symbols.insert(port.symbol);
  for (const Port& port : model.inputs(1)) symbols.insert(port.symbol);
  CHECK(symbols.size() == 4);
  CHECK(bridge_procedure_id(model.model(), "first") == 0);
  CHECK(bridge_procedure_id(model.model(), "second") == 1);
  CHECK(bridge_has_symbol_index(model.model(), 1, 2));
  CHECK_FALSE(bridge_has_symbol_index(model.model(), 1, 0));

  std::vector<Surface> inputs;
  std::vector<Surface> outputs;
  for (const Port& port : model.inputs(0)) inputs.emplace_back(port_bytes(port));
  outputs.emplace_back(port_bytes(model.outputs(0).front()));
  CHECK_FALSE(model.evaluate(make_request(model.inputs(0), inputs, model.outputs(0), outputs, 1)));
  CHECK(std::string(model.failure().text).find("status=0x2 ") != std::string::npos);
}

TEST_CASE("fp32, int8, uint8 and tensor_buffer ports") {
  const Pool pool;
  const Reset reset;
  SUBCASE("fp32 is rounded to fp16 on its way in") {
    Model model(program("tensor<fp32, [1, 2, 1, 3]> x",
                        "tensor<fp16, [1, 2, 1, 3]> h = cast(x = x, dtype = string(\"fp16\"));\n"
                        "tensor<fp32, [1, 2, 1, 3]> y = cast(x = h, dtype = string(\"fp32\"));\n",
                        "y"));
    model.ready();
    CHECK(std::string(model.inputs().front().type) == "Float32");
    const std::vector<double> x = {1.0 / 3, 65519, 65520, 1e-8, -70000, 3e-5};
    const std::vector<double> y = model.run({{"x", x}}).at("y");
    CHECK(y[0] == as_half(static_cast<float>(1.0 / 3)));
    CHECK(y[1] == 65504);
    CHECK(y[2] == INFINITY);
    CHECK(y[3] == 0);
    CHECK(y[4] == -INFINITY);
    CHECK(y[5] == as_half(static_cast<float>(3e-5)));
  }
  SUBCASE("int8 with quantize and dequantize") {
    Model model(
        program("tensor<int8, [1, 2, 1, 4]> x",
                "tensor<fp16, [1, 2, 1, 4]> h = dequantize(input = x, scale = fp16(0x1p-4));\n"
                "tensor<fp16, [1, 2, 1, 4]> d = mul(x = h, y = fp16(2));\n"
                "tensor<int8, [1, 2, 1, 4]> y = quantize(input = d, scale = fp16(0x1p-4), "
                "output_dtype = string(\"int8\"));\n",
                "y"));
    model.ready();
    const std::vector<double> y = model.run({{"x", {-128, -64, -1, 0, 1, 63, 64, 127}}}).at("y");
    CHECK(y == std::vector<double>{-128, -128, -2, 0, 2, 126, 127, 127});
  }
  SUBCASE("uint8") {
    Model model(program("tensor<uint8, [1, 1, 1, 3]> x",
                        "tensor<fp16, [1, 1, 1, 3]> y = cast(x = x, dtype = string(\"fp16\"));\n",
                        "y"));
    model.ready();
    CHECK(model.run({{"x", {0, 128, 255}}}).at("y") == std::vector<double>{0, 128, 255});
  }
  SUBCASE("tensor_buffer") {
    const std::string layout =
        "tensor_buffer<fp16, shape = [1, 1, 3, 5], strides = [192, 192, 64, 1], "
        "interleave_factors = [1, 1, 1, 1]>";
    Model model(
        program(layout + " x",
                "tensor<fp16, [1, 1, 3, 5]> t = tensor_buffer_to_tensor<ios17>(input = x);\n"
                "tensor<fp16, [1, 1, 3, 5]> d = add(x = t, y = t);\n" +
                    layout +
                    " y = tensor_to_tensor_buffer<ios17>(input = d, interleave_factors = "
                    "tensor<uint8, [4]>([1, 1, 1, "
                    "1]), strides = tensor<int64, [4]>([192, 192, 64, 1]));\n",
                "y"));
    model.ready();
    const Port port = model.inputs().front();
    CHECK(port.row_stride == 128);
    CHECK(port_bytes(port) == 384);
    const std::vector<double> x = sequence(15, 4);
    const std::vector<double> y = model.run({{"x", x}}).at("y");
    for (size_t i = 0; i < 15; ++i) CHECK(y[i] == 2 * x[i]);
  }
}

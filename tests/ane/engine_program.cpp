// Programs compiled, loaded and evaluated: ports, layouts, types, constants, procedures, the cache.
// Expected values are small integers in closed form, which fp16 holds exactly.
#include "backend/ane/engine.h"
#include "base/status.h"
#include "mil/blob.h"
#include "support.h"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <map>
#include <set>
#include <thread>

using namespace anet;
using namespace anet::backend::ane;
using anet::test::addition;
using anet::test::EngineFixture;
using anet::test::parse_program;

namespace {

constexpr const char* weights_path = "@model_path/weights/weight.bin";

std::string tensor(const std::string& type, std::initializer_list<int64_t> shape) {
  return "tensor<" + type + ", " + mil::shape_to_string(mil::Shape(shape)) + ">";
}

// One procedure of a program with surfaces for all its ports.
struct Bound {
  Bound(Engine& engine, std::shared_ptr<EngineProgram> compiled, size_t index = 0)
      : program(std::move(compiled)), procedure(program->procedures().at(index)),
        inputs(test::make_surfaces(engine, procedure.inputs)),
        outputs(test::make_surfaces(engine, procedure.outputs)),
        request(program->bind(index, inputs, outputs)) {}

  void write(const std::string& name, const std::vector<double>& values) {
    const size_t port = test::find_port_index(procedure.inputs, name);
    test::write_port(*inputs[port], procedure.inputs[port], values);
  }
  std::vector<double> read(const std::string& name) const {
    const size_t port = test::find_port_index(procedure.outputs, name);
    return test::read_port(*outputs[port], procedure.outputs[port]);
  }
  void evaluate() { program->evaluate(*request); }

  std::shared_ptr<EngineProgram> program;
  const EngineProcedure& procedure;
  std::vector<std::shared_ptr<Surface>> inputs;
  std::vector<std::shared_ptr<Surface>> outputs;
  std::unique_ptr<EngineRequest> request;
};

std::vector<double> ramp(size_t count, double first, double step, int modulus) {
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i)
    values.push_back(first + step * static_cast<double>(i % static_cast<size_t>(modulus)));
  return values;
}

template <typename Value>
std::span<const std::byte> bytes_of(const std::vector<Value>& values) {
  return std::as_bytes(std::span(values));
}

} // namespace

TEST_CASE("the engine says what it is") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const EngineInfo& info = engine->info();
  CHECK(info.architecture.starts_with("h1"));
  CHECK(info.engines == 1);
  CHECK(info.cores == 16);
  CHECK_FALSE(info.os_build.empty());
  CHECK_FALSE(info.virtual_machine);
  CHECK(info.framework_path == test::emulator_path());
}

TEST_CASE("ports have the rows that the engine reports, for widths that fill them and not") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  for (const int64_t width : {1, 24, 30, 32, 256}) {
    CAPTURE(width);
    const int64_t channels = 5;
    Bound bound(*engine, engine->compile(addition(channels, width)));
    const EnginePort& x = test::find_port(bound.procedure.inputs, "x");
    const int64_t row = (width * 2 + 63) / 64 * 64;
    CHECK(x.dtype == mil::DataType::fp16);
    CHECK(x.shape == mil::Shape{1, channels, 1, width});
    CHECK(x.strides == std::vector<int64_t>{channels * row, row, row, 2});
    CHECK(x.size_bytes == static_cast<size_t>(channels * row));
    const auto count = static_cast<size_t>(channels * width);
    bound.write("x", ramp(count, -100, 1, 211));
    bound.write("y", ramp(count, 3, 2, 97));
    bound.evaluate();
    const std::vector<double> z = bound.read("z");
    bool equal = z.size() == count;
    for (size_t i = 0; equal && i < count; ++i)
      equal = z[i] == -100 + static_cast<double>(i % 211) + 3 + 2 * static_cast<double>(i % 97);
    CHECK(equal);
  }
}

// Pairs with names that sort unlike they are declared, and unlike their sizes.
TEST_CASE("nine inputs and five outputs of different sizes, with names in no order") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const std::array<std::string, 5> wide = {"x10", "x2", "B", "a", "zz"};
  const std::array<std::string, 4> narrow = {"_q", "M", "x1", "c"};
  const std::array<std::string, 5> results = {"z", "y10", "y2", "A", "k"};
  const auto channels = [](size_t k) { return static_cast<int64_t>(7 - k); };
  const auto width = [](size_t k) { return static_cast<int64_t>(20 * k + 3); };
  std::string inputs;
  std::string body;
  std::string outputs;
  for (size_t k = 0; k < wide.size(); ++k) {
    const std::string type = tensor("fp16", {1, channels(k), 1, width(k)});
    inputs += (k > 0 ? ", " : "") + type + " " + wide[k];
    if (k < narrow.size())
      inputs += ", " + tensor("fp16", {1, channels(k), 1, 1}) + " " + narrow[k];
    body += type + " " + results[k] + " = " + (k < narrow.size() ? "add" : "mul") +
            "(x = " + wide[k] + ", y = " + (k < narrow.size() ? narrow[k] : wide[k]) + ");\n";
    outputs += (k > 0 ? ", " : "") + results[k];
  }
  Bound bound(*engine, engine->compile(parse_program("func main<ios18>(" + inputs + ") {\n" + body +
                                                     "} -> (" + outputs + ");")));
  REQUIRE(bound.procedure.inputs.size() == 9);
  REQUIRE(bound.procedure.outputs.size() == 5);
  for (size_t k = 0; k < wide.size(); ++k) {
    bound.write(wide[k], ramp(static_cast<size_t>(channels(k) * width(k)), 1.0 + double(k), 1, 40));
    if (k < narrow.size())
      bound.write(narrow[k], ramp(static_cast<size_t>(channels(k)), 100.0 * double(k + 1), 7, 9));
  }
  bound.evaluate();
  for (size_t k = 0; k < wide.size(); ++k) {
    CAPTURE(results[k]);
    const std::vector<double> seen = bound.read(results[k]);
    REQUIRE(seen.size() == static_cast<size_t>(channels(k) * width(k)));
    bool equal = true;
    for (size_t i = 0; i < seen.size(); ++i) {
      const double left = 1.0 + double(k) + double(i % 40);
      const double right = 100.0 * double(k + 1) + 7 * double(i / size_t(width(k)) % 9);
      equal = equal && seen[i] == (k < narrow.size() ? left + right : left * left);
    }
    CHECK(equal);
  }
}

TEST_CASE("ports of fp32, int8 and uint8") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const std::string wide = tensor("fp32", {1, 3, 1, 20});
  const std::string half = tensor("fp16", {1, 3, 1, 20});
  SUBCASE("fp32, converted inside") {
    Bound bound(*engine, engine->compile(parse_program(
                             "func main<ios18>(" + wide + " x) {\n" + half +
                             " h = cast(x = x, dtype = string(\"fp16\"));\n" + half +
                             " d = add(x = h, y = h);\n" + wide +
                             " z = cast(x = d, dtype = string(\"fp32\"));\n} -> (z);")));
    CHECK(bound.procedure.inputs[0].dtype == mil::DataType::fp32);
    CHECK(bound.procedure.inputs[0].strides == std::vector<int64_t>{384, 128, 128, 4});
    bound.write("x", ramp(60, -7, 0.5, 60));
    bound.evaluate();
    CHECK(bound.read("z") == ramp(60, -14, 1, 60));
  }
  for (const std::string type : {"int8", "uint8"}) {
    const double first = type == "int8" ? -30 : 60;
    SUBCASE(type.c_str()) {
      const std::string bytes = tensor(type, {1, 3, 1, 20});
      Bound bound(*engine,
                  engine->compile(parse_program(
                      "func main<ios18>(" + bytes + " x) {\n" + half +
                      " h = dequantize(input = x, scale = fp16(0.5));\n" + half +
                      " d = add(x = h, y = h);\n" + bytes +
                      " z = quantize(input = d, scale = fp16(1.0), output_dtype = string(\"" +
                      type + "\"));\n} -> (z);")));
      CHECK(bound.procedure.inputs[0].strides == std::vector<int64_t>{192, 64, 64, 1});
      bound.write("x", ramp(60, first, 1, 60));
      bound.evaluate();
      CHECK(bound.read("z") == ramp(60, first, 1, 60));
    }
  }
}

namespace {

// y = conv(x, w): [4 out, 3 in] over 40 positions.
mil::Program convolution(const std::string& weight_definition, mil::BlobFiles blobs) {
  return parse_program("func main<ios18>(" + tensor("fp16", {1, 3, 1, 40}) + " x) {\n" +
                           tensor("fp16", {4, 3, 1, 1}) + " w = " + weight_definition + ";\n" +
                           tensor("fp16", {1, 4, 1, 40}) +
                           " y = conv(x = x, weight = w, strides = tensor<int32, [2]>([1, 1]), "
                           "pad_type = string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), "
                           "dilations = tensor<int32, [2]>([1, 1]), groups = int32(1));\n} -> (y);",
                       std::move(blobs));
}

void check_convolution(Engine& engine, const mil::Program& program,
                       const std::vector<double>& weight) {
  Bound bound(engine, engine.compile(program));
  const std::vector<double> x = ramp(120, -10, 1, 23);
  bound.write("x", x);
  bound.evaluate();
  std::vector<double> expected;
  for (size_t out = 0; out < 4; ++out)
    for (size_t position = 0; position < 40; ++position) {
      double sum = 0;
      for (size_t in = 0; in < 3; ++in) sum += weight[out * 3 + in] * x[in * 40 + position];
      expected.push_back(sum);
    }
  CHECK(bound.read("y") == expected);
}

const std::vector<double> small_weights = {1, -2, 3, 4, 5, -6, 7, -8, 0, 2, 2, -1};

std::vector<uint16_t> halves(const std::vector<double>& values) {
  std::vector<uint16_t> result;
  for (const double value : values)
    result.push_back(static_cast<uint16_t>(mil::encode_number(mil::DataType::fp16, value)));
  return result;
}

std::string blob(const std::string& type, uint64_t offset) {
  return type + "(BLOBFILE(path = string(\"" + std::string(weights_path) + "\"), offset = uint64(" +
         std::to_string(offset) + ")))";
}

mil::Program fp16_convolution(const std::vector<double>& weights) {
  mil::BlobWriter writer;
  const uint64_t offset = writer.add(mil::DataType::fp16, bytes_of(halves(weights)), 12);
  return convolution("const()[val = " + blob(tensor("fp16", {4, 3, 1, 1}), offset) + "]",
                     {{weights_path, mil::Bytes(std::move(writer).finish())}});
}

} // namespace

TEST_CASE("constants: fp16, int8 in two forms, a palette of 4 bits") {
  EngineFixture fixture;
  fixture.emulator.set("profile", "m5"); // takes all forms
  const auto engine = fixture.open();
  const std::vector<double> scales = {1, 2, 0.5, 4};
  std::vector<double> scaled;
  for (size_t i = 0; i < small_weights.size(); ++i)
    scaled.push_back(small_weights[i] * scales[i / 3]);
  std::vector<int8_t> integers;
  for (const double value : small_weights) integers.push_back(static_cast<int8_t>(value));
  mil::BlobWriter writer;
  SUBCASE("fp16") { check_convolution(*engine, fp16_convolution(small_weights), small_weights); }
  SUBCASE("int8, affine") {
    const uint64_t data = writer.add(mil::DataType::int8, bytes_of(integers), 12);
    const uint64_t scale = writer.add(mil::DataType::fp16, bytes_of(halves(scales)), 4);
    check_convolution(*engine,
                      convolution("constexpr_affine_dequantize()[axis = int32(0), "
                                  "quantized_data = " +
                                      blob(tensor("int8", {4, 3, 1, 1}), data) + ", scale = " +
                                      blob(tensor("fp16", {4}), scale) + ", zero_point = int8(0)]",
                                  {{weights_path, mil::Bytes(std::move(writer).finish())}}),
                      scaled);
  }
  SUBCASE("int8, blockwise") {
    const uint64_t data = writer.add(mil::DataType::int8, bytes_of(integers), 12);
    const uint64_t scale = writer.add(mil::DataType::fp16, bytes_of(halves(scales)), 4);
    check_convolution(*engine,
                      convolution("constexpr_blockwise_shift_scale(data = " +
                                      blob(tensor("int8", {4, 3, 1, 1}), data) + ", scale = " +
                                      blob(tensor("fp16", {4, 1, 1, 1}), scale) + ")",
                                  {{weights_path, mil::Bytes(std::move(writer).finish())}}),
                      scaled);
  }
  SUBCASE("4 bits") {
    // Weight i is entry (5 i) mod 16 of the table; entry k is 3 k - 20.
    std::vector<uint8_t> packed(6);
    std::vector<double> expected;
    for (size_t i = 0; i < 12; ++i) {
      packed[i / 2] = static_cast<uint8_t>(packed[i / 2] | ((5 * i % 16) << (i % 2 * 4)));
      expected.push_back(3 * double(5 * i % 16) - 20);
    }
    const uint64_t indices = writer.add(mil::DataType::uint4, bytes_of(packed), 12);
    const uint64_t lut =
        writer.add(mil::DataType::fp16, bytes_of(halves(ramp(16, -20, 3, 16))), 16);
    check_convolution(*engine,
                      convolution("constexpr_lut_to_dense(indices = " +
                                      blob(tensor("uint4", {4, 3, 1, 1}), indices) + ", lut = " +
                                      blob(tensor("fp16", {1, 1, 1, 1, 16, 1}), lut) + ")",
                                  {{weights_path, mil::Bytes(std::move(writer).finish())}}),
                      expected);
  }
}

TEST_CASE("two procedures share a program, each with its own ports") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const std::string first = tensor("fp16", {1, 2, 1, 10});
  const std::string second = tensor("fp16", {1, 3, 1, 50});
  const auto program = engine->compile(parse_program(
      "func zebra<ios18>(" + first + " x, " + first + " b) {\n" + first +
      " y = sub(x = x, y = b);\n} -> (y);\nfunc apple<ios18>(" + second + " x) {\n" + second +
      " y = add(x = x, y = x);\n" + second + " w = mul(x = x, y = x);\n} -> (y, w);"));
  REQUIRE(program->procedures().size() == 2);
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < 2; ++i) index[program->procedures()[i].name] = i;
  REQUIRE(index.contains("zebra"));
  REQUIRE(index.contains("apple"));
  Bound zebra(*engine, program, index["zebra"]);
  Bound apple(*engine, program, index["apple"]);
  zebra.write("x", ramp(20, 10, 3, 20));
  zebra.write("b", ramp(20, 1, 1, 20));
  apple.write("x", ramp(150, -5, 1, 11));
  apple.evaluate();
  zebra.evaluate();
  CHECK(zebra.read("y") == ramp(20, 9, 2, 20));
  CHECK(apple.read("y") == ramp(150, -10, 2, 11));
  const std::vector<double> squares = apple.read("w");
  CHECK(squares[0] == 25);
  CHECK(squares[10] == 25);
  CHECK(squares[7] == 4);
}

TEST_CASE("what is bound is checked first") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const auto program = engine->compile(addition(300, 32)); // 19200 bytes a port: two pages
  const auto large = [&] { return engine->make_surface(19200); };
  const std::vector<std::shared_ptr<Surface>> inputs = {large(), large()};
  const std::vector<std::shared_ptr<Surface>> outputs = {large()};
  const auto status = [&](size_t procedure, std::vector<std::shared_ptr<Surface>> in,
                          std::vector<std::shared_ptr<Surface>> out) {
    try {
      program->bind(procedure, in, out);
    } catch (const Error& error) {
      return error.status();
    }
    return Status::ok;
  };
  CHECK(status(0, inputs, outputs) == Status::ok);
  CHECK(status(1, inputs, outputs) == Status::out_of_range);
  CHECK(status(0, {inputs[0]}, outputs) == Status::invalid_argument);
  CHECK(status(0, inputs, {}) == Status::invalid_argument);
  CHECK(status(0, {inputs[0], nullptr}, outputs) == Status::invalid_argument);
  CHECK(status(0, {inputs[0], engine->make_surface(16384)}, outputs) == Status::shape_mismatch);
  CHECK(status(0, inputs, {engine->make_surface(16384)}) == Status::shape_mismatch);
  // Larger than needed is fine.
  CHECK(status(0, inputs, {engine->make_surface(1 << 20)}) == Status::ok);
  CHECK(fixture.emulator.count("evaluations") == 0);
}

TEST_CASE("requests belong to a program, and evaluation to a loaded one") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  Bound first(*engine, engine->compile(addition(2, 8)));
  Bound second(*engine, engine->compile(addition(2, 9)));
  const auto status = [](EngineProgram& program, EngineRequest& request) {
    try {
      program.evaluate(request);
    } catch (const Error& error) {
      return error.status();
    }
    return Status::ok;
  };
  CHECK(status(*first.program, *second.request) == Status::invalid_argument);
  first.program->unload();
  first.program->unload(); // does nothing
  CHECK_FALSE(first.program->is_loaded());
  CHECK(status(*first.program, *first.request) == Status::invalid_state);
  first.program->load();
  first.program->load();
  CHECK(first.program->is_loaded());
  first.write("x", ramp(16, 1, 1, 16));
  first.write("y", ramp(16, 1, 1, 16));
  CHECK(status(*first.program, *first.request) == Status::ok);
  CHECK(first.read("z") == ramp(16, 2, 2, 16));
  CHECK(fixture.emulator.count("loads") == 3);
  CHECK(fixture.emulator.count("unloads") == 1);
}

TEST_CASE("a request keeps its program and its surfaces") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  auto program = engine->compile(addition(2, 8));
  auto inputs = test::make_surfaces(*engine, program->procedures()[0].inputs);
  auto outputs = test::make_surfaces(*engine, program->procedures()[0].outputs);
  std::unique_ptr<EngineRequest> request = program->bind(0, inputs, outputs);
  EngineProgram* const borrowed = program.get();
  program.reset();
  inputs.clear();
  outputs.clear();
  CHECK(fixture.emulator.count("live_surfaces") == 3);
  borrowed->evaluate(*request);
  CHECK(fixture.emulator.count("evaluations") == 1);
  request.reset();
  CHECK(fixture.emulator.count("live_surfaces") == 0);
  CHECK(fixture.emulator.count("live_models") == 0);
  CHECK(fixture.emulator.count("live_requests") == 0);
  CHECK(fixture.emulator.count("unloads") == 1);
}

TEST_CASE("two threads evaluate one program with requests of their own") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const auto program = engine->compile(addition(4, 50));
  std::array<int, 2> wrong = {};
  std::array<std::thread, 2> threads;
  for (size_t t = 0; t < threads.size(); ++t)
    threads[t] = std::thread([&, t] {
      Bound bound(*engine, program);
      for (int round = 0; round < 100; ++round) {
        const double start = double(t) * 500 + round;
        bound.write("x", ramp(200, start, 1, 200));
        bound.write("y", ramp(200, 1, 1, 200));
        bound.evaluate();
        if (bound.read("z") != ramp(200, start + 1, 2, 200)) ++wrong[t];
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong[0] == 0);
  CHECK(wrong[1] == 0);
  CHECK(fixture.emulator.count("evaluations") == 200);
}

TEST_CASE("a program that was compiled before is taken from the cache") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const mil::Program source = addition(3, 16);
  CHECK_FALSE(engine->is_cached(source));
  std::string identifier;
  {
    const auto program = engine->compile(source);
    identifier = program->identifier();
    CHECK_FALSE(program->was_cached());
    CHECK(engine->compile_count() == 1);
    CHECK(engine->is_cached(source));
  }
  const auto other_engine = fixture.open();
  const auto again = other_engine->compile(source);
  CHECK(again->was_cached());
  CHECK(again->identifier() == identifier);
  CHECK(other_engine->compile_count() == 0);
  CHECK(fixture.emulator.count("compiles") == 1);
  engine->purge(source);
  CHECK_FALSE(engine->is_cached(source));
  CHECK_FALSE(engine->compile(source)->was_cached());
  CHECK(engine->compile_count() == 2);
}

TEST_CASE("the identifier differs when text or weights differ") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  std::vector<double> changed = small_weights;
  changed.back() = -1.0009765625; // by one bit
  std::set<std::string> identifiers;
  for (const mil::Program& program :
       {fp16_convolution(small_weights), fp16_convolution(changed), addition(2, 8), addition(2, 9)})
    identifiers.insert(engine->compile(program)->identifier());
  CHECK(identifiers.size() == 4);
  CHECK(engine->compile(fp16_convolution(small_weights))->was_cached());
  check_convolution(*engine, fp16_convolution(small_weights), small_weights);
  changed.back() = -3;
  check_convolution(*engine, fp16_convolution(changed), changed);
}

TEST_CASE("blobs that the program does not have, or that lie elsewhere") {
  EngineFixture fixture;
  const auto engine = fixture.open();
  const auto status = [&](const mil::Program& program) {
    try {
      engine->compile(program);
    } catch (const Error& error) {
      return error.status();
    }
    return Status::ok;
  };
  mil::Program missing = fp16_convolution(small_weights);
  missing.blobs.clear();
  CHECK(status(missing) == Status::invalid_blob);
  for (const char* path : {"@model_path/weights/../../escape.bin", "/etc/escape.bin",
                           "@model_path/model.mil", "@model_path/weights/",
                           "@model_path/weights//x.bin", "@model_path/weights/a/./x.bin", ""}) {
    CAPTURE(path);
    mil::Program elsewhere = addition(2, 8);
    elsewhere.blobs[path] = mil::Bytes(std::vector<std::byte>(64));
    CHECK(status(elsewhere) == Status::invalid_program);
  }
  CHECK(fixture.temporary.names().empty());
  CHECK(fixture.emulator.count("compiles") == 0);
}

TEST_CASE("many threads compile the same program at once") {
  EngineFixture fixture;
  fixture.emulator.set("compile_latency_us", "20000");
  const auto engine = fixture.open();
  std::array<std::shared_ptr<EngineProgram>, 4> programs;
  std::array<std::thread, 4> threads;
  for (size_t i = 0; i < threads.size(); ++i)
    threads[i] =
        std::thread([&, i] { programs[i] = engine->compile(fp16_convolution(small_weights)); });
  for (std::thread& thread : threads) thread.join();
  int compiled = 0;
  for (const auto& program : programs) {
    REQUIRE(program != nullptr);
    CHECK(program->is_loaded());
    if (!program->was_cached()) ++compiled;
  }
  CHECK(compiled == 1);
  CHECK(engine->compile_count() == 1);
  CHECK(fixture.temporary.names().empty());
}

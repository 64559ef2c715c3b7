// Descriptors, files, the cache, errors and faults (ane-facts.md 1.3 to 1.10, 3, 5).
#include "../ane_emulator.h"
#include "client.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace client;

namespace {

const std::string type = "tensor<fp16, [1, 4, 1, 32]>";

std::string scaled(const std::string& factor) {
  return program(type + " x",
                 type + " y = mul(x = x, y = fp16(" + factor + "))[name = string(\"y\")];\n", "y");
}

Values ones() { return {{"x", std::vector<double>(128, 1)}}; }

bool has(const bridge_error& error, const char* text) {
  return std::string(error.text).find(text) != std::string::npos ||
         std::string(error.underlying).find(text) != std::string::npos;
}

} // namespace

TEST_CASE("the classes have Apple's type encodings") {
  const struct {
    const char* name;
    const char* selector;
    int meta;
    const char* encoding;
  } methods[] = {
      {"_ANEInMemoryModelDescriptor", "modelWithMILText:weights:optionsPlist:", 1,
       "@40@0:8@16@24@32"},
      {"_ANEInMemoryModel", "inMemoryModelWithDescriptor:", 1, "@24@0:8@16"},
      {"_ANEInMemoryModel", "compileWithQoS:options:error:", 0, "B36@0:8I16@20^@28"},
      {"_ANEInMemoryModel", "evaluateWithQoS:options:request:error:", 0, "B44@0:8I16@20@28^@36"},
      {"_ANEInMemoryModel", "unloadWithQoS:error:", 0, "B28@0:8I16^@20"},
      {"_ANEInMemoryModel", "queueDepth", 0, "c16@0:8"},
      {"_ANEInMemoryModel", "programHandle", 0, "Q16@0:8"},
      {"_ANEIOSurfaceObject", "objectWithIOSurface:", 1, "@24@0:8^{__IOSurface=}16"},
      {"_ANERequest",
       "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:"
       "procedureIndex:",
       1, "@72@0:8@16@24@32@40@48@56@64"},
      {"_ANERequest", "setCompletionHandler:", 0, "v24@0:8@?16"},
      {"_ANEClient", "doEvaluateDirectWithModel:options:request:qos:error:", 0,
       "B52@0:8@16@24@32I40^@44"},
  };
  for (const auto& method : methods) {
    CAPTURE(method.selector);
    const char* encoding = bridge_encoding(method.name, method.selector, method.meta);
    REQUIRE(encoding != nullptr);
    CHECK(std::string(encoding) == method.encoding);
  }
  for (const char* absent : {"_ANECompiler", "_ANEMemoryModel", "_ANEProgram", "_ANEModelCache"}) {
    CHECK_FALSE(bridge_has_class(absent));
  }
}

TEST_CASE("a descriptor needs text and weights; its identifier is three SHA-256 sums") {
  const Pool pool;
  const std::string text = "not MIL at all";
  CHECK(bridge_descriptor(nullptr, 0, nullptr, 0) == nullptr);
  CHECK(bridge_descriptor(text.data(), text.size(), nullptr, -1) == nullptr);
  void* descriptor = bridge_descriptor(text.data(), text.size(), nullptr, 0);
  REQUIRE(descriptor != nullptr); // the text is not looked at
  const std::string identifier = bridge_text(descriptor, "hexStringIdentifier");
  REQUIRE(identifier.size() == 64 * 3 + 2);
  CHECK(identifier[64] == '_');
  CHECK(identifier[129] == '_');
  CHECK(identifier.find_first_not_of("0123456789ABCDEF_") == std::string::npos);
  // printf 'not MIL at all' | sha256sum
  CHECK(std::string(bridge_text(descriptor, "networkTextHash")) == identifier.substr(0, 64));
  // The sum of nothing.
  CHECK(identifier.substr(130) ==
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855");

  // Weights count by their contents, in the order of their keys.
  const bridge_file forward[] = {{"@model_path/weights/a.bin", "12", 2},
                                 {"@model_path/weights/b.bin", "3", 1}};
  const bridge_file backward[] = {{"@model_path/weights/b.bin", "3", 1},
                                  {"@model_path/weights/a.bin", "12", 2}};
  const bridge_file other[] = {{"@model_path/weights/a.bin", "12", 2},
                               {"@model_path/weights/b.bin", "4", 1}};
  const std::string first =
      bridge_text(bridge_descriptor(text.data(), text.size(), forward, 2), "hexStringIdentifier");
  CHECK(first == bridge_text(bridge_descriptor(text.data(), text.size(), backward, 2),
                             "hexStringIdentifier"));
  CHECK(first !=
        bridge_text(bridge_descriptor(text.data(), text.size(), other, 2), "hexStringIdentifier"));
}

TEST_CASE("the life of a model") {
  const Pool pool;
  const Reset reset;
  const long long models = ane_emulator_count("live_models");
  {
    Model model(scaled("3"));
    CHECK(std::string(bridge_text(model.model(), "localModelPath")) == model.directory());
    CHECK(bridge_number(model.model(), "state") == 1);
    CHECK(bridge_number(model.model(), "programHandle") == 0);
    CHECK_FALSE(bridge_flag(model.model(), "compiledModelExists"));
    CHECK_FALSE(model.load()); // nothing was compiled
    CHECK(model.failure().code == 16);
    REQUIRE(model.compile());
    CHECK(std::filesystem::exists(model.directory() + "/net.plist"));
    CHECK(std::filesystem::exists(model.directory() + "/data"));
    CHECK(bridge_flag(model.model(), "compiledModelExists"));
    REQUIRE(model.load());
    CHECK(bridge_number(model.model(), "state") == 3);
    CHECK(bridge_number(model.model(), "programHandle") != 0);
    CHECK(bridge_number(model.model(), "intermediateBufferHandle") == 0);
    CHECK(static_cast<signed char>(bridge_number(model.model(), "queueDepth")) == 127);
    std::filesystem::remove_all(model.directory()); // not needed any more
    CHECK(model.run(ones()).at("y")[127] == 3);
    REQUIRE(model.unload());
    CHECK_FALSE(model.unload());
    REQUIRE(model.load()); // from the cache
    CHECK(model.run(ones()).at("y")[0] == 3);
    CHECK(ane_emulator_count("compiles") == 1);
    CHECK(ane_emulator_count("loads") == 2);
    CHECK(ane_emulator_count("evaluations") == 2);
    CHECK(ane_emulator_count("live_models") == models + 1);
    bridge_send(model.model(), "purgeCompiledModel");
    CHECK_FALSE(bridge_flag(model.model(), "compiledModelExists"));
    REQUIRE(model.unload());
    CHECK_FALSE(model.load());
  }
  CHECK(ane_emulator_count("live_models") == models);
  CHECK(ane_emulator_count("loaded") == 0);
  CHECK(ane_emulator_count("live_requests") == 0);
}

TEST_CASE("what is cached needs no compilation, in this process or the next") {
  const Pool pool;
  const Reset reset;
  const std::string text = scaled("5");
  const std::filesystem::path cache =
      std::filesystem::temp_directory_path() / "ane_emulator_test_cache";
  std::filesystem::remove_all(cache);
  REQUIRE(ane_emulator_set("cache_dir", cache.c_str()) == 1);
  {
    Model model(text);
    model.ready();
  }
  Model second(text);
  CHECK(bridge_flag(second.model(), "compiledModelExists"));
  REQUIRE(second.load());
  CHECK(ane_emulator_count("compiles") == 1);
  CHECK(ane_emulator_count("cache_hits") == 1);
  ane_emulator_reset(); // what this process knew is gone
  CHECK_FALSE(bridge_flag(second.model(), "compiledModelExists"));
  REQUIRE(ane_emulator_set("cache_dir", cache.c_str()) == 1);
  Model third(text);
  CHECK(bridge_flag(third.model(), "compiledModelExists"));
  REQUIRE(third.load());
  CHECK(third.run(ones()).at("y")[5] == 5);
  std::filesystem::remove_all(cache);
}

TEST_CASE("a trace has every evaluation, with its bytes and its program's text") {
  const Pool pool;
  const Reset reset;
  const std::string text = scaled("9");
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / "ane_emulator_test_trace";
  std::filesystem::remove_all(directory);
  REQUIRE(ane_emulator_set("trace", directory.c_str()) == 1);
  Model model(text);
  model.ready();
  model.run(ones());
  model.run(ones());
  std::ifstream evaluations(directory / "evaluations");
  std::string program;
  long long in = 0;
  long long out = 0;
  long long bytes_in = 0;
  long long bytes_out = 0;
  int count = 0;
  for (; evaluations >> program >> in >> out; ++count) {
    bytes_in += in;
    bytes_out += out;
  }
  CHECK(count == 2);
  CHECK(bytes_in == ane_emulator_count("bytes_in"));
  CHECK(bytes_out == ane_emulator_count("bytes_out"));
  CHECK(bytes_in > 0);
  std::ifstream copy(directory / (program + ".mil"), std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(copy), {}) == text);
  std::filesystem::remove_all(directory);
}

TEST_CASE("the compiler's own files are enough to load") {
  const Pool pool;
  const Reset reset;
  Model model(scaled("7"));
  REQUIRE(model.compile());
  ane_emulator_reset();
  REQUIRE(model.load());
  CHECK(model.run(ones()).at("y")[1] == 7);
}

TEST_CASE("weights are read from the directory, when the model is compiled") {
  const Pool pool;
  const Reset reset;
  const std::vector<double> weight = sequence(128, 4);
  BlobFile blob;
  const std::string text = program(
      type + " x",
      type + " w = const()[name = string(\"w\"), val = " + type +
          "(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n" +
          type + " y = mul(x = x, y = w);\n",
      "y");
  REQUIRE(blob.add(1, halves(weight)) == 64);
  // The dictionary has something else: it is only hashed.
  Model model(text, {{"w.bin", {1, 2, 3}}});
  const std::string path = model.directory() + "/weights/w.bin";
  CHECK_FALSE(model.compile());
  CHECK(has(model.failure(), "InvalidMILProgram"));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(blob.bytes.data()),
             static_cast<std::streamsize>(blob.bytes.size()));
  model.ready();
  CHECK(model.run(ones()).at("y") == weight);

  // Later changes do nothing, also after another load (3.5) ...
  BlobFile other;
  other.add(1, halves(std::vector<double>(128, 2)));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(other.bytes.data()),
             static_cast<std::streamsize>(other.bytes.size()));
  CHECK(model.run(ones()).at("y") == weight);
  REQUIRE(model.unload());
  REQUIRE(model.load());
  CHECK(model.run(ones()).at("y") == weight);
  // ... but one report says that they do.
  REQUIRE(ane_emulator_set("weight_reload", "1") == 1);
  REQUIRE(model.unload());
  REQUIRE(model.load());
  CHECK(model.run(ones()).at("y") == std::vector<double>(128, 2));
}

TEST_CASE("a blob's load-bearing fields") {
  const Pool pool;
  const Reset reset;
  const std::string text = program(
      type + " x",
      type + " w = const()[name = string(\"w\"), val = " + type +
          "(BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64)))];\n" +
          type + " y = mul(x = x, y = w);\n",
      "y");
  BlobFile good;
  good.add(1, halves(sequence(128, 4)));
  const auto compiles = [&](size_t at, uint8_t value) {
    std::vector<uint8_t> bytes = good.bytes;
    bytes[at] = value;
    ane_emulator_reset();
    Model model(text, {{"w.bin", bytes}});
    return model.compile();
  };
  CHECK(compiles(0, 1));
  CHECK(compiles(0, 9));           // the count is not checked by anyone
  CHECK_FALSE(compiles(0, 0));     // but must be there
  CHECK_FALSE(compiles(4, 1));     // version
  CHECK_FALSE(compiles(64, 0xEE)); // sentinel
  CHECK_FALSE(compiles(68, 2));    // dtype
  CHECK_FALSE(compiles(72, 0xFF)); // size
  CHECK_FALSE(compiles(80, 0x81)); // data offset: not aligned
  CHECK_FALSE(compiles(81, 0x10)); // data offset: outside
}

TEST_CASE("quantized constants") {
  const Pool pool;
  const Reset reset;
  const std::string input = "tensor<fp16, [1, 2, 1, 4]>";
  const std::string file =
      "BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64))";
  const auto run = [&](const std::string& body, const BlobFile& blob) {
    Model model(program(input + " x", body + input + " y = mul(x = x, y = w);\n", "y"),
                {{"w.bin", blob.bytes}});
    model.ready();
    return model.run({{"x", std::vector<double>(8, 1)}}).at("y");
  };
  SUBCASE("int8 with a scale for each channel, in the attribute form") {
    BlobFile blob;
    blob.add(4, {0x80, 0xFF, 0, 1, 2, 3, 4, 127});
    const std::vector<double> got =
        run(input +
                " w = constexpr_affine_dequantize()[axis = int32(1), name = string(\"w\"), "
                "quantized_data = tensor<int8, [1, 2, 1, "
                "4]>(" +
                file +
                "), scale = tensor<fp16, [2]>([0x1p-3, 0x1p-1]), zero_point = tensor<int8, "
                "[2]>([0, 1])];\n",
            blob);
    CHECK(got == std::vector<double>{-16, -0.125, 0, 0.125, 0.5, 1, 1.5, 63});
  }
  SUBCASE("the dtype field may say fp16 for int8") {
    BlobFile blob;
    blob.add(1, {0x80, 0xFF, 0, 1, 2, 3, 4, 127});
    const std::vector<double> got =
        run(input +
                " w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), "
                "quantized_data = tensor<int8, [1, 2, 1, "
                "4]>(" +
                file + "), scale = fp16(2), zero_point = int8(0)];\n",
            blob);
    CHECK(got == std::vector<double>{-256, -2, 0, 2, 4, 6, 8, 254});
  }
  SUBCASE("a palette of 4 bits, low bits first") {
    BlobFile blob;
    blob.add(11, {0x10, 0x32, 0x54, 0xF6});
    std::string lut;
    for (int i = 0; i < 16; ++i) lut += (i > 0 ? ", " : "") + std::to_string(i * i);
    const std::vector<double> got = run(
        "tensor<uint4, [1, 2, 1, 4]> i = const()[name = string(\"i\"), val = tensor<uint4, [1, 2, "
        "1, 4]>(" +
            file + ")];\n" + input +
            " w = constexpr_lut_to_dense(indices = i, lut = tensor<fp16, [1, 1, 1, 1, 16, 1]>([" +
            lut + "]))[name = string(\"w\")];\n",
        blob);
    CHECK(got == std::vector<double>{0, 1, 4, 9, 16, 25, 36, 225});
  }
  SUBCASE("3 bits: the last byte is padded, and says so") {
    // 0..7 as 3-bit numbers, low bits first: 24 bits, no padding.
    BlobFile blob;
    uint32_t packed = 0;
    for (uint32_t i = 0; i < 8; ++i) packed |= i << (3 * i);
    blob.add(12, {static_cast<uint8_t>(packed), static_cast<uint8_t>(packed >> 8),
                  static_cast<uint8_t>(packed >> 16)});
    const std::vector<double> got =
        run("tensor<uint3, [1, 2, 1, 4]> i = const()[name = string(\"i\"), val = tensor<uint3, [1, "
            "2, 1, 4]>(" +
                file + ")];\n" + input +
                " w = constexpr_lut_to_dense(indices = i, lut = tensor<fp16, [1, 1, 1, 1, 8, "
                "1]>([10, 11, 12, 13, 14, 15, 16, "
                "17]))[name = string(\"w\")];\n",
            blob);
    CHECK(got == std::vector<double>{10, 11, 12, 13, 14, 15, 16, 17});
  }
  SUBCASE("blockwise scales: a scale for each output channel, since M3") {
    BlobFile blob;
    blob.add(4, {1, 2, 3, 4, 5, 6, 7, 0xF8});
    const std::string conv = program(
        "tensor<fp16, [1, 4, 1, 32]> x",
        "tensor<fp16, [2, 4, 1, 1]> w = constexpr_blockwise_shift_scale(data = tensor<int8, [2, 4, "
        "1, 1]>(" +
            file +
            "), scale = tensor<fp16, [2, 1, 1, 1]>([0x1p-1, 0x1p-2]))[name = string(\"w\")];\n"
            "tensor<fp16, [1, 2, 1, 32]> y = conv(x = x, weight = w, strides = tensor<int32, "
            "[2]>([1, 1]), pad_type = "
            "string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = tensor<int32, "
            "[2]>([1, 1]), groups = int32(1));\n",
        "y");
    Model model(conv, {{"w.bin", blob.bytes}});
    model.ready();
    const std::vector<double> got = model.run({{"x", std::vector<double>(128, 1)}}).at("y");
    CHECK(got[0] == 5);
    CHECK(got[63] == 2.5);
    ane_emulator_reset();
    REQUIRE(ane_emulator_set("profile", "m1") == 1);
    Model old(conv, {{"w.bin", blob.bytes}});
    CHECK_FALSE(old.compile());
    CHECK(has(old.failure(), "CompilationFailure"));
  }
  SUBCASE("sparse: a mask of bits") {
    BlobFile blob;
    blob.add(9, {0b10010001});
    const std::vector<double> got =
        run("tensor<uint1, [1, 2, 1, 4]> m = const()[name = string(\"m\"), val = tensor<uint1, [1, "
            "2, 1, 4]>(" +
                file + ")];\n" + input +
                " w = constexpr_sparse_to_dense(nonzero_data = tensor<fp16, [3]>([5, 6, 7]), mask "
                "= m)[name = string(\"w\")];\n",
            blob);
    CHECK(got == std::vector<double>{5, 0, 0, 0, 6, 0, 0, 7});
  }
}

TEST_CASE("the client's path: a model in a directory") {
  const Pool pool;
  const Reset reset;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "ane_emulator_test_model";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "model.mil") << scaled("9");
  void* model = bridge_model_at(folder.c_str(), "key");
  bridge_error error;
  CHECK_FALSE(bridge_client_compile(model, 0, &error)); // without the two options
  REQUIRE(bridge_client_compile(model, 1, &error));
  REQUIRE(bridge_client_load(model, &error));
  CHECK(bridge_number(model, "state") == 3);
  Port port;
  REQUIRE(bridge_ports(model, 0, 0, &port, 1) == 1);
  std::vector<Surface> inputs;
  std::vector<Surface> outputs;
  inputs.emplace_back(port_bytes(port));
  outputs.emplace_back(port_bytes(port));
  inputs[0].write(port, std::vector<double>(128, 2));
  CHECK(bridge_client_evaluate(BRIDGE_EVALUATE, model,
                               make_request({port}, inputs, {port}, outputs), &error));
  CHECK(outputs[0].read(port)[100] == 18);
  CHECK(bridge_client_unload(model, &error));
  CHECK_FALSE(bridge_client_evaluate(BRIDGE_EVALUATE, model,
                                     make_request({port}, inputs, {port}, outputs), &error));
  CHECK(error.code == 23);
  bridge_release(model);
  std::filesystem::remove_all(folder);
}

TEST_CASE("the other ways to evaluate, and what is refused") {
  const Pool pool;
  const Reset reset;
  Model model(scaled("2"));
  model.ready();
  const Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> inputs;
  inputs.emplace_back(port_bytes(in));
  inputs[0].write(in, std::vector<double>(128, 3));
  bridge_error error;
  for (const int how : {BRIDGE_EVALUATE, BRIDGE_DIRECT, BRIDGE_REAL_TIME, BRIDGE_PROGRAM}) {
    CAPTURE(how);
    std::vector<Surface> outputs;
    outputs.emplace_back(port_bytes(out));
    // startOffset has no effect.
    void* request = make_request({in}, inputs, {out}, outputs, 0, 4096);
    CHECK(bridge_client_evaluate(how, model.model(), request, &error));
    CHECK(outputs[0].read(out)[3] == 6);
    CHECK_FALSE(bridge_map(model.model(), request, &error));
    CHECK(error.code == 13);
  }
  CHECK_FALSE(bridge_chain(model.model(), &error));
  CHECK(error.code == 15);
  void* connection = bridge_object(bridge_class("_ANEClient"), "sharedConnection");
  CHECK_FALSE(bridge_flag(connection, "beginRealTimeTask"));
  bridge_send(model.model(), "saveModelFiles"); // the older format shadows the text
  bridge_send(model.model(), "purgeCompiledModel");
  CHECK_FALSE(model.compile());
  CHECK(has(model.failure(), "InvalidMILProgram"));
}

namespace {

struct Completion {
  std::atomic<int> calls{0};
  std::atomic<int> succeeded{-1};
  std::atomic<long> code{-1};

  static void note(void* context, int succeeded, long code) {
    auto* self = static_cast<Completion*>(context);
    self->succeeded = succeeded;
    self->code = code;
    ++self->calls;
  }
  bool wait_for(int count) const {
    for (int i = 0; i < 5000 && calls < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return calls == count;
  }
};

} // namespace

TEST_CASE("a completion handler is called once an evaluation, with how it went") {
  Completion completion; // outlives what calls it
  const Pool pool;
  const Reset reset;
  Model model(scaled("2"));
  model.ready();
  const Port in = model.inputs().front();
  const Port out = model.outputs().front();
  std::vector<Surface> inputs, outputs;
  inputs.emplace_back(port_bytes(in));
  outputs.emplace_back(port_bytes(out));
  inputs[0].write(in, std::vector<double>(128, 3));
  void* request = make_request({in}, inputs, {out}, outputs);
  bridge_set_completion(request, Completion::note, &completion);
  REQUIRE(model.evaluate(request));
  CHECK(outputs[0].read(out)[3] == 6); // whether it was called or not
  REQUIRE(completion.wait_for(1));
  CHECK(completion.succeeded == 1);
  CHECK(completion.code == 0);
  REQUIRE(ane_emulator_set("fail_evaluate", "1") == 1);
  CHECK_FALSE(model.evaluate(request));
  REQUIRE(completion.wait_for(2));
  CHECK(completion.succeeded == 0);
  CHECK(completion.code == 8);
  CHECK_FALSE(model.evaluate(nullptr)); // no request, no handler
  REQUIRE(model.evaluate(request));
  CHECK(completion.wait_for(3));
}

TEST_CASE("faults strike when they should") {
  const Pool pool;
  const Reset reset;
  SUBCASE("compile: the second") {
    REQUIRE(ane_emulator_set("fail_compile", "2") == 1);
    Model first(scaled("2"));
    Model second(scaled("3"));
    CHECK(first.compile());
    CHECK_FALSE(second.compile());
    CHECK(std::string(second.failure().domain) == "com.apple.appleneuralengine.compiler");
    CHECK(second.failure().code == 1);
    CHECK(std::string(second.failure().text) == "_ANECompiler : ANECCompile() FAILED");
    CHECK(has(second.failure(), "FAILED: err=( CompilationFailure )"));
    CHECK(second.compile());
  }
  SUBCASE("the compiler's cap: an empty list of errors") {
    REQUIRE(ane_emulator_set("compile_cap", "2") == 1);
    for (int i = 0; i < 3; ++i) {
      Model model(scaled(std::to_string(i + 2)));
      CHECK(model.compile() == (i < 2));
      if (i == 2) CHECK(has(model.failure(), "FAILED: err=()"));
    }
  }
  SUBCASE("load: the device is full, then free") {
    REQUIRE(ane_emulator_set("load_cap", "1") == 1);
    Model first(scaled("2"));
    Model second(scaled("3"));
    first.ready();
    REQUIRE(second.compile());
    CHECK_FALSE(second.load());
    CHECK(second.failure().code == 6);
    CHECK(has(second.failure(), "Program load failure (0x50004)"));
    REQUIRE(first.unload());
    CHECK(second.load());
  }
  SUBCASE("load: transient") {
    REQUIRE(ane_emulator_set("transient_load", "2") == 1);
    Model model(scaled("2"));
    REQUIRE(model.compile());
    CHECK_FALSE(model.load());
    CHECK_FALSE(model.load());
    CHECK(model.load());
  }
  SUBCASE("evaluate: fails, is zero, is wrong, raises") {
    Model model(scaled("2"));
    model.ready();
    Values results;
    REQUIRE(ane_emulator_set("fail_evaluate", "1") == 1);
    CHECK_FALSE(model.run(ones(), results));
    CHECK(has(model.failure(), "status=0x15 "));
    CHECK(model.run(ones(), results));
    REQUIRE(ane_emulator_set("zero_evaluate", "2") == 1);
    CHECK(model.run(ones()).at("y") == std::vector<double>(128, 2));
    CHECK(model.run(ones()).at("y") == std::vector<double>(128, 0));
    REQUIRE(ane_emulator_set("corrupt_evaluate", "every:2") == 1);
    for (int i = 1; i <= 4; ++i) {
      const std::vector<double> y = model.run(ones()).at("y");
      CHECK(std::count(y.begin(), y.end(), 2.0) == (i % 2 == 0 ? 127 : 128));
    }
    REQUIRE(ane_emulator_set("corrupt_evaluate", "0") == 1);
    REQUIRE(ane_emulator_set("raise_evaluate", "1+") == 1);
    const Port in = model.inputs().front();
    std::vector<Surface> surfaces;
    surfaces.emplace_back(port_bytes(in));
    CHECK(bridge_evaluate_raises(model.model(), make_request({in}, surfaces, {in}, surfaces)));
    REQUIRE(ane_emulator_set("raise_evaluate", "0") == 1);
    CHECK_FALSE(
        bridge_evaluate_raises(model.model(), make_request({in}, surfaces, {in}, surfaces)));
  }
  SUBCASE("surfaces") {
    REQUIRE(ane_emulator_set("fail_surface", "2") == 1);
    void* first = bridge_surface(64, 1, 1, 64, 64);
    CHECK(first != nullptr);
    CHECK(bridge_surface(64, 1, 1, 64, 64) == nullptr);
    CFRelease(first);
  }
  SUBCASE("random faults repeat with their seed") {
    std::string runs[2];
    for (std::string& run : runs) {
      REQUIRE(ane_emulator_set("fail_surface", "random:0.5:7") == 1);
      for (int i = 0; i < 64; ++i) {
        void* surface = bridge_surface(64, 1, 1, 64, 64);
        run += surface == nullptr ? '0' : '1';
        if (surface != nullptr) CFRelease(surface);
      }
    }
    CHECK(runs[0] == runs[1]);
    const auto failures = std::count(runs[0].begin(), runs[0].end(), '0');
    CHECK(failures > 16);
    CHECK(failures < 48);
  }
}

TEST_CASE("unknown keys and bad values are refused, and change nothing") {
  const Reset reset;
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, const char*>>{{"no_such_key", "1"},
                                                        {"lut", "2"},
                                                        {"lut", ""},
                                                        {"profile", "m9"},
                                                        {"compile_cap", "-1"},
                                                        {"fail_load", "often"},
                                                        {"fail_load", "every:0"},
                                                        {"fail_load", "random:2:1"},
                                                        {"missing_class", "_ANEClient"}}) {
    CAPTURE(key);
    CHECK(ane_emulator_set(key, value) == 0);
  }
  CHECK(ane_emulator_set("fail_load", "random:0.25:9") == 1);
  CHECK(ane_emulator_count("no_such_counter") == -1);
}

TEST_CASE("probes: quirks that single reports have") {
  const Pool pool;
  const Reset reset;
  SUBCASE("a runtime weight of a convolution is ignored") {
    const std::string text =
        program("tensor<fp16, [1, 4, 1, 32]> x, tensor<fp16, [2, 4, 1, 1]> w",
                "tensor<fp16, [1, 2, 1, 32]> y = conv(x = x, weight = w, strides = tensor<int32, "
                "[2]>([1, 1]), pad_type = "
                "string(\"valid\"), pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = "
                "tensor<int32, [2]>([1, 1]), groups = int32(1));\n",
                "y");
    const Values given = {{"x", std::vector<double>(128, 1)}, {"w", std::vector<double>(8, 2)}};
    Model model(text);
    model.ready();
    CHECK(model.run(given).at("y")[0] == 8);
    REQUIRE(model.unload());
    REQUIRE(ane_emulator_set("weight_param_ignored", "1") == 1);
    REQUIRE(model.load());
    CHECK(model.run(given).at("y")[0] == 0);
  }
  SUBCASE("several inputs misbind") {
    const std::string text =
        program(type + " a, " + type + " b", type + " y = sub(x = a, y = b);\n", "y");
    const Values given = {{"a", std::vector<double>(128, 5)}, {"b", std::vector<double>(128, 2)}};
    Model model(text);
    model.ready();
    CHECK(model.run(given).at("y")[0] == 3);
    REQUIRE(ane_emulator_set("no_multi_input", "1") == 1);
    CHECK(model.run(given).at("y")[0] == 0);
  }
  SUBCASE("operands that both broadcast") {
    const std::string text = program("tensor<fp16, [2, 1, 1, 3]> a, tensor<fp16, [1, 2, 1, 3]> b",
                                     "tensor<fp16, [2, 2, 1, 3]> y = mul(x = a, y = b);\n", "y");
    const Values given = {{"a", {1, 2, 3, 4, 5, 6}}, {"b", {1, 1, 1, 10, 100, 1000}}};
    Model model(text);
    model.ready();
    CHECK(model.run(given).at("y") ==
          std::vector<double>{1, 2, 3, 10, 200, 3000, 4, 5, 6, 40, 500, 6000});
    REQUIRE(ane_emulator_set("reject_broadcast_of_both", "1") == 1);
    const std::string other = program("tensor<fp16, [2, 1, 1, 4]> a, tensor<fp16, [1, 2, 1, 4]> b",
                                      "tensor<fp16, [2, 2, 1, 4]> y = mul(x = a, y = b);\n", "y");
    CHECK_FALSE(Model(other).compile());
    CHECK(std::string(ane_emulator_last_refusal()).find("both operands") != std::string::npos);
    CHECK(Model(program("tensor<fp16, [2, 2, 1, 4]> a, tensor<fp16, [1, 2, 1, 1]> b",
                        "tensor<fp16, [2, 2, 1, 4]> y = mul(x = a, y = b);\n", "y"))
              .compile());
  }
  SUBCASE("M3 compiles nothing that changes the length of rows, but slices") {
    const std::string wide = "tensor<fp16, [1, 4, 1, 64]>";
    const std::string reshape = "tensor<fp16, [1, 4, 2, 16]> y = reshape(x = x, shape = "
                                "tensor<int32, [4]>([1, 4, 2, 16]));";
    const std::string kept = "tensor<fp16, [2, 2, 1, 32]> y = reshape(x = x, shape = tensor<int32, "
                             "[4]>([2, 2, 1, 32]));";
    const std::string concat =
        wide + " y = concat(values = (x, x), axis = int32(3), interleave = bool(false));";
    const std::string below = "tensor<fp16, [1, 4, 2, 32]> y = concat(values = (x, x), axis = "
                              "int32(2), interleave = bool(false));";
    const std::string slice =
        "tensor<fp16, [1, 4, 1, 8]> y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, 0, "
        "0]), size = tensor<int32, [4]>([1, 4, 1, 8]));";
    const auto compiles = [](const std::string& body) {
      return Model(program(type + " x", body + "\n", "y")).compile();
    };
    for (const std::string& body : {reshape, concat, kept, below, slice}) CHECK(compiles(body));
    REQUIRE(ane_emulator_set("profile", "m3") == 1);
    CHECK_FALSE(compiles(reshape));
    CHECK(std::string(ane_emulator_last_refusal()).find("width") != std::string::npos);
    CHECK_FALSE(compiles(concat));
    for (const std::string& body : {kept, below, slice}) CHECK(compiles(body));
    REQUIRE(ane_emulator_set("reject_width_slice", "1") == 1);
    const std::string uncached =
        "tensor<fp16, [1, 4, 1, 9]> y = slice_by_size(x = x, begin = tensor<int32, [4]>([0, 0, 0, "
        "0]), size = tensor<int32, [4]>([1, 4, 1, 9]));";
    CHECK_FALSE(compiles(uncached));
    REQUIRE(ane_emulator_set("reject_width_reshape", "0") == 1);
    CHECK(compiles(reshape));
  }
  SUBCASE("after tile, M3 evaluates nothing any more") {
    REQUIRE(ane_emulator_set("profile", "m3") == 1);
    Model plain(scaled("2"));
    plain.ready();
    Values results;
    REQUIRE(plain.run(ones(), results));
    Model tile(program(
        type + " x",
        "tensor<fp16, [1, 4, 1, 64]> y = tile(x = x, reps = tensor<int32, [4]>([1, 1, 1, 2]));\n",
        "y"));
    tile.ready();
    CHECK(tile.run(ones()).at("y")[255] == 1);
    CHECK_FALSE(plain.run(ones(), results));
    CHECK(has(plain.failure(), "status=0x1d "));
  }
}

namespace {

// This program again, with ANE_EMULATOR set. RUNNER is the command that runs programs of another
// processor (scripts/run-tests.sh).
std::string describe(const std::string& options, const std::string& method) {
  const char* runner = std::getenv("RUNNER");
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string command = "ANE_EMULATOR='" + options + "' " +
                              (runner != nullptr ? runner : "") + " '" + program + "' --describe " +
                              method + " 2> /dev/null";
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  char line[256] = "";
  const bool answered = std::fgets(line, sizeof line, pipe) != nullptr;
  pclose(pipe);
  std::string text = answered ? line : "died";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

} // namespace

TEST_CASE("the environment variable leaves out classes and methods") {
  const std::string method = "_ANEClient echo: 0";
  CHECK(describe("profile=m1", method) == "B24@0:8@16");
  CHECK(describe("missing_class=_ANEClient", method) == "no class");
  CHECK(describe("missing_class=_ANEModel", method) == "B24@0:8@16");
  CHECK(describe("missing_selector=_ANEClient:echo:", method) == "no method");
  CHECK(describe("wrong_encoding=_ANEClient:echo:,lut=1", method) == "v16@0:8");
  CHECK(describe("missing_selector=_ANEClient:sharedConnection", "_ANEClient sharedConnection 1") ==
        "no method");
  CHECK(describe("no_such_key=1", method) == "died");
}

TEST_CASE("models on several threads") {
  const Pool pool;
  const Reset reset;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&right, t] {
      const Pool thread_pool;
      for (int i = 0; i < 5; ++i) {
        const int factor = 2 + t * 5 + i;
        Model model(scaled(std::to_string(factor)));
        if (!model.compile() || !model.load()) return;
        Values results;
        if (!model.run(ones(), results)) return;
        if (results.at("y") == std::vector<double>(128, factor)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 20);
  CHECK(ane_emulator_count("evaluations") == 20);
  CHECK(ane_emulator_count("loaded") == 0);
}

// MIL programs: parsing, files with blobs, ports, derivatives; and kernels that run them.
#include "support.h"

using namespace test;

namespace {

// y = sum(x * x * w), so dy/dx = 2 * x * w and dy/dw = x * x.
const char* const weighted_square = R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [1, 4]> w, tensor<fp32, [1, 4]> x) {
    tensor<fp32, [1, 4]> squared = mul(x = x, y = x)[name = string("squared")];
    tensor<fp32, [1, 4]> weighted = mul(x = squared, y = w)[name = string("weighted")];
    tensor<int32, [1]> axes = const()[name = string("axes"), val = tensor<int32, [1]>([1])];
    bool keep = const()[name = string("keep"), val = bool(true)];
    tensor<fp32, [1, 1]> y = reduce_sum(x = weighted, axes = axes, keep_dims = keep)[name = string("y")];
  } -> (y);
}
)";

// y = x + the two floats that the blob file holds.
const char* const with_blob = R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [2]> x) {
    tensor<fp32, [2]> c = const()[name = string("c"), val = tensor<fp32, [2]>(BLOBFILE(path = string("@model_path/weights/w.bin"), offset = uint64(64)))];
    tensor<fp32, [2]> y = add(x = x, y = c)[name = string("y")];
  } -> (y);
}
)";

template <typename T>
void put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

// "MIL storage v2", written out by hand: header, one record, payload.
std::string blob_of(float first, float second) {
  std::string bytes(192, '\0');
  put(bytes, 0, uint32_t{1});           // blobs
  put(bytes, 4, uint32_t{2});           // version
  put(bytes, 64, uint32_t{0xDEADBEEF}); // record
  put(bytes, 68, uint32_t{2});          // fp32
  put(bytes, 72, uint64_t{8});          // bytes
  put(bytes, 80, uint64_t{128});        // offset
  put(bytes, 128, first);
  put(bytes, 132, second);
  return bytes;
}

Program parse(const char* text) {
  anet_program* program = nullptr;
  must(anet_program_parse, text, SIZE_MAX, nullptr, size_t{0}, &program);
  return Program(program);
}

Outcome parse_outcome(const std::string& text, const anet_blob_file* blobs = nullptr,
                      size_t blob_count = 0) {
  auto* program = reinterpret_cast<anet_program*>(0x10);
  const Outcome outcome =
      attempt(anet_program_parse, text.data(), text.size(), blobs, blob_count, &program);
  CHECK((program != nullptr) == (outcome.status == ANET_OK));
  anet_program_release(program);
  return outcome;
}

std::string text_of(const anet_program* program) {
  const char* text = nullptr;
  size_t length = 0;
  must(anet_program_get_text, program, &text, &length);
  CHECK(std::strlen(text) == length);
  return text;
}

Kernel compile(anet_device* device, const anet_program* program, const char* function = nullptr) {
  anet_kernel* kernel = nullptr;
  must(anet_kernel_compile, device, program, function, &kernel);
  return Kernel(kernel);
}

Buffer buffer_for(const anet_kernel* kernel, anet_direction direction, size_t index,
                  const std::vector<float>& values = {}) {
  anet_buffer* buffer = nullptr;
  must(anet_kernel_create_buffer, kernel, direction, index, &buffer);
  if (!values.empty())
    must(anet_buffer_write, buffer, static_cast<const void*>(values.data()),
         values.size() * sizeof(float));
  return Buffer(buffer);
}

std::vector<float> values_of(anet_buffer* buffer, size_t count) {
  std::vector<float> values(count);
  must(anet_buffer_read, buffer, static_cast<void*>(values.data()), count * sizeof(float));
  return values;
}

std::string port_name(const anet_kernel* kernel, anet_direction direction, size_t index) {
  auto port = initialised<anet_port>();
  must(anet_kernel_get_port, kernel, direction, index, &port);
  return port.name;
}

Outcome run(anet_kernel* kernel, const std::vector<anet_buffer*>& inputs,
            const std::vector<anet_buffer*>& outputs) {
  return attempt(anet_kernel_run, kernel, inputs.data(), inputs.size(), outputs.data(),
                 outputs.size());
}

} // namespace

TEST_CASE("a program's text parses to the same program") {
  const Program program = parse(weighted_square);
  const std::string text = text_of(program.get());
  CHECK(text.find("reduce_sum") != std::string::npos);
  CHECK(text_of(parse(text.c_str()).get()) == text);
}

TEST_CASE("text may have a length instead of a terminator") {
  const std::string padded = std::string(weighted_square) + "garbage";
  CHECK(parse_outcome(padded).status == ANET_E_INVALID_PROGRAM);
  anet_program* program = nullptr;
  must(anet_program_parse, padded.data(), std::strlen(weighted_square), nullptr, size_t{0},
       &program);
  anet_program_release(program);
  CHECK(parse_outcome("").status == ANET_E_INVALID_PROGRAM);
}

TEST_CASE("malformed MIL names its line and column") {
  std::string text = weighted_square;
  text.replace(text.find("mul(x = squared"), 3, "mull");
  const Outcome unknown_op = parse_outcome(text);
  CHECK(unknown_op.status == ANET_E_INVALID_PROGRAM);
  CHECK(unknown_op.line == 5);
  CHECK(unknown_op.column > 1);
  CHECK(unknown_op.says("mull"));

  text = weighted_square;
  text.replace(text.find("-> (y)"), 6, "-> (z)");
  CHECK(parse_outcome(text).status == ANET_E_INVALID_PROGRAM);
  CHECK(parse_outcome(text).line == 9);

  // Types are checked, not only syntax.
  text = weighted_square;
  text.replace(text.find("tensor<fp32, [1, 4]> squared"), 28, "tensor<fp32, [1, 5]> squared");
  CHECK(parse_outcome(text).status == ANET_E_INVALID_PROGRAM);
  CHECK(parse_outcome(text).line == 4);
}

TEST_CASE("ports are listed with their types") {
  const Program program = parse(weighted_square);
  REQUIRE(anet_program_function_count(program.get()) == 1);
  CHECK(anet_program_function_name(program.get(), 0) == std::string("main"));
  CHECK(anet_program_function_name(program.get(), 1) == nullptr);
  size_t count = 0;
  must(anet_program_port_count, program.get(), nullptr, anet_direction{ANET_INPUT}, &count);
  REQUIRE(count == 2);
  must(anet_program_port_count, program.get(), "main", anet_direction{ANET_OUTPUT}, &count);
  REQUIRE(count == 1);

  auto port = initialised<anet_port>();
  must(anet_program_get_port, program.get(), nullptr, anet_direction{ANET_INPUT}, size_t{1}, &port);
  CHECK(port.name == std::string("x"));
  CHECK(port.desc.dtype == ANET_DTYPE_FP32);
  CHECK(port.desc.rank == 2);
  CHECK(port.desc.shape[1] == 4);
  CHECK(port.desc.strides[0] == 16);
  CHECK(port.desc.strides[1] == 4);

  CHECK(attempt(anet_program_get_port, program.get(), nullptr, anet_direction{ANET_INPUT},
                size_t{2}, &port)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(attempt(anet_program_get_port, program.get(), nullptr, anet_direction{3}, size_t{0}, &port)
            .status == ANET_E_INVALID_ARGUMENT);
  const Outcome unknown =
      attempt(anet_program_port_count, program.get(), "mian", anet_direction{ANET_INPUT}, &count);
  CHECK(unknown.status == ANET_E_NOT_FOUND);
  CHECK(unknown.says("main"));
}

TEST_CASE("constants come from blob files in memory") {
  const std::string bytes = blob_of(10, 20);
  anet_blob_file blob{"@model_path/weights/w.bin", bytes.data(), bytes.size()};
  CHECK(parse_outcome(with_blob, &blob, 1).status == ANET_OK);
  // Missing, under another name, and twice.
  CHECK(parse_outcome(with_blob).status == ANET_E_INVALID_BLOB);
  const anet_blob_file twice[] = {blob, blob};
  CHECK(parse_outcome(with_blob, twice, 2).status == ANET_E_INVALID_ARGUMENT);
  CHECK(parse_outcome(with_blob, nullptr, 1).status == ANET_E_INVALID_ARGUMENT);
  blob.path = nullptr;
  CHECK(parse_outcome(with_blob, &blob, 1).status == ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("damaged blob files are refused") {
  const std::string good = blob_of(10, 20);
  const auto outcome = [](const std::string& bytes) {
    const anet_blob_file blob{"@model_path/weights/w.bin", bytes.data(), bytes.size()};
    return parse_outcome(with_blob, &blob, 1).status;
  };
  REQUIRE(outcome(good) == ANET_OK);
  CHECK(outcome(std::string()) == ANET_E_INVALID_BLOB);
  CHECK(outcome(good.substr(0, 100)) == ANET_E_INVALID_BLOB);
  CHECK(outcome(good.substr(0, 130)) == ANET_E_INVALID_BLOB);
  std::string bad = good;
  put(bad, 64, uint32_t{0});
  CHECK(outcome(bad) == ANET_E_INVALID_BLOB);
  bad = good;
  put(bad, 68, uint32_t{1}); // fp16 for an fp32 constant
  CHECK(outcome(bad) == ANET_E_INVALID_BLOB);
  bad = good;
  put(bad, 80, uint64_t{1} << 60);
  CHECK(outcome(bad) == ANET_E_INVALID_BLOB);
}

TEST_CASE("a .mil file finds its blob files beside it") {
  const Folder folder;
  std::filesystem::create_directory(folder.path("weights"));
  write_file(folder.path("weights/w.bin"), blob_of(10, 20));
  write_file(folder.path("model.mil"), with_blob);
  anet_program* handle = nullptr;
  must(anet_program_load, folder.path("model.mil").c_str(), &handle);
  const Program program(handle);

  const Device device = open_device();
  const Kernel kernel = compile(device.get(), program.get());
  const Buffer x = buffer_for(kernel.get(), ANET_INPUT, 0, {1, 2});
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0);
  CHECK(run(kernel.get(), {x.get()}, {y.get()}).status == ANET_OK);
  CHECK(values_of(y.get(), 2) == std::vector<float>{11, 22});

  std::filesystem::remove(folder.path("weights/w.bin"));
  const Outcome vanished = attempt(anet_program_load, folder.path("model.mil").c_str(), &handle);
  CHECK(vanished.status == ANET_E_FILE_NOT_FOUND);
  CHECK(vanished.says("w.bin"));
  CHECK(handle == nullptr);
}

TEST_CASE("a .mil file cannot reach outside its folder") {
  const Folder folder;
  std::filesystem::create_directory(folder.path("inside"));
  write_file(folder.path("secret.bin"), blob_of(1, 2));
  for (const std::string& path :
       {std::string("@model_path/../secret.bin"), std::string("@model_path/a/../../secret.bin"),
        folder.path("secret.bin"), std::string("secret.bin"), std::string("@model_path/"),
        "@model_path/" + folder.path("secret.bin")}) {
    std::string text = with_blob;
    const std::string original = "@model_path/weights/w.bin";
    text.replace(text.find(original), original.size(), path);
    write_file(folder.path("inside/model.mil"), text);
    anet_program* program = nullptr;
    const Outcome outcome =
        attempt(anet_program_load, folder.path("inside/model.mil").c_str(), &program);
    CHECK_MESSAGE(outcome.status == ANET_E_INVALID_BLOB, path);
    anet_program_release(program);
  }
}

TEST_CASE("a kernel runs a program") {
  const Device device = open_device();
  const Program program = parse(weighted_square);
  const Kernel kernel = compile(device.get(), program.get());
  REQUIRE(anet_kernel_port_count(kernel.get(), ANET_INPUT) == 2);
  REQUIRE(anet_kernel_port_count(kernel.get(), ANET_OUTPUT) == 1);
  CHECK(port_name(kernel.get(), ANET_INPUT, 0) == "w");
  const Buffer w = buffer_for(kernel.get(), ANET_INPUT, 0, {0.5f, 1, 2, 4});
  const Buffer x = buffer_for(kernel.get(), ANET_INPUT, 1, {1, 2, 3, 4});
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0);
  CHECK(run(kernel.get(), {w.get(), x.get()}, {y.get()}).status == ANET_OK);
  // 0.5 * 1 + 1 * 4 + 2 * 9 + 4 * 16
  CHECK(values_of(y.get(), 1) == std::vector<float>{86.5f});
  // One buffer may feed two ports.
  CHECK(run(kernel.get(), {x.get(), x.get()}, {y.get()}).status == ANET_OK);
  CHECK(values_of(y.get(), 1) == std::vector<float>{1 + 8 + 27 + 64});

  auto statistics = initialised<anet_kernel_statistics>();
  must(anet_kernel_get_statistics, kernel.get(), &statistics);
  CHECK(statistics.runs == 2);
  CHECK(statistics.seconds > 0);
  CHECK(statistics.op_count >= 1);
}

TEST_CASE("wrong bindings are refused before a kernel runs") {
  const Device device = open_device();
  const Program program = parse(weighted_square);
  const Kernel kernel = compile(device.get(), program.get());
  const Buffer w = buffer_for(kernel.get(), ANET_INPUT, 0, {1, 1, 1, 1});
  const Buffer x = buffer_for(kernel.get(), ANET_INPUT, 1, {1, 2, 3, 4});
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0, {-1});

  CHECK(run(kernel.get(), {w.get()}, {y.get()}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(run(kernel.get(), {w.get(), x.get()}, {}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(run(kernel.get(), {w.get(), nullptr}, {y.get()}).status == ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_kernel_run, kernel.get(), nullptr, size_t{2}, nullptr, size_t{1}).status ==
        ANET_E_INVALID_ARGUMENT);

  Outcome outcome = run(kernel.get(), {w.get(), y.get()}, {y.get()});
  CHECK(outcome.status == ANET_E_SHAPE_MISMATCH);
  CHECK(outcome.says("x"));

  auto desc = initialised<anet_tensor_desc>();
  must(anet_buffer_get_desc, x.get(), &desc);
  desc.dtype = ANET_DTYPE_INT32;
  anet_buffer* integers = nullptr;
  must(anet_buffer_create, device.get(), &desc, &integers);
  const Buffer owner(integers);
  outcome = run(kernel.get(), {w.get(), integers}, {y.get()});
  CHECK(outcome.status == ANET_E_TYPE_MISMATCH);

  const Device other = open_device();
  must(anet_buffer_get_desc, x.get(), &desc);
  anet_buffer* foreign = nullptr;
  must(anet_buffer_create, other.get(), &desc, &foreign);
  const Buffer foreign_owner(foreign);
  CHECK(run(kernel.get(), {w.get(), foreign}, {y.get()}).status == ANET_E_INVALID_ARGUMENT);

  CHECK(values_of(y.get(), 1) == std::vector<float>{-1});
  auto statistics = initialised<anet_kernel_statistics>();
  must(anet_kernel_get_statistics, kernel.get(), &statistics);
  CHECK(statistics.runs == 0);
}

TEST_CASE("a mapped buffer makes a run busy") {
  const Device device = open_device();
  const Program program = parse(weighted_square);
  const Kernel kernel = compile(device.get(), program.get());
  const Buffer w = buffer_for(kernel.get(), ANET_INPUT, 0, {1, 1, 1, 1});
  const Buffer x = buffer_for(kernel.get(), ANET_INPUT, 1, {1, 2, 3, 4});
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0);
  for (anet_buffer* mapped : {x.get(), y.get()}) {
    auto view = initialised<anet_buffer_view>();
    must(anet_buffer_map, mapped, anet_map_access{ANET_MAP_READ}, &view);
    CHECK(run(kernel.get(), {w.get(), x.get()}, {y.get()}).status == ANET_E_BUSY);
    must(anet_buffer_unmap, mapped);
  }
  CHECK(run(kernel.get(), {w.get(), x.get()}, {y.get()}).status == ANET_OK);
}

TEST_CASE("a kernel outlives its program and device handles") {
  Device device = open_device();
  anet_program* handle = nullptr;
  const std::string bytes = blob_of(10, 20);
  const anet_blob_file blob{"@model_path/weights/w.bin", bytes.data(), bytes.size()};
  must(anet_program_parse, with_blob, SIZE_MAX, &blob, size_t{1}, &handle);
  Program program(handle);
  const Kernel kernel = compile(device.get(), program.get());
  program.reset();
  device.reset();
  const Buffer x = buffer_for(kernel.get(), ANET_INPUT, 0, {1, 2});
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0);
  CHECK(run(kernel.get(), {x.get()}, {y.get()}).status == ANET_OK);
  CHECK(values_of(y.get(), 2) == std::vector<float>{11, 22});
}

TEST_CASE("an unknown function or port index is refused") {
  const Device device = open_device();
  const Program program = parse(weighted_square);
  anet_kernel* none = nullptr;
  CHECK(attempt(anet_kernel_compile, device.get(), program.get(), "other", &none).status ==
        ANET_E_NOT_FOUND);
  const Kernel kernel = compile(device.get(), program.get(), "main");
  auto port = initialised<anet_port>();
  CHECK(attempt(anet_kernel_get_port, kernel.get(), anet_direction{ANET_OUTPUT}, size_t{1}, &port)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(anet_kernel_port_count(kernel.get(), 7) == 0);
}

TEST_CASE("the derivative agrees with the formula") {
  const Device device = open_device();
  const Program program = parse(weighted_square);
  for (anet_taps taps : {ANET_TAPS_AUTOMATIC, ANET_TAPS_ALL, ANET_TAPS_NONE}) {
    auto options = initialised<anet_differentiate_options>();
    options.taps = taps;
    anet_program* handle = nullptr;
    must(anet_program_differentiate, program.get(), nullptr, &options, &handle);
    const Program derivative(handle);
    REQUIRE(anet_program_function_count(derivative.get()) == 2);
    CHECK(anet_program_function_name(derivative.get(), 0) == std::string("main"));
    CHECK(anet_program_function_name(derivative.get(), 1) == std::string("main_backward"));

    // Forward: its own output, then the taps.
    const Kernel forward = compile(device.get(), derivative.get(), "main");
    const Buffer w = buffer_for(forward.get(), ANET_INPUT, 0, {0.5f, 1, 2, 4});
    const Buffer x = buffer_for(forward.get(), ANET_INPUT, 1, {1, 2, 3, 4});
    std::vector<Buffer> results;
    std::vector<anet_buffer*> outputs;
    for (size_t i = 0; i < anet_kernel_port_count(forward.get(), ANET_OUTPUT); ++i) {
      results.push_back(buffer_for(forward.get(), ANET_OUTPUT, i));
      outputs.push_back(results.back().get());
    }
    CHECK(run(forward.get(), {w.get(), x.get()}, outputs).status == ANET_OK);
    CHECK(values_of(outputs[0], 1) == std::vector<float>{86.5f});
    if (taps == ANET_TAPS_NONE) CHECK(outputs.size() == 1);

    // Backward: inputs by name.
    const Kernel backward = compile(device.get(), derivative.get(), "main_backward");
    const Buffer seed = [&] {
      const size_t last = anet_kernel_port_count(backward.get(), ANET_INPUT) - 1;
      CHECK(port_name(backward.get(), ANET_INPUT, last) == "d_y");
      return buffer_for(backward.get(), ANET_INPUT, last, {3});
    }();
    std::vector<anet_buffer*> inputs;
    for (size_t i = 0; i < anet_kernel_port_count(backward.get(), ANET_INPUT); ++i) {
      const std::string name = port_name(backward.get(), ANET_INPUT, i);
      anet_buffer* source = name == "w" ? w.get() : name == "x" ? x.get() : nullptr;
      if (name == "d_y") source = seed.get();
      for (size_t k = 1; source == nullptr && k < outputs.size(); ++k)
        if (port_name(forward.get(), ANET_OUTPUT, k) == name) source = outputs[k];
      REQUIRE_MESSAGE(source != nullptr, name);
      inputs.push_back(source);
    }
    REQUIRE(anet_kernel_port_count(backward.get(), ANET_OUTPUT) == 2);
    CHECK(port_name(backward.get(), ANET_OUTPUT, 0) == "d_w");
    CHECK(port_name(backward.get(), ANET_OUTPUT, 1) == "d_x");
    const Buffer dw = buffer_for(backward.get(), ANET_OUTPUT, 0);
    const Buffer dx = buffer_for(backward.get(), ANET_OUTPUT, 1);
    CHECK(run(backward.get(), inputs, {dw.get(), dx.get()}).status == ANET_OK);
    CHECK(values_of(dw.get(), 4) == std::vector<float>{3, 12, 27, 48});
    CHECK(values_of(dx.get(), 4) == std::vector<float>{3, 12, 36, 96});
  }
}

TEST_CASE("differentiation by chosen inputs only") {
  const Program program = parse(weighted_square);
  auto options = initialised<anet_differentiate_options>();
  const char* const by[] = {"x"};
  options.inputs = by;
  options.input_count = 1;
  anet_program* handle = nullptr;
  must(anet_program_differentiate, program.get(), "main", &options, &handle);
  const Program derivative(handle);
  size_t count = 0;
  must(anet_program_port_count, derivative.get(), "main_backward", anet_direction{ANET_OUTPUT},
       &count);
  CHECK(count == 1);
  auto port = initialised<anet_port>();
  must(anet_program_get_port, derivative.get(), "main_backward", anet_direction{ANET_OUTPUT},
       size_t{0}, &port);
  CHECK(port.name == std::string("d_x"));
}

TEST_CASE("what cannot be differentiated is named") {
  const Program program = parse(weighted_square);
  anet_program* derivative = nullptr;
  auto options = initialised<anet_differentiate_options>();
  const char* const unknown[] = {"v"};
  options.inputs = unknown;
  options.input_count = 1;
  Outcome outcome =
      attempt(anet_program_differentiate, program.get(), nullptr, &options, &derivative);
  CHECK(outcome.status == ANET_E_NOT_FOUND);
  CHECK(outcome.says("v"));
  options.inputs = nullptr;
  CHECK(attempt(anet_program_differentiate, program.get(), nullptr, &options, &derivative).status ==
        ANET_E_INVALID_ARGUMENT);
  options = initialised<anet_differentiate_options>();
  options.taps = 3;
  CHECK(attempt(anet_program_differentiate, program.get(), nullptr, &options, &derivative).status ==
        ANET_E_UNSUPPORTED_OPTION);
  CHECK(attempt(anet_program_differentiate, program.get(), "g", nullptr, &derivative).status ==
        ANET_E_NOT_FOUND);

  const Program integers = parse(R"(program(1.3)
{
  func main<ios18>(tensor<int32, [2]> n, tensor<fp32, [2]> x) {
    tensor<fp32, [2]> y = mul(x = x, y = x)[name = string("y")];
  } -> (y);
}
)");
  const char* const by[] = {"n"};
  options = initialised<anet_differentiate_options>();
  options.inputs = by;
  options.input_count = 1;
  CHECK(
      attempt(anet_program_differentiate, integers.get(), nullptr, &options, &derivative).status ==
      ANET_E_TYPE_MISMATCH);
  CHECK(derivative == nullptr);
}

TEST_CASE("an op without a gradient is named") {
  const Program program = parse(R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [3]> x) {
    tensor<int8, [3]> q = quantize(input = x, scale = fp32(0.1), output_dtype = string("int8"))[name = string("q")];
    tensor<fp32, [3]> y = dequantize(input = q, scale = fp32(0.1))[name = string("y")];
  } -> (y);
}
)");
  anet_program* derivative = nullptr;
  const Outcome outcome =
      attempt(anet_program_differentiate, program.get(), nullptr, nullptr, &derivative);
  CHECK(outcome.status == ANET_E_UNSUPPORTED);
  CHECK(outcome.says("quantize"));
  CHECK(derivative == nullptr);
}

TEST_CASE("what a device cannot run is named") {
  const Device device = open_device();
  const Program program = parse(R"(program(1.3)
{
  func main<ios18>(tensor<int4, [4]> packed) {
    tensor<int4, [4]> y = identity(x = packed)[name = string("y")];
  } -> (y);
}
)");
  auto port = initialised<anet_port>();
  must(anet_program_get_port, program.get(), nullptr, anet_direction{ANET_INPUT}, size_t{0}, &port);
  CHECK(port.desc.dtype == ANET_DTYPE_UNDEFINED);
  CHECK(port.desc.shape[0] == 4);
  anet_kernel* kernel = nullptr;
  const Outcome outcome =
      attempt(anet_kernel_compile, device.get(), program.get(), nullptr, &kernel);
  CHECK(outcome.status == ANET_E_UNSUPPORTED);
  CHECK(outcome.says("int4"));
  CHECK(kernel == nullptr);
}

TEST_CASE("a gather index outside its tensor fails the run") {
  const Device device = open_device();
  const Program program = parse(R"(program(1.3)
{
  func main<ios18>(tensor<fp32, [3, 2]> table, tensor<int32, [2]> ids) {
    int32 axis = const()[name = string("axis"), val = int32(0)];
    int32 batch_dims = const()[name = string("batch_dims"), val = int32(0)];
    bool validate = const()[name = string("validate"), val = bool(false)];
    tensor<fp32, [2, 2]> y = gather(x = table, indices = ids, axis = axis, batch_dims = batch_dims, validate_indices = validate)[name = string("y")];
  } -> (y);
}
)");
  const Kernel kernel = compile(device.get(), program.get());
  const Buffer table = buffer_for(kernel.get(), ANET_INPUT, 0, {1, 2, 3, 4, 5, 6});
  const Buffer ids = buffer_for(kernel.get(), ANET_INPUT, 1);
  const Buffer y = buffer_for(kernel.get(), ANET_OUTPUT, 0);
  const int32_t good[] = {2, 0};
  must(anet_buffer_write, ids.get(), static_cast<const void*>(good), sizeof(good));
  CHECK(run(kernel.get(), {table.get(), ids.get()}, {y.get()}).status == ANET_OK);
  CHECK(values_of(y.get(), 4) == std::vector<float>{5, 6, 1, 2});
  const int32_t bad[] = {0, 3};
  must(anet_buffer_write, ids.get(), static_cast<const void*>(bad), sizeof(bad));
  CHECK(run(kernel.get(), {table.get(), ids.get()}, {y.get()}).status == ANET_E_OUT_OF_RANGE);
}

// The device "ane" through the public header alone.
#include "support.h"
#include "train_support.h"

#include "base/float16.h"
#include "base/json.h"

#include <ane_train.h>
#include <ane_train_apple.h>

#include <doctest/doctest.h>

#include <cstring>
#include <numeric>

using namespace anet::test;

namespace {

template <typename T, void (*release)(T*)>
struct Releaser {
  void operator()(T* handle) const { release(handle); }
};
using Device = std::unique_ptr<anet_device, Releaser<anet_device, anet_device_release>>;
using Buffer = std::unique_ptr<anet_buffer, Releaser<anet_buffer, anet_buffer_release>>;
using Program = std::unique_ptr<anet_program, Releaser<anet_program, anet_program_release>>;
using Kernel = std::unique_ptr<anet_kernel, Releaser<anet_kernel, anet_kernel_release>>;
using Model = std::unique_ptr<anet_model, Releaser<anet_model, anet_model_release>>;
using Session = std::unique_ptr<anet_session, Releaser<anet_session, anet_session_release>>;

template <typename Struct>
Struct initialised() {
  Struct value;
  anet_struct_init(&value, sizeof(value));
  return value;
}

template <typename Call, typename... Arguments>
anet_status attempt(Call call, Arguments... arguments) {
  anet_error* error = nullptr;
  const anet_status status = call(arguments..., &error);
  CHECK((status == ANET_OK) == (error == nullptr));
  anet_error_release(error);
  return status;
}

template <typename Call, typename... Arguments>
void must(Call call, Arguments... arguments) {
  anet_error* error = nullptr;
  const anet_status status = call(arguments..., &error);
  REQUIRE_MESSAGE(status == ANET_OK, std::string(anet_error_message(error)));
}

struct Fixture {
  TemporaryDirectory temporary;
  Emulator emulator;
  std::string framework = emulator_path();
  anet_ane_options ane = initialised<anet_ane_options>();
  anet_device_options options = initialised<anet_device_options>();

  Fixture() {
    ane.framework_path = framework.c_str();
    ane.cache_directory = probe_cache().c_str();
    ane.forward = ane.loss = ane.input_gradients = ane.weight_gradients = ane.programs =
        ANET_PLACEMENT_ENGINE;
    options.threads = 2;
    options.ane = &ane;
  }

  Device open(const char* name = "ane") {
    anet_device* device = nullptr;
    must(anet_device_open, name, &options, &device);
    return Device(device);
  }
};

// y = x + x for 3 rows of 30: rows of 60 bytes, padded to 64.
constexpr const char* sum_text = R"(program(1.0)
{
  func main<ios16>(tensor<fp16, [1, 3, 1, 30]> x) {
    tensor<fp16, [1, 3, 1, 30]> y = add(x = x, y = x)[name = string("y")];
  } -> (y);
})";

Kernel compile(const Device& device) {
  anet_program* program = nullptr;
  must(anet_program_parse, sum_text, SIZE_MAX, nullptr, size_t{0}, &program);
  const Program owned(program);
  anet_kernel* kernel = nullptr;
  must(anet_kernel_compile, device.get(), program, nullptr, &kernel);
  return Kernel(kernel);
}

Buffer create_buffer(const Kernel& kernel, anet_direction direction) {
  anet_buffer* buffer = nullptr;
  must(anet_kernel_create_buffer, kernel.get(), direction, size_t{0}, &buffer);
  return Buffer(buffer);
}

std::vector<uint16_t> counting() {
  std::vector<uint16_t> halves(90);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = anet::float_to_half(static_cast<float>(i));
  return halves;
}

void check_doubled(const Buffer& buffer) {
  std::vector<uint16_t> halves(90);
  must(anet_buffer_read, buffer.get(), static_cast<void*>(halves.data()), size_t{180});
  for (size_t i = 0; i < halves.size(); ++i)
    REQUIRE(anet::half_to_float(halves[i]) == 2 * static_cast<float>(i));
}

void run(const Kernel& kernel, const Buffer& input, const Buffer& output) {
  anet_buffer* const inputs[] = {input.get()};
  anet_buffer* const outputs[] = {output.get()};
  must(anet_kernel_run, kernel.get(), inputs, size_t{1}, outputs, size_t{1});
}

std::string report_of(const Device& device) {
  size_t length = 0;
  must(anet_device_get_report, device.get(), nullptr, size_t{0}, &length);
  std::string text(length + 1, '\0');
  must(anet_device_get_report, device.get(), text.data(), text.size(), &length);
  text.resize(length);
  return text;
}

} // namespace

TEST_CASE("the device opens by its name, and auto is it") {
  Fixture f;
  for (const char* name : {"ane", "auto"}) {
    const Device device = f.open(name);
    auto info = initialised<anet_device_info>();
    must(anet_device_get_info, device.get(), &info);
    CHECK(info.name == std::string("ane"));
    CHECK(info.has_f32 == 0);
    CHECK(info.threads == 2);
  }
}

TEST_CASE("its report is JSON with the chip, the probes, the rules and the budget") {
  Fixture f;
  const Device device = f.open();
  const Kernel kernel = compile(device);
  const anet::Json report = anet::Json::parse(report_of(device), "report");
  const anet::JsonView view(report);
  CHECK(view.at("device").string() == "ane");
  CHECK_FALSE(view.at("chip").string().empty());
  CHECK(view.at("slots").at("budget").integer() == 110);
  CHECK(view.at("slots").at("programs").integer() == 1);
  CHECK(view.at("kernels").size() == 1);
}

TEST_CASE("options out of range are refused") {
  Fixture f;
  anet_device* device = nullptr;
  const auto status = [&] { return attempt(anet_device_open, "ane", &f.options, &device); };
  f.ane.compile_budget = -1;
  CHECK(status() == ANET_E_OUT_OF_RANGE);
  f.ane.compile_budget = 0;
  f.ane.qos = 64;
  CHECK(status() == ANET_E_OUT_OF_RANGE);
  f.ane.qos = 0;
  f.ane.audit_every = -1;
  CHECK(status() == ANET_E_OUT_OF_RANGE);
  f.ane.audit_every = 0;
  f.ane.audit_tolerance = -0.5;
  CHECK(status() == ANET_E_OUT_OF_RANGE);
  CHECK(device == nullptr);
}

TEST_CASE("a kernel's buffers have padded rows, which map shows and read and write hide") {
  Fixture f;
  const Device device = f.open();
  const Kernel kernel = compile(device);
  const Buffer input = create_buffer(kernel, ANET_INPUT);
  const Buffer output = create_buffer(kernel, ANET_OUTPUT);
  must(anet_buffer_write, input.get(), static_cast<const void*>(counting().data()), size_t{180});
  auto view = initialised<anet_buffer_view>();
  must(anet_buffer_map, input.get(), ANET_MAP_READ, &view);
  CHECK(view.desc.strides[1] == 64);
  CHECK(view.desc.strides[3] == 2);
  uint16_t element = 0;
  std::memcpy(&element, static_cast<const char*>(view.data) + 2 * 64 + 5 * 2, 2);
  CHECK(anet::half_to_float(element) == 65);
  must(anet_buffer_unmap, input.get());

  run(kernel, input, output);
  check_doubled(output);
  auto statistics = initialised<anet_kernel_statistics>();
  must(anet_kernel_get_statistics, kernel.get(), &statistics);
  CHECK(statistics.engine_evaluations == 1);
  CHECK(statistics.engine_seconds > 0);
  CHECK(statistics.engine_bytes_in >= 192);
  const char* where = nullptr;
  const char* reason = nullptr;
  must(anet_kernel_get_placement, kernel.get(), &where, &reason);
  CHECK(where == std::string("ane"));
  CHECK(reason == std::string());
}

TEST_CASE("surfaces go out of a buffer and into others, by reference and by number") {
  Fixture f;
  const Device device = f.open();
  const Kernel kernel = compile(device);
  auto port = initialised<anet_port>();
  must(anet_kernel_get_port, kernel.get(), ANET_OUTPUT, size_t{0}, &port);
  Buffer input = create_buffer(kernel, ANET_INPUT);
  Buffer output = create_buffer(kernel, ANET_OUTPUT);
  void* const surface = anet_buffer_get_iosurface(output.get());
  const uint32_t id = anet_buffer_get_iosurface_id(output.get());
  REQUIRE(surface != nullptr);
  REQUIRE(id != 0);
  anet_buffer* made = nullptr;
  must(anet_buffer_import_iosurface, device.get(), surface, &port.desc, &made);
  const Buffer same(made);
  must(anet_buffer_import_iosurface_id, device.get(), id, &port.desc, &made);
  const Buffer found(made);
  CHECK(anet_buffer_get_iosurface(same.get()) == surface);
  CHECK(anet_buffer_get_iosurface(found.get()) == surface);
  CHECK(anet_buffer_get_iosurface_id(found.get()) == id);

  // The memory is one, and lives as long as any of them.
  output.reset();
  must(anet_buffer_write, input.get(), static_cast<const void*>(counting().data()), size_t{180});
  run(kernel, input, same);
  check_doubled(found);
  auto statistics = initialised<anet_kernel_statistics>();
  must(anet_kernel_get_statistics, kernel.get(), &statistics);
  CHECK(statistics.engine_evaluations == 1);

  // Too large a tensor, a number that nobody has, memory that is no surface.
  anet_tensor_desc large = port.desc;
  large.shape[0] = 1 << 20;
  CHECK(attempt(anet_buffer_import_iosurface, device.get(), surface, &large, &made) ==
        ANET_E_OUT_OF_RANGE);
  CHECK(attempt(anet_buffer_import_iosurface_id, device.get(), 0x7fffffffu, &port.desc, &made) ==
        ANET_E_NOT_FOUND);
  CHECK(made == nullptr);
  auto plain = initialised<anet_tensor_desc>();
  plain.dtype = ANET_DTYPE_INT32;
  plain.rank = 1;
  plain.shape[0] = 4;
  must(anet_buffer_create, device.get(), &plain, &made);
  const Buffer integers(made);
  CHECK(anet_buffer_get_iosurface(integers.get()) == nullptr);
  CHECK(anet_buffer_get_iosurface_id(integers.get()) == 0);
}

TEST_CASE("a session trains, reports and evaluates; precision is the engine's by default") {
  Fixture f;
  const Device device = f.open();
  auto config = initialised<anet_model_config>();
  config.vocab_size = 64;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layer_count = 2;
  config.head_count = 4;
  config.context_length = 16;
  config.tie_embeddings = 1;
  anet_model* made = nullptr;
  must(anet_model_create, &config, uint64_t{1}, &made);
  const Model model(made);
  auto options = initialised<anet_session_options>();
  options.batch_size = 2;
  options.sequence_length = 16;
  options.learning_rate = 1e-2;
  anet_session* session = nullptr;
  for (const anet_precision precision : {ANET_PRECISION_F32, ANET_PRECISION_BF16}) {
    options.precision = precision;
    CHECK(attempt(anet_session_create, device.get(), model.get(), &options, &session) ==
          ANET_E_UNSUPPORTED_OPTION);
  }
  options.precision = ANET_PRECISION_DEFAULT;
  must(anet_session_create, device.get(), model.get(), &options, &session);
  const Session owned(session);
  must(anet_session_get_options, session, &options);
  CHECK(options.precision == ANET_PRECISION_F16);

  const OwnedBatch tokens(1);
  auto batch = initialised<anet_batch>();
  batch.sequence_count = 2;
  batch.sequence_length = 16;
  batch.tokens = tokens.tokens.data();
  batch.targets = tokens.targets.data();
  auto result = initialised<anet_step_result>();
  double first = 0;
  uint64_t evaluations = 0;
  for (int step = 0; step < 20; ++step) {
    must(anet_session_step, session, &batch, size_t{1}, &result);
    if (step == 0) first = result.loss;
    evaluations += result.engine_evaluations;
  }
  CHECK(result.loss < 0.7 * first);
  CHECK(result.engine_flops > 19 * result.host_flops);
  uint64_t reported = 0;
  for (size_t i = 0; i < anet_session_kernel_count(session); ++i) {
    auto report = initialised<anet_kernel_report>();
    must(anet_session_get_kernel_report, session, i, &report);
    reported += report.engine_evaluations;
    const bool on_engine = std::string(report.where) != "cpu";
    CHECK(on_engine == (std::strncmp(report.label, "embedding", 9) != 0));
  }
  CHECK(reported == evaluations);
}

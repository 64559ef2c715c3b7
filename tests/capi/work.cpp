// Where the work runs: counters, reports, placements, and the options that decide it.
#include "support.h"

#include <ane_train_apple.h>

#include <set>

using namespace test;

namespace {

// Two products of 2 * 8 * 16 * 4 operations each.
constexpr const char* product_text = R"(program(1.0)
{
  func main<ios16>(tensor<fp32, [8, 16]> a, tensor<fp32, [16, 4]> b) {
    bool no = const()[name = string("no"), val = bool(false)];
    tensor<fp32, [8, 4]> y = matmul(x = a, y = b, transpose_x = no, transpose_y = no)[name = string("y")];
    tensor<fp32, [8, 4]> z = matmul(x = a, y = b, transpose_x = no, transpose_y = no)[name = string("z")];
  } -> (y, z);
})";

constexpr uint64_t block_kernels = 6; // embedding, block and head, both directions

Outcome open_with(const char* name, const anet_device_options& options) {
  anet_device* device = nullptr;
  const Outcome outcome = attempt(anet_device_open, name, &options, &device);
  anet_device_release(device);
  return outcome;
}

std::string device_report(const anet_device* device) {
  size_t length = 0;
  must(anet_device_get_report, device, nullptr, size_t{0}, &length);
  std::string text(length + 1, '\0');
  must(anet_device_get_report, device, text.data(), text.size(), &length);
  text.resize(length);
  return text;
}

} // namespace

TEST_CASE("options of the Neural Engine are refused for the CPU and checked field by field") {
  auto ane = initialised<anet_ane_options>();
  auto options = initialised<anet_device_options>();
  options.threads = 1;
  options.ane = &ane;
  const Outcome cpu = open_with("cpu", options);
  CHECK(cpu.status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(cpu.says("ane"));

  ane.loss = 3;
  CHECK(open_with("ane", options).status == ANET_E_UNSUPPORTED_OPTION);
  CHECK(open_with("ane", options).says("ane.loss"));
  ane.loss = ANET_PLACEMENT_HOST;
  ane.audit_action = -1;
  CHECK(open_with("ane", options).says("ane.audit_action"));
  ane.audit_action = ANET_AUDIT_ERROR;
  ane.framework_path = "\xff";
  CHECK(open_with("ane", options).status == ANET_E_INVALID_ARGUMENT);
  ane.framework_path = nullptr;
  ane.struct_size = 8;
  CHECK(open_with("ane", options).status == ANET_E_INVALID_STRUCT_SIZE);
}

TEST_CASE("a framework that is not there is unavailable, and auto goes on to the CPU") {
  auto ane = initialised<anet_ane_options>();
  ane.framework_path = "/nonexistent/AppleNeuralEngine";
  auto options = initialised<anet_device_options>();
  options.threads = 1;
  options.ane = &ane;
  const Outcome outcome = open_with("ane", options);
  CHECK(outcome.status == ANET_E_UNAVAILABLE);
  CHECK_FALSE(outcome.message.empty());

  anet_device* handle = nullptr;
  must(anet_device_open, "auto", &options, &handle);
  const Device device(handle);
  auto info = initialised<anet_device_info>();
  must(anet_device_get_info, device.get(), &info);
  CHECK(info.name == std::string("cpu"));
  CHECK(info.has_f32 == 1);
}

TEST_CASE("a program compiled against an older header goes on to work") {
  auto options = initialised<anet_device_options>();
  options.struct_size = offsetof(anet_device_options, ane);
  options.threads = 1;
  options.ane = reinterpret_cast<const anet_ane_options*>(1); // past its end: not looked at
  CHECK(open_with("cpu", options).status == ANET_OK);

  const Device device = open_device();
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  const Tokens tokens(1);
  const anet_batch batch = tokens.batch();
  anet_step_result result;
  std::memset(&result, 0x55, sizeof(result));
  result.struct_size = offsetof(anet_step_result, engine_evaluations);
  must(anet_session_step, session.get(), &batch, size_t{1}, &result);
  CHECK(result.step == 1);
  CHECK(result.engine_evaluations == 0x5555555555555555);
}

TEST_CASE("a device reports what it is") {
  const Device device = open_device();
  const std::string report = device_report(device.get());
  CHECK(report.front() == '{');
  CHECK(report.find("\"cpu\"") != std::string::npos);
  char small[4];
  size_t length = 0;
  CHECK(attempt(anet_device_get_report, device.get(), small, sizeof(small), &length).status ==
        ANET_E_OUT_OF_RANGE);
  CHECK(length == report.size());
}

TEST_CASE("a kernel counts what it did and says where it is") {
  const Device device = open_device();
  anet_program* parsed = nullptr;
  must(anet_program_parse, product_text, SIZE_MAX, nullptr, size_t{0}, &parsed);
  const Program program(parsed);
  anet_kernel* compiled = nullptr;
  must(anet_kernel_compile, device.get(), program.get(), nullptr, &compiled);
  const Kernel kernel(compiled);
  std::vector<Buffer> owned;
  const auto buffer = [&](anet_direction direction, size_t index) {
    anet_buffer* made = nullptr;
    must(anet_kernel_create_buffer, kernel.get(), direction, index, &made);
    owned.emplace_back(made);
    return made;
  };
  anet_buffer* const inputs[] = {buffer(ANET_INPUT, 0), buffer(ANET_INPUT, 1)};
  anet_buffer* const outputs[] = {buffer(ANET_OUTPUT, 0), buffer(ANET_OUTPUT, 1)};
  for (int run = 0; run < 3; ++run)
    must(anet_kernel_run, kernel.get(), inputs, size_t{2}, outputs, size_t{2});

  auto statistics = initialised<anet_kernel_statistics>();
  must(anet_kernel_get_statistics, kernel.get(), &statistics);
  CHECK(statistics.runs == 3);
  CHECK(statistics.host_flops == 3 * statistics.flops);
  CHECK(statistics.flops >= 2 * 8 * 16 * 4);
  CHECK(statistics.engine_flops == 0);
  CHECK(statistics.engine_evaluations == 0);
  CHECK(statistics.host_seconds > 0);
  CHECK(statistics.host_seconds <= statistics.seconds);

  const char* where = nullptr;
  const char* reason = nullptr;
  must(anet_kernel_get_placement, kernel.get(), &where, &reason);
  CHECK(where == std::string("cpu"));
  CHECK(reason == std::string());
  CHECK(attempt(anet_kernel_get_placement, kernel.get(), nullptr, &reason).status ==
        ANET_E_INVALID_ARGUMENT);
}

TEST_CASE("a session's steps add up to the reports of its kernels") {
  const Device device = open_device();
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  const Tokens tokens(1);
  const anet_batch batches[] = {tokens.batch(), tokens.batch()};
  uint64_t flops = 0;
  double seconds = 0;
  auto result = initialised<anet_step_result>();
  for (int step = 0; step < 3; ++step) {
    must(anet_session_step, session.get(), batches, size_t{2}, &result);
    CHECK(result.host_flops > 0);
    CHECK(result.host_seconds > 0);
    CHECK(result.host_seconds <= result.seconds);
    CHECK(result.engine_flops == 0);
    CHECK(result.fallbacks == 0);
    flops += result.host_flops;
    seconds += result.host_seconds;
  }
  REQUIRE(anet_session_kernel_count(session.get()) == block_kernels);
  uint64_t reported_flops = 0;
  double reported_seconds = 0;
  std::vector<anet_kernel_report> reports(block_kernels);
  std::set<std::string> labels;
  for (size_t i = 0; i < reports.size(); ++i) {
    anet_struct_init(&reports[i], sizeof(reports[i]));
    must(anet_session_get_kernel_report, session.get(), i, &reports[i]);
  }
  // All strings are still there after the last call.
  for (const anet_kernel_report& report : reports) {
    labels.insert(report.label);
    CHECK(report.where == std::string("cpu"));
    CHECK(report.reason == std::string());
    reported_flops += report.host_flops;
    reported_seconds += report.host_seconds;
    if (report.label == std::string("block_backward")) CHECK(report.runs == 3 * 2 * 2);
    if (report.label == std::string("head_evaluation")) CHECK(report.runs == 0);
  }
  CHECK(labels.size() == block_kernels);
  CHECK(reported_flops == flops);
  CHECK(reported_seconds == doctest::Approx(seconds).epsilon(1e-9));

  auto report = initialised<anet_kernel_report>();
  CHECK(attempt(anet_session_get_kernel_report, session.get(), size_t{block_kernels}, &report)
            .status == ANET_E_OUT_OF_RANGE);
  CHECK(anet_session_kernel_count(nullptr) == 0);
}

TEST_CASE("fit events carry the summary and the whole result") {
  const Device device = open_device();
  const Model model = create_model();
  const Session session = create_session(device.get(), model.get());
  const Dataset dataset = create_dataset(token_stream(200));
  auto options = initialised<anet_fit_options>();
  options.steps = 2;
  options.callback = [](const anet_fit_event* event, void*) -> int32_t {
    CHECK(event->struct_size == sizeof(anet_fit_event));
    CHECK(event->step.struct_size == sizeof(anet_step_summary));
    REQUIRE(event->result != nullptr);
    CHECK(event->result->struct_size == sizeof(anet_step_result));
    CHECK(event->result->host_flops > 0);
    // The summary is the beginning of the result.
    CHECK(std::memcmp(&event->step.skipped, &event->result->skipped,
                      sizeof(anet_step_summary) - sizeof(uint32_t)) == 0);
    return 0;
  };
  auto result = initialised<anet_fit_result>();
  must(anet_session_fit, session.get(), dataset.get(), nullptr, &options, &result);
  CHECK(result.step.step == 2);
  CHECK(result.end == ANET_FIT_STEPS);
}

TEST_CASE("the CPU has no surfaces") {
  const Device device = open_device();
  auto desc = initialised<anet_tensor_desc>();
  desc.dtype = ANET_DTYPE_FP16;
  desc.rank = 1;
  desc.shape[0] = 8;
  int surface = 0;
  anet_buffer* buffer = nullptr;
  CHECK(attempt(anet_buffer_import_iosurface, device.get(), static_cast<void*>(&surface), &desc,
                &buffer)
            .status == ANET_E_UNSUPPORTED);
  CHECK(attempt(anet_buffer_import_iosurface, device.get(), nullptr, &desc, &buffer).status ==
        ANET_E_INVALID_ARGUMENT);
  CHECK(attempt(anet_buffer_import_iosurface_id, device.get(), 7u, &desc, &buffer).status ==
        ANET_E_UNSUPPORTED);
  CHECK(buffer == nullptr);
  must(anet_buffer_create, device.get(), &desc, &buffer);
  const Buffer owned(buffer);
  CHECK(anet_buffer_get_iosurface(buffer) == nullptr);
  CHECK(anet_buffer_get_iosurface_id(buffer) == 0);
  CHECK(anet_buffer_get_iosurface(nullptr) == nullptr);
  CHECK(anet_buffer_get_iosurface_id(nullptr) == 0);
}

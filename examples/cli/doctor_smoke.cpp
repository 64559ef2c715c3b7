#include "doctor_smoke.h"

#include "device_flags.h"

#include <chrono>
#include <cmath>
#include <limits>

namespace cli {
namespace {

// Counting in words of bytes: enough of a pattern for the loss to fall within a few steps.
std::vector<int32_t> sample_ids(size_t count) {
  std::vector<int32_t> ids;
  for (int line = 1; ids.size() < count; ++line) {
    const std::string text =
        std::to_string(line) + " and one make " + std::to_string(line + 1) + ".\n";
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  ids.resize(count);
  return ids;
}

Session new_session(const SmokeSetup& setup, const Device& device, anet_precision precision) {
  auto config = initialised<anet_model_config>();
  call(anet_model_config_get, setup.model.c_str(), &config);
  const Model model = create<Model>(anet_model_create, &config, uint64_t{42});
  auto options = initialised<anet_session_options>();
  options.precision = precision;
  options.batch_size = setup.batch_size;
  options.sequence_length = setup.sequence_length;
  options.learning_rate = setup.learning_rate;
  if (precision == ANET_PRECISION_F16) options.initial_loss_scale = setup.initial_loss_scale;
  return create<Session>(anet_session_create, device.get(), model.get(), &options);
}

void train(const SmokeSetup& setup, const Session& session, SmokeRun& run) {
  const auto tokens =
      static_cast<size_t>(setup.batch_size) * static_cast<size_t>(setup.sequence_length);
  const std::vector<int32_t> ids = sample_ids(tokens * static_cast<size_t>(setup.steps) + 1);
  for (int32_t step = 0; step < setup.steps; ++step) {
    const int32_t* first = ids.data() + static_cast<size_t>(step) * tokens;
    auto batch = initialised<anet_batch>();
    batch.sequence_count = setup.batch_size;
    batch.sequence_length = setup.sequence_length;
    batch.tokens = first;
    batch.targets = first + 1;
    auto result = initialised<anet_step_result>();
    call(anet_session_step, session.get(), &batch, size_t{1}, &result);
    run.losses.push_back(result.loss);
    run.skipped += result.skipped;
  }
}

} // namespace

SmokeRun train_smoke(const SmokeSetup& setup, const Device& device, anet_precision precision) {
  SmokeRun run;
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  run.device = info.name;
  run.precision = precision == ANET_PRECISION_F16 ? "f16" : "f32";
  const auto start = std::chrono::steady_clock::now();
  try {
    const Session session = new_session(setup, device, precision);
    train(setup, session, run);
    run.kernels = kernel_places(session);
    run.report = device_report(device);
  } catch (const Failure& failure) {
    run.error = std::string(anet_status_name(failure.status)) + ": " + failure.what();
    run.report = device_report(device);
  }
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return run;
}

double loss_difference(const SmokeRun& expected, const SmokeRun& seen) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (expected.losses.empty() || expected.losses.size() != seen.losses.size()) return infinity;
  double largest = 0;
  for (size_t i = 0; i < expected.losses.size(); ++i) {
    const double difference =
        std::abs(seen.losses[i] - expected.losses[i]) / std::abs(expected.losses[i]);
    if (!std::isfinite(difference)) return infinity;
    largest = std::max(largest, difference);
  }
  return largest;
}

Json smoke_json(const SmokeRun& run) {
  Json object = json_object();
  json_set(object, "device", run.device);
  json_set(object, "precision", run.precision);
  if (!run.error.empty()) json_set(object, "error", run.error);
  json_set(object, "losses",
           Json(cJSON_CreateDoubleArray(run.losses.data(), static_cast<int>(run.losses.size()))));
  json_set_count(object, "skipped_steps", static_cast<uint64_t>(run.skipped));
  json_set(object, "seconds", run.seconds);
  json_set(object, "engine_share", run.engine_share());
  json_set_count(object, "evaluations", run.sum(&KernelPlace::evaluations));
  json_set_count(object, "retries", run.sum(&KernelPlace::retries));
  json_set_count(object, "fallbacks", run.sum(&KernelPlace::fallbacks));
  json_set(object, "kernels", kernels_json(run.kernels));
  return object;
}

} // namespace cli

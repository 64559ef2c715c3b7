#include "history.h"

#include "handles.h"

#include <cmath>
#include <ctime>
#include <filesystem>
#include <sys/resource.h>

namespace cli {
namespace {

struct StepField {
  const char* key;
  double anet_step_result::*field;
};

constexpr StepField step_fields[] = {
    {"loss", &anet_step_result::loss},
    {"grad_norm", &anet_step_result::grad_norm},
    {"learning_rate", &anet_step_result::learning_rate},
    {"loss_scale", &anet_step_result::loss_scale},
    {"seconds", &anet_step_result::seconds},
    {"forward_seconds", &anet_step_result::forward_seconds},
    {"backward_seconds", &anet_step_result::backward_seconds},
    {"loss_seconds", &anet_step_result::loss_seconds},
    {"optimizer_seconds", &anet_step_result::optimizer_seconds},
    {"staging_seconds", &anet_step_result::staging_seconds},
    {"engine_seconds", &anet_step_result::engine_seconds},
    {"host_seconds", &anet_step_result::host_seconds},
    {"copy_seconds", &anet_step_result::copy_seconds},
    {"audit_error", &anet_step_result::audit_error},
};

struct StepCount {
  const char* key;
  uint64_t anet_step_result::*field;
};

constexpr StepCount step_counts[] = {
    {"tokens", &anet_step_result::tokens},
    {"bytes_staged", &anet_step_result::bytes_staged},
    {"engine_evaluations", &anet_step_result::engine_evaluations},
    {"engine_flops", &anet_step_result::engine_flops},
    {"host_flops", &anet_step_result::host_flops},
    {"engine_bytes_in", &anet_step_result::engine_bytes_in},
    {"engine_bytes_out", &anet_step_result::engine_bytes_out},
    {"retries", &anet_step_result::retries},
    {"fallbacks", &anet_step_result::fallbacks},
    {"audits", &anet_step_result::audits},
    {"tokens_seen", &anet_step_result::tokens_seen},
};

struct PlanCount {
  const char* key;
  uint64_t anet_memory_plan::*field;
};

constexpr PlanCount plan_counts[] = {
    {"weights", &anet_memory_plan::weights},
    {"gradients", &anet_memory_plan::gradients},
    {"optimizer", &anet_memory_plan::optimizer},
    {"staged", &anet_memory_plan::staged},
    {"activations", &anet_memory_plan::activations},
    {"workspace", &anet_memory_plan::workspace},
    {"total", &anet_memory_plan::total},
};

// The most memory that this process has had at a time; macOS counts bytes, Linux KiB.
uint64_t peak_resident_bytes() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return static_cast<uint64_t>(usage.ru_maxrss);
#else
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

Json event(const char* kind) {
  Json object = json_object();
  json_set(object, "event", std::string(kind));
  return object;
}

// A run that was resumed did some steps again; the later record is the one that counts.
template <typename Record>
void append(std::vector<Record>& records, Record record) {
  while (!records.empty() && records.back().step >= record.step) records.pop_back();
  records.push_back(std::move(record));
}

void read_record(const cJSON* record, int64_t last_step, History& history) {
  const std::string kind = json_string(record, "event");
  const auto step = static_cast<int64_t>(json_number(record, "step"));
  if (step > last_step) return; // done after the checkpoint, and about to be done again
  if (kind == "step") {
    auto result = initialised<anet_step_result>();
    result.step = step;
    result.skipped = json_number(record, "skipped") != 0 ? 1 : 0;
    for (const StepField& field : step_fields) result.*field.field = json_number(record, field.key);
    for (const StepCount& count : step_counts)
      result.*count.field = static_cast<uint64_t>(json_number(record, count.key));
    append(history.steps, result);
  } else if (kind == "eval") {
    append(history.evaluations,
           Evaluation{step, json_number(record, "loss"), json_number(record, "seconds")});
  } else if (kind == "sample") {
    append(history.samples, Sample{step, json_string(record, "text")});
  }
}

} // namespace

void read_log(const std::string& path, int64_t last_step, History& history) {
  std::ifstream file(path, std::ios::binary);
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    // A run that was killed may have left half a line at the end.
    if (file.eof()) break;
    const Json record = json_parse(line, path + ":" + std::to_string(number));
    read_record(record.get(), last_step, history);
  }
}

Log::Log(const std::string& path, bool append) : path_(path) {
  if (path.empty()) return;
  file_.open(path, std::ios::binary | (append ? std::ios::app : std::ios::trunc));
  if (!file_) throw Failure(ANET_E_IO, "cannot write '" + path + "'");
}

void Log::write(const Json& object) {
  if (path_.empty()) return;
  file_ << json_text(object.get()) << '\n';
  file_.flush();
  if (!file_) throw Failure(ANET_E_IO, "cannot write '" + path_ + "'");
}

void Log::start(int64_t first_step,
                const std::vector<std::pair<std::string, std::string>>& settings,
                const anet_memory_plan& plan) {
  const Json object = event("start");
  json_set_count(object, "time", static_cast<uint64_t>(std::time(nullptr)));
  json_set_count(object, "first_step", static_cast<uint64_t>(first_step));
  for (const auto& [key, value] : settings) json_set(object, key.c_str(), value);
  Json memory = json_object();
  for (const PlanCount& count : plan_counts) json_set_count(memory, count.key, plan.*count.field);
  json_set(object, "memory", std::move(memory));
  write(object);
}

void Log::step(const anet_step_result& result) {
  const Json object = event("step");
  json_set_count(object, "step", static_cast<uint64_t>(result.step));
  json_set_count(object, "skipped", static_cast<uint64_t>(result.skipped));
  for (const StepCount& count : step_counts) json_set_count(object, count.key, result.*count.field);
  for (const StepField& field : step_fields) json_set(object, field.key, result.*field.field);
  json_set_count(object, "peak_resident_bytes", peak_resident_bytes());
  write(object);
}

void Log::evaluation(const Evaluation& evaluation) {
  const Json object = event("eval");
  json_set_count(object, "step", static_cast<uint64_t>(evaluation.step));
  json_set(object, "loss", evaluation.loss);
  json_set(object, "perplexity", std::exp(evaluation.loss));
  json_set(object, "seconds", evaluation.seconds);
  write(object);
}

void Log::save(int64_t step, const std::string& path) {
  const Json object = event("save");
  json_set_count(object, "step", static_cast<uint64_t>(step));
  json_set(object, "path", path);
  write(object);
}

void Log::sample(const Sample& sample) {
  const Json object = event("sample");
  json_set_count(object, "step", static_cast<uint64_t>(sample.step));
  json_set(object, "text", sample.text);
  write(object);
}

void Log::kernels(int64_t step, const std::vector<KernelPlace>& kernels) {
  const Json object = event("kernels");
  json_set_count(object, "step", static_cast<uint64_t>(step));
  json_set(object, "kernels", kernels_json(kernels));
  write(object);
}

void Log::end(int64_t step, bool interrupted, const std::string& reason,
              const std::vector<KernelPlace>& kernels) {
  const Json object = event("end");
  json_set_count(object, "step", static_cast<uint64_t>(step));
  json_set_count(object, "interrupted", interrupted ? 1 : 0);
  json_set(object, "reason", reason);
  json_set(object, "kernels", kernels_json(kernels));
  write(object);
}

} // namespace cli

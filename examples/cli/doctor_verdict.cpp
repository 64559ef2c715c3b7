#include "doctor_verdict.h"

#include "commands.h"
#include "text.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <sys/utsname.h>

namespace cli {
namespace {

std::string percent(double share) { return format_number(100 * share, 2) + " %"; }

const char* const send_back = "Send the output of `ane-train doctor --json` with your report.";

Verdict judge_engine(const Examination& examination) {
  const SmokeRun& run = examination.runs[1];
  const std::string steps = std::to_string(examination.setup.steps) + " training steps";
  if (!run.error.empty()) {
    return {exit_failure, "engine failed",
            "the engine is here, but training on it fails: " + run.error,
            std::string("Train with --device cpu. ") + send_back};
  }
  const double difference = loss_difference(examination.runs[0], run);
  if (difference > loss_tolerance) {
    return {exit_failure, "engine differs",
            "the engine's losses differ from the CPU's by " + percent(difference) + " in " + steps +
                ", more than " + percent(loss_tolerance),
            std::string("Do not train on it; use --device cpu. ") + send_back};
  }
  if (run.sum(&KernelPlace::evaluations) == 0) {
    return {exit_failure, "engine unused", "the engine is here, but everything ran on the host",
            std::string("The reasons are above. Train with --device cpu. ") + send_back};
  }
  if (const uint64_t fallbacks = run.sum(&KernelPlace::fallbacks); fallbacks > 0) {
    return {exit_failure, "engine falters",
            "the engine failed " + std::to_string(fallbacks) +
                " times and the CPU stepped in; losses within " + percent(difference) +
                " of the CPU's",
            std::string("The reasons are above. Train with --device cpu, or with --audit. ") +
                send_back};
  }
  return {exit_ok, "engine works",
          "the engine works: " + steps + " with losses within " + percent(difference) +
              " of the CPU's, " + percent(run.engine_share()) + " of the FLOPs on the engine",
          "Train with `ane-train train --device ane`."};
}

Verdict judge_cpu(const Examination& examination) {
  const double difference = loss_difference(examination.runs[0], examination.runs[1]);
  if (!examination.runs[1].error.empty() || difference > loss_tolerance) {
    return {exit_failure, "cpu failed",
            "the CPU's f16 losses differ from its f32 losses by " + percent(difference), send_back};
  }
  return {exit_ok, "cpu works",
          "the CPU works: f16 losses within " + percent(difference) + " of the f32 losses",
          "Train with `ane-train train --device cpu`."};
}

Json system_json() {
  utsname name{};
  uname(&name);
  Json object = json_object();
  json_set(object, "name", std::string(name.sysname));
  json_set(object, "release", std::string(name.release));
  json_set(object, "version", std::string(name.version));
  json_set(object, "machine", std::string(name.machine));
  return object;
}

// A value of the report for people.
std::string shown(const cJSON* value) {
  if (cJSON_IsString(value)) return value->valuestring;
  if (cJSON_IsBool(value)) return cJSON_IsTrue(value) ? "yes" : "no";
  return json_text(value);
}

void print_line(const char* name, const std::string& value) {
  std::printf("  %-28s %s\n", name, value.c_str());
}

// Said elsewhere, or nothing is said.
bool is_silent(const cJSON* item) {
  const std::string_view name = item->string;
  return name == "device" || name == "description" || shown(item).empty();
}

void print_fields(const cJSON* object) {
  const cJSON* item = nullptr;
  cJSON_ArrayForEach(item, object) {
    if (cJSON_IsArray(item) || cJSON_IsObject(item) || is_silent(item)) continue;
    print_line(item->string, shown(item));
  }
}

void print_probes(const cJSON* probes) {
  if (cJSON_GetArraySize(probes) > 0) std::printf("\nprobes\n");
  const cJSON* item = nullptr;
  cJSON_ArrayForEach(item, probes) {
    const cJSON* answer = cJSON_GetObjectItemCaseSensitive(item, "answer");
    const std::string detail = json_string(item, "detail");
    print_line(json_string(item, "question").c_str(),
               shown(answer) + (detail.empty() ? "" : "  (" + detail + ")"));
  }
}

// Plain fields first, then groups of them, then the probes. The kernels follow the training.
void print_report(const std::string& text) {
  const Json report = json_parse(text, "the device's report");
  print_fields(report.get());
  const cJSON* item = nullptr;
  cJSON_ArrayForEach(item, report.get()) {
    if (!cJSON_IsObject(item)) continue;
    std::printf("\n%s\n", item->string);
    print_fields(item);
  }
  print_probes(cJSON_GetObjectItemCaseSensitive(report.get(), "probes"));
}

void print_losses(const Examination& examination) {
  std::printf("\ntraining: model %s, %d steps of %d x %d tokens\n", examination.setup.model.c_str(),
              examination.setup.steps, examination.setup.batch_size,
              examination.setup.sequence_length);
  std::printf("  %-8s", "loss");
  for (const SmokeRun& run : examination.runs) {
    std::printf("  %12s", (run.device + " " + run.precision).c_str());
  }
  std::printf("\n");
  for (int32_t step = 0; step < examination.setup.steps; ++step) {
    std::printf("  step %-3d", step + 1);
    for (const SmokeRun& run : examination.runs) {
      const auto index = static_cast<size_t>(step);
      std::printf("  %12s",
                  index < run.losses.size() ? format_number(run.losses[index], 5).c_str() : "-");
    }
    std::printf("\n");
  }
  for (const SmokeRun& run : examination.runs) {
    if (!run.error.empty()) std::printf("  %s: %s\n", run.device.c_str(), run.error.c_str());
  }
}

// Up to the end of a character of UTF-8; --json has the whole.
std::string shortened(const std::string& text, size_t length) {
  if (text.size() <= length) return text;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
  return text.substr(0, length) + "...";
}

void print_kernels(const SmokeRun& run) {
  if (run.kernels.empty()) return;
  std::printf("\nkernels on %s: %s of the FLOPs on the engine, %llu evaluations, %llu retries, "
              "%llu fallbacks\n",
              run.device.c_str(), percent(run.engine_share()).c_str(),
              static_cast<unsigned long long>(run.sum(&KernelPlace::evaluations)),
              static_cast<unsigned long long>(run.sum(&KernelPlace::retries)),
              static_cast<unsigned long long>(run.sum(&KernelPlace::fallbacks)));
  for (const KernelPlace& kernel : run.kernels) {
    const std::string reason = shortened(kernel.reason, 120);
    print_line(kernel.label.c_str(), kernel.where + (reason.empty() ? "" : "  (" + reason + ")"));
  }
}

} // namespace

Verdict judge(const Examination& examination) {
  const SmokeRun& cpu = examination.runs.front();
  if (!cpu.error.empty() || !(cpu.losses.back() < cpu.losses.front())) {
    const std::string why = cpu.error.empty() ? "the loss does not fall" : cpu.error;
    return {exit_failure, "cpu failed", "training on the CPU fails: " + why, send_back};
  }
  if (examination.requested == "cpu") return judge_cpu(examination);
  if (examination.available) return judge_engine(examination);
  return {exit_no_engine, "no engine",
          "no Neural Engine that works here; training on the CPU works",
          "Train with `ane-train train --device cpu`."};
}

Json examination_json(const Examination& examination, const Verdict& verdict) {
  Json device = json_object();
  json_set(device, "name", examination.requested);
  cJSON_AddBoolToObject(device.get(), "available", examination.available);
  if (!examination.available) json_set(device, "reason", examination.reason);
  if (examination.available) json_set(device, "description", examination.description);
  if (!examination.report.empty()) {
    json_set(device, "report", json_parse(examination.report, "the device's report"));
  }
  Json smoke = json_object();
  const SmokeSetup& setup = examination.setup;
  json_set(smoke, "model", setup.model);
  json_set_count(smoke, "steps", static_cast<uint64_t>(setup.steps));
  json_set_count(smoke, "batch_size", static_cast<uint64_t>(setup.batch_size));
  json_set_count(smoke, "sequence_length", static_cast<uint64_t>(setup.sequence_length));
  json_set(smoke, "tolerance", loss_tolerance);
  Json runs(cJSON_CreateArray());
  for (const SmokeRun& run : examination.runs) {
    cJSON_AddItemToArray(runs.get(), smoke_json(run).release());
  }
  json_set(smoke, "runs", std::move(runs));
  if (examination.runs.size() == 2) {
    const double difference = loss_difference(examination.runs[0], examination.runs[1]);
    // JSON has no infinity: null says that the losses cannot be compared.
    json_set(smoke, "largest_difference", Json(cJSON_CreateNumber(difference)));
  }
  Json judged = json_object();
  json_set_count(judged, "exit_code", static_cast<uint64_t>(verdict.exit_code));
  json_set(judged, "state", verdict.state);
  json_set(judged, "text", verdict.text);
  json_set(judged, "advice", verdict.advice);
  Json object = json_object();
  json_set(object, "schema", std::string("ane-train doctor 1"));
  json_set(object, "library", std::string(anet_version_string()));
  json_set(object, "build", std::string(anet_build_info()));
  json_set(object, "system", system_json());
  json_set(object, "device", std::move(device));
  json_set(object, "training", std::move(smoke));
  json_set(object, "verdict", std::move(judged));
  return object;
}

void print_examination(const Examination& examination, const Verdict& verdict) {
  utsname name{};
  uname(&name);
  print_line("library", anet_build_info());
  print_line("system", std::string(name.sysname) + " " + name.release + " " + name.machine);
  print_line("device", examination.requested);
  if (examination.available) {
    print_line("description", examination.description);
  } else {
    print_line("not available", examination.reason);
  }
  if (!examination.report.empty()) print_report(examination.report);
  print_losses(examination);
  for (const SmokeRun& run : examination.runs) {
    if (run.device != "cpu") print_kernels(run);
  }
  std::printf("\n%s\n%s\n", verdict.text.c_str(), verdict.advice.c_str());
}

} // namespace cli

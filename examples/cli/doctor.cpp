#include "args.h"
#include "commands.h"
#include "data.h"
#include "doctor_verdict.h"

#include <cstdio>

namespace cli {
namespace {

struct DoctorConfig {
  std::string device = "ane";
  bool json = false;
};

CommandLine command_line(DoctorConfig& config) {
  return {"doctor",
          "Examines a device: what it is, what it can do, and whether a few training steps on it\n"
          "agree with the CPU's. Exit code: 0 it works, 1 it does not, 3 there is no such device\n"
          "here and the CPU works.",
          "",
          {{"Options",
            {{"device", "ane|cpu", "what to examine (ane)", store(config.device)},
             {"json", "", "everything as one JSON object",
              [&config](const std::string&) { config.json = true; }}}}}};
}

Examination examine(const DoctorConfig& config) {
  Examination examination;
  examination.requested = config.device;
  const Device cpu = open_device("cpu", 0);
  Device device;
  try {
    device = open_device(config.device, 0);
    examination.available = true;
  } catch (const Failure& failure) {
    if (failure.status != ANET_E_UNAVAILABLE) throw;
    examination.reason = failure.what();
  }
  const bool is_cpu = config.device == "cpu";
  examination.runs.push_back(
      train_smoke(examination.setup, cpu, is_cpu ? ANET_PRECISION_F32 : ANET_PRECISION_F16));
  if (!device) return examination;
  examination.runs.push_back(train_smoke(examination.setup, device, ANET_PRECISION_F16));
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  examination.description = info.description;
  return examination;
}

} // namespace

int run_doctor(const Arguments& arguments) {
  DoctorConfig config;
  const CommandLine line = command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  if (config.device != "ane" && config.device != "cpu") {
    throw UsageError("--device expects ane or cpu, got '" + config.device + "'");
  }
  const Examination examination = examine(config);
  const Verdict verdict = judge(examination);
  if (config.json) {
    std::printf("%s\n", json_lines(examination_json(examination, verdict).get()).c_str());
  } else {
    print_examination(examination, verdict);
  }
  return verdict.exit_code;
}

} // namespace cli

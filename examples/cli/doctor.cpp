#include "args.h"
#include "commands.h"
#include "device_flags.h"
#include "doctor_verdict.h"

#include <cstdio>

namespace cli {
namespace {

struct DoctorConfig {
  DeviceFlags device;
  bool json = false;
};

CommandLine command_line(DoctorConfig& config) {
  return {"doctor",
          "Examines a device: what it is, what it can do, and whether a few training steps on it\n"
          "agree with the CPU's. Exit code: 0 it works, 1 it does not, 3 there is no such device\n"
          "here and the CPU works.",
          "",
          {{"Device", device_options(config.device)},
           {"Output", {{"json", "", "everything as one JSON object", [&config](const std::string&) {
                          config.json = true;
                        }}}}}};
}

Examination examine(const DoctorConfig& config) {
  Examination examination;
  examination.requested = config.device.name;
  DeviceFlags host;
  host.name = "cpu";
  host.threads = config.device.threads;
  const Device cpu = open_device(host);
  Device device;
  try {
    device = open_device(config.device);
    examination.available = true;
  } catch (const Failure& failure) {
    if (failure.status != ANET_E_UNAVAILABLE) throw;
    examination.reason = failure.what();
  }
  const bool is_cpu = config.device.name == "cpu";
  examination.runs.push_back(
      train_smoke(examination.setup, cpu, is_cpu ? ANET_PRECISION_F32 : ANET_PRECISION_F16));
  if (!device) return examination;
  examination.runs.push_back(train_smoke(examination.setup, device, ANET_PRECISION_F16));
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  examination.description = info.description;
  examination.report = examination.runs.back().report;
  return examination;
}

} // namespace

int run_doctor(const Arguments& arguments) {
  DoctorConfig config;
  config.device.name = "ane";
  config.device.default_placement =
      ANET_PLACEMENT_ENGINE; // whether it works, not whether it is faster
  const CommandLine line = command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  const std::string& device = config.device.name;
  if (device != "ane" && device != "cpu") {
    throw UsageError("--device expects ane or cpu, got '" + device + "'");
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

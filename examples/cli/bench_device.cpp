#include "args.h"
#include "bench_device_output.h"
#include "commands.h"
#include "device_flags.h"
#include "text.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>

namespace cli {
namespace {

struct BenchConfig {
  DeviceFlags device;
  bool quick = false;
  double seconds = 0; // 0: 0.5, or 0.1 with --quick
  uint64_t max_memory = uint64_t{2} << 30;
  std::vector<std::string> only;
  std::string json;
  std::string plot;
};

std::vector<std::string> parse_sweeps(const std::string& text) {
  const std::vector<std::string> names = sweep_names();
  std::vector<std::string> chosen;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      const std::string guess = nearest(word, names);
      throw UsageError("unknown sweep '" + word + "'" +
                       (guess.empty() ? "" : ", did you mean '" + guess + "'?"));
    }
    chosen.push_back(word);
  }
  return chosen;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

CommandLine command_line(BenchConfig& config) {
  return {"bench-device",
          "Measures a device: dispatch, throughput against depth, width and weight size, forms of\n"
          "weights, several threads, copies. Points that the device refuses are reported too.",
          "",
          {{"Device", device_options(config.device)},
           {"Measurement",
            {{"quick", "", "fewer points and less time for each",
              [&config](const std::string&) { config.quick = true; }},
             {"seconds", "X", "time for each point (0.5, quick 0.1)",
              store_number("seconds", config.seconds)},
             {"max_memory", "BYTES", "points that need more are skipped (2G)",
              [&config](const std::string& text) {
                config.max_memory = parse_bytes("--max-memory", text);
              }},
             {"only", "SWEEPS", joined(sweep_names()),
              [&config](const std::string& text) { config.only = parse_sweeps(text); }},
             {"json", "FILE", "writes the results", store(config.json)},
             {"plot", "FILE.html", "draws them", store(config.plot)}}}}};
}

void check(const BenchConfig& config) {
  if (config.seconds < 0) throw UsageError("--seconds expects a number above 0");
  const std::string& plot = config.plot;
  if (!plot.empty() && (plot.size() < 5 || plot.substr(plot.size() - 5) != ".html")) {
    throw UsageError("--plot expects a name that ends in .html, got '" + plot + "'");
  }
}

BenchResult measure(const BenchConfig& config) {
  BenchResult result;
  const Device device = open_device(config.device);
  auto info = initialised<anet_device_info>();
  call(anet_device_get_info, device.get(), &info);
  result.device = info.name;
  result.description = info.description;
  result.threads = info.threads;
  result.plan.quick = config.quick;
  result.plan.only = config.only;
  result.plan.limits.seconds = config.seconds > 0 ? config.seconds : config.quick ? 0.1 : 0.5;
  result.plan.limits.memory = config.max_memory;
  std::printf("device  %s: %s\n", info.name, info.description);
  std::string title;
  const auto start = std::chrono::steady_clock::now();
  result.sweeps =
      run_sweeps(device, result.plan, [&title](const BenchSweep& sweep, const BenchPoint& point) {
        if (title != sweep.title) std::printf("\n%s\n", sweep.title.c_str());
        title = sweep.title;
        std::printf("%s\n", point_line(sweep, point).c_str());
      });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.report = device_report(device); // at the end: it counts what was compiled
  return result;
}

} // namespace

int run_bench_device(const Arguments& arguments) {
  BenchConfig config;
  config.device.default_placement =
      ANET_PLACEMENT_ENGINE; // it is the engine that is to be measured
  const CommandLine line = command_line(config);
  bool help = false;
  parse_arguments(line, arguments, help);
  if (help) {
    print_help(line);
    return exit_ok;
  }
  check(config);
  const BenchResult result = measure(config);
  if (!config.json.empty()) {
    write_text_file(config.json, json_lines(bench_json(result).get()) + "\n");
  }
  if (!config.plot.empty()) write_text_file(config.plot, bench_page(result));
  std::printf("\ndone in %s\n", format_duration(result.seconds).c_str());
  return exit_ok;
}

} // namespace cli

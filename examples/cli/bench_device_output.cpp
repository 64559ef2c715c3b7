#include "bench_device_output.h"

#include "chart.h"
#include "page.h"
#include "text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace cli {
namespace {

// Three digits and a unit: "1.25 G", "85.3 u".
std::string engineering(double value) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array<Unit, 7> units = {
      {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, " "}, {1e-3, " m"}, {1e-6, " u"}}};
  Unit chosen = units.back();
  for (const Unit& unit : units) {
    if (value >= unit.size) {
      chosen = unit;
      break;
    }
  }
  const double scaled = value / chosen.size;
  return format_number(scaled, scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2) + chosen.name;
}

const char* unit_of(Metric metric) {
  constexpr std::array<const char*, 4> units = {"s", "FLOP/s", "B/s", "runs/s"};
  return units[static_cast<size_t>(metric)];
}

const BenchSweep* find_sweep(const std::vector<BenchSweep>& sweeps, std::string_view name) {
  const auto found = std::find_if(sweeps.begin(), sweeps.end(),
                                  [&](const BenchSweep& sweep) { return sweep.name == name; });
  return found == sweeps.end() ? nullptr : &*found;
}

// The value of a series at x; 0 when it was not measured.
double value_at(const BenchSweep& sweep, std::string_view series, double x) {
  for (const BenchPoint& point : sweep.points) {
    if (point.status == "ok" && point.series == series && point.x == x) return point.value;
  }
  return 0;
}

// Geometric mean of one series over another where both were measured; 0 when nowhere.
double ratio(const BenchSweep* sweep, std::string_view over, std::string_view under) {
  double sum = 0;
  int count = 0;
  if (sweep == nullptr) return 0;
  for (const BenchPoint& point : sweep->points) {
    if (point.status != "ok" || point.series != over) continue;
    const double divisor = value_at(*sweep, under, point.x);
    if (divisor <= 0) continue;
    sum += std::log(point.value / divisor);
    ++count;
  }
  return count == 0 ? 0 : std::exp(sum / count);
}

// The size after which throughput stays a fifth or more below the best; 0 without such a fall. A
// single slow point in between is a disturbance.
double cliff(const BenchSweep* sweep) {
  double best = 0;
  double last = 0;
  bool below = false;
  if (sweep == nullptr) return 0;
  for (const BenchPoint& point : sweep->points) {
    if (point.status != "ok") continue;
    best = std::max(best, point.value);
    below = point.value < 0.8 * best;
    if (!below) last = point.x;
  }
  return below ? last : 0;
}

std::vector<std::string> series_of(const BenchSweep& sweep) {
  std::vector<std::string> names;
  for (const BenchPoint& point : sweep.points) {
    if (std::find(names.begin(), names.end(), point.series) == names.end()) {
      names.push_back(point.series);
    }
  }
  return names;
}

Json point_json(const BenchSweep& sweep, const BenchPoint& point) {
  Json object = json_object();
  json_set(object, "series", point.series);
  json_set(object, sweep.x_name.c_str(), point.x);
  json_set(object, "status", point.status);
  if (!point.reason.empty()) json_set(object, "reason", point.reason);
  json_set_count(object, "flops", point.flops);
  json_set_count(object, "bytes", point.bytes);
  if (point.status != "ok") return object;
  json_set(object, metric_name(sweep.metric), point.value);
  json_set_count(object, "runs", point.timing.runs);
  if (sweep.metric != Metric::seconds) json_set(object, "seconds", point.timing.median);
  json_set(object, "seconds_p95", point.timing.p95);
  json_set(object, "seconds_fastest", point.timing.fastest);
  json_set(object, "seconds_first", point.timing.first);
  json_set(object, "seconds_compiling", point.compile_seconds);
  if (!point.where.empty()) json_set(object, "where", point.where);
  if (!point.where_reason.empty()) json_set(object, "where_reason", point.where_reason);
  return object;
}

Json sweep_json(const BenchSweep& sweep) {
  Json points(cJSON_CreateArray());
  for (const BenchPoint& point : sweep.points) {
    cJSON_AddItemToArray(points.get(), point_json(sweep, point).release());
  }
  Json object = json_object();
  json_set(object, "name", sweep.name);
  json_set(object, "title", sweep.title);
  json_set(object, "x", sweep.x_name);
  json_set(object, "value", std::string(metric_name(sweep.metric)));
  json_set(object, "points", std::move(points));
  return object;
}

using SummaryField = std::pair<const char*, double BenchSummary::*>;
constexpr std::array<SummaryField, 8> summary_fields = {{
    {"dispatch_seconds", &BenchSummary::dispatch_seconds},
    {"dispatch_p95_seconds", &BenchSummary::dispatch_p95_seconds},
    {"best_flops_per_second", &BenchSummary::best_flops_per_second},
    {"matmul_over_convolution", &BenchSummary::matmul_over_convolution},
    {"int8_over_fp16", &BenchSummary::int8_over_fp16},
    {"inputs_over_constants", &BenchSummary::inputs_over_constants},
    {"two_threads_over_one", &BenchSummary::two_threads_over_one},
    {"weight_cliff_megabytes", &BenchSummary::weight_cliff_megabytes},
}};

// The unit in which a sweep's values are drawn.
struct Scale {
  double factor;
  const char* unit;
};

Scale scale_of(const BenchSweep& sweep) {
  double highest = 0;
  for (const BenchPoint& point : sweep.points) highest = std::max(highest, point.value);
  switch (sweep.metric) {
  case Metric::seconds:
    return highest < 1e-3 ? Scale{1e6, "microseconds, median"} : Scale{1e3, "milliseconds, median"};
  case Metric::flops_per_second:
    return highest < 1e12 ? Scale{1e-9, "GFLOP/s"} : Scale{1e-12, "TFLOP/s"};
  case Metric::bytes_per_second:
    return {1e-9, "GB/s"};
  default:
    return {1, "runs a second"};
  }
}

std::string sweep_chart(const BenchSweep& sweep) {
  const Scale scale = scale_of(sweep);
  std::vector<Series> series;
  for (const std::string& name : series_of(sweep)) {
    Series line{name, {}, true};
    for (const BenchPoint& point : sweep.points) {
      if (point.series != name || point.status != "ok") continue;
      line.points.emplace_back(point.x, point.value * scale.factor);
    }
    series.push_back(std::move(line));
  }
  const std::string unit = std::string(scale.unit) + ", by " + sweep.x_name;
  return line_chart(sweep.title, unit, series, {sweep.x_name, true, true});
}

// Points that are not in the charts, and those that did not run where they were meant to.
Rows remarks(const BenchResult& result) {
  Rows rows;
  for (const BenchSweep& sweep : result.sweeps) {
    for (const BenchPoint& point : sweep.points) {
      const std::string name =
          sweep.title + ": " + point.series + ", " + format_number(point.x, 0) + " " + sweep.x_name;
      if (point.status != "ok") {
        rows.emplace_back(name, point.status + ": " + point.reason);
      } else if (!point.where.empty() && point.where != result.device) {
        rows.emplace_back(name, "ran on " + point.where +
                                    (point.where_reason.empty() ? "" : ": " + point.where_reason));
      }
    }
  }
  return rows;
}

Rows tiles(const BenchSummary& summary) {
  Rows rows;
  if (summary.dispatch_seconds > 0) {
    rows.emplace_back("smallest run", engineering(summary.dispatch_seconds) + "s");
  }
  if (summary.best_flops_per_second > 0) {
    rows.emplace_back("best throughput", engineering(summary.best_flops_per_second) + "FLOP/s");
  }
  const auto add_ratio = [&](const char* name, double value) {
    if (value > 0) rows.emplace_back(name, format_number(value, 2) + " x");
  };
  add_ratio("matmul over convolution", summary.matmul_over_convolution);
  add_ratio("int8 over fp16 constants", summary.int8_over_fp16);
  add_ratio("inputs over constants", summary.inputs_over_constants);
  add_ratio("two threads over one", summary.two_threads_over_one);
  return rows;
}

} // namespace

BenchSummary summarize(const std::vector<BenchSweep>& sweeps) {
  BenchSummary summary;
  for (const BenchSweep& sweep : sweeps) {
    if (sweep.metric != Metric::flops_per_second) continue;
    for (const BenchPoint& point : sweep.points) {
      if (point.status != "ok") continue;
      summary.best_flops_per_second = std::max(summary.best_flops_per_second, point.value);
    }
  }
  if (const BenchSweep* sweep = find_sweep(sweeps, "dispatch")) {
    const auto first = std::find_if(sweep->points.begin(), sweep->points.end(),
                                    [](const BenchPoint& point) { return point.status == "ok"; });
    if (first != sweep->points.end()) {
      summary.dispatch_seconds = first->timing.median;
      summary.dispatch_p95_seconds = first->timing.p95;
    }
  }
  const BenchSweep* forms = find_sweep(sweeps, "forms");
  constexpr const char* reference = "convolution, fp16 constants";
  summary.matmul_over_convolution = ratio(forms, "matmul, fp16 constants", reference);
  summary.int8_over_fp16 = ratio(forms, "convolution, int8 constants", reference);
  summary.inputs_over_constants = ratio(forms, "convolution, inputs", reference);
  if (const BenchSweep* sweep = find_sweep(sweeps, "in_flight"); sweep && !sweep->points.empty()) {
    const std::string& series = sweep->points.front().series;
    const double one = value_at(*sweep, series, 1);
    if (one > 0) summary.two_threads_over_one = value_at(*sweep, series, 2) / one;
  }
  summary.weight_cliff_megabytes = cliff(find_sweep(sweeps, "weight_size"));
  return summary;
}

std::string point_line(const BenchSweep& sweep, const BenchPoint& point) {
  std::array<char, 200> text{};
  const std::string x = sweep.x_name + " " + format_number(point.x, 0);
  std::snprintf(text.data(), text.size(), "  %-30s %-16s", point.series.c_str(), x.c_str());
  std::string line = text.data();
  if (point.status != "ok") return line + point.status + ": " + point.reason;
  const Timing& timing = point.timing;
  if (sweep.metric != Metric::seconds) {
    const std::string value = engineering(point.value) + unit_of(sweep.metric);
    std::snprintf(text.data(), text.size(), "%14s  ", value.c_str());
    line += text.data();
  }
  std::snprintf(text.data(), text.size(), "median %8ss  p95 %8ss  %5llu run%s",
                engineering(timing.median).c_str(), engineering(timing.p95).c_str(),
                static_cast<unsigned long long>(timing.runs), timing.runs == 1 ? "" : "s");
  line += text.data();
  if (!point.where.empty()) line += "  " + point.where;
  return line;
}

Json bench_json(const BenchResult& result) {
  Json device = json_object();
  json_set(device, "name", result.device);
  json_set(device, "description", result.description);
  json_set_count(device, "threads", result.threads);
  if (!result.report.empty()) json_set(device, "report", json_parse(result.report, "the report"));
  Json settings = json_object();
  cJSON_AddBoolToObject(settings.get(), "quick", result.plan.quick);
  json_set(settings, "seconds", result.plan.limits.seconds);
  json_set_count(settings, "max_memory", result.plan.limits.memory);
  Json numbers = json_object();
  const BenchSummary summary = summarize(result.sweeps);
  for (const auto& [name, field] : summary_fields) {
    if (summary.*field > 0) json_set(numbers, name, summary.*field);
  }
  Json sweeps(cJSON_CreateArray());
  for (const BenchSweep& sweep : result.sweeps) {
    cJSON_AddItemToArray(sweeps.get(), sweep_json(sweep).release());
  }
  Json object = json_object();
  json_set(object, "schema", std::string("ane-train bench-device 1"));
  json_set(object, "library", std::string(anet_version_string()));
  json_set(object, "build", std::string(anet_build_info()));
  json_set(object, "device", std::move(device));
  json_set(object, "settings", std::move(settings));
  json_set(object, "seconds", result.seconds);
  json_set(object, "summary", std::move(numbers));
  json_set(object, "sweeps", std::move(sweeps));
  return object;
}

std::string bench_page(const BenchResult& result) {
  std::string body = "<div class=\"charts\">\n";
  for (const BenchSweep& sweep : result.sweeps) body += sweep_chart(sweep);
  body += "</div>\n";
  const Rows rows = remarks(result);
  if (!rows.empty()) body += "<h2>Remarks</h2>\n" + html_table(rows);
  const std::string lead =
      result.device + ": " + result.description + " \u00b7 libane_train " + anet_version_string();
  return html_page("Device measurements", lead, tiles(summarize(result.sweeps)), body);
}

} // namespace cli

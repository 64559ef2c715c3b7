#include "report.h"

#include "chart.h"
#include "page.h"
#include "text.h"

namespace cli {
namespace {

Series step_series(const History& history, const char* name, double anet_step_result::*field) {
  Series series{name, {}, false};
  for (const anet_step_result& result : history.steps) {
    series.points.emplace_back(static_cast<double>(result.step), result.*field);
  }
  return series;
}

std::string charts(const History& history) {
  Series validation{"validation", {}, true};
  for (const Evaluation& evaluation : history.evaluations) {
    validation.points.emplace_back(static_cast<double>(evaluation.step), evaluation.loss);
  }
  std::string html = "<div class=\"charts\">\n";
  html += line_chart("Loss", "nats a token",
                     {step_series(history, "training", &anet_step_result::loss), validation});
  html += line_chart("Learning rate", "",
                     {step_series(history, "rate", &anet_step_result::learning_rate)});
  html += line_chart("Gradient norm", "before clipping",
                     {step_series(history, "norm", &anet_step_result::grad_norm)});
  html += stacked_chart("Where a step's time goes", "seconds",
                        {step_series(history, "forward", &anet_step_result::forward_seconds),
                         step_series(history, "backward", &anet_step_result::backward_seconds),
                         step_series(history, "head and loss", &anet_step_result::loss_seconds),
                         step_series(history, "optimizer", &anet_step_result::optimizer_seconds),
                         step_series(history, "staging", &anet_step_result::staging_seconds)});
  return html + "</div>\n";
}

std::string samples(const History& history) {
  if (history.samples.empty()) return "";
  std::string html = "<h2>Samples</h2>\n";
  for (const Sample& sample : history.samples) {
    html += "<blockquote><span>after step " + std::to_string(sample.step) + "</span>" +
            escape_html(sample.text) + "</blockquote>\n";
  }
  return html;
}

std::string row(const std::vector<std::string>& cells, const char* tag) {
  std::string html = "<tr>";
  for (const std::string& cell : cells)
    html += std::string("<") + tag + ">" + escape_html(cell) + "</" + tag + ">";
  return html + "</tr>\n";
}

// Where the work was done, program by program.
std::string kernels(const History& history) {
  if (history.kernels.empty()) return "";
  std::string html = "<h2>Where the work ran</h2>\n";
  if (sum_of(history.kernels, &KernelPlace::evaluations) > 0)
    html += "<div class=\"charts\">\n" +
            stacked_chart("Engine and CPU", "seconds a step",
                          {step_series(history, "engine", &anet_step_result::engine_seconds),
                           step_series(history, "CPU", &anet_step_result::host_seconds),
                           step_series(history, "copies", &anet_step_result::copy_seconds)}) +
            "</div>\n";
  html += "<div class=\"table\"><table>\n" +
          row({"program", "runs on", "runs", "evaluations", "FLOPs on the engine", "fallbacks",
               "seconds", "why the CPU"},
              "th");
  for (const KernelPlace& kernel : history.kernels) {
    const auto engine = static_cast<double>(kernel.engine_flops);
    const double flops = engine + static_cast<double>(kernel.host_flops);
    html +=
        row({kernel.label, kernel.where, std::to_string(kernel.runs),
             std::to_string(kernel.evaluations),
             flops > 0 ? format_number(100 * engine / flops, 1) + " %" : "none",
             std::to_string(kernel.fallbacks),
             format_number(kernel.engine_seconds + kernel.host_seconds + kernel.copy_seconds, 2),
             kernel.reason},
            "td");
  }
  return html + "</table></div>\n";
}

std::string settings(const History& history) {
  return "<h2>Configuration</h2>\n" + html_table(history.settings);
}

} // namespace

std::string report_html(const History& history,
                        const std::vector<std::pair<std::string, std::string>>& numbers,
                        const std::string& end) {
  const std::string lead = end + " (libane_train " + anet_version_string() + ")";
  return html_page("Training report", lead, numbers,
                   charts(history) + kernels(history) + samples(history) + settings(history));
}

} // namespace cli

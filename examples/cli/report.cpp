#include "report.h"

#include "chart.h"
#include "page.h"

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

std::string settings(const History& history) {
  return "<h2>Configuration</h2>\n" + html_table(history.settings);
}

} // namespace

std::string report_html(const History& history,
                        const std::vector<std::pair<std::string, std::string>>& numbers) {
  return html_page("Training report", std::string("libane_train ") + anet_version_string(), numbers,
                   charts(history) + samples(history) + settings(history));
}

} // namespace cli

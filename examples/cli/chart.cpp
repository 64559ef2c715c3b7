#include "chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>

namespace cli {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double width = 720;
constexpr double height = 260;
constexpr double left = 58;
constexpr double right = 12;
constexpr double top = 10;
constexpr double bottom = 28;
constexpr size_t most_points = 400;

std::string number(double value, const char* format = "%.6g") {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// The means of equal groups, so that noise does not hide the course of a long run.
Points thinned(const Points& points) {
  const size_t group = (points.size() + most_points - 1) / most_points;
  if (group <= 1) return points;
  Points result;
  for (size_t first = 0; first < points.size(); first += group) {
    const size_t count = std::min(group, points.size() - first);
    double x = 0;
    double y = 0;
    for (const auto& point : std::span(points).subspan(first, count)) {
      x += point.first;
      y += point.second;
    }
    result.emplace_back(x / static_cast<double>(count), y / static_cast<double>(count));
  }
  return result;
}

// About five round steps (1, 2 or 5 times a power of ten) that cover low to high.
struct Axis {
  double low = 0;
  double high = 1;
  double step = 1;

  static Axis covering(double low, double high) {
    if (high - low <= std::abs(high) * 1e-9) {
      const double margin = high == 0 ? 1 : std::abs(high) * 0.1;
      low -= margin;
      high += margin;
    }
    const double rough = (high - low) / 5;
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    const double digit = rough / power;
    const double step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    return {std::floor(low / step) * step, std::ceil(high / step) * step, step};
  }
};

struct Frame {
  Axis x;
  Axis y;
  bool powers_of_two = false; // x is a logarithm

  double at_x(double value) const {
    return left + (value - x.low) / (x.high - x.low) * (width - left - right);
  }
  double at_y(double value) const {
    return height - bottom - (value - y.low) / (y.high - y.low) * (height - top - bottom);
  }
  std::string label_x(double value) const {
    return number(powers_of_two ? std::exp2(value) : value, "%.8g");
  }
  std::string point(double px, double py) const {
    return number(at_x(px), "%.1f") + "," + number(at_y(py), "%.1f");
  }
};

Frame frame_of(const std::vector<Series>& series, bool from_zero, bool powers_of_two) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double low_x = infinity, high_x = -infinity, low_y = infinity, high_y = -infinity;
  for (const Series& line : series) {
    for (const auto& [x, y] : line.points) {
      low_x = std::min(low_x, x);
      high_x = std::max(high_x, x);
      low_y = std::min(low_y, y);
      high_y = std::max(high_y, y);
    }
  }
  if (from_zero) low_y = 0;
  Frame frame;
  frame.y = Axis::covering(low_y, high_y);
  frame.x = Axis::covering(low_x, high_x);
  // Steps begin and end where the data does; only the labels are round.
  if (high_x > low_x) {
    frame.x.low = low_x;
    frame.x.high = high_x;
  }
  frame.powers_of_two = powers_of_two;
  if (powers_of_two) frame.x.step = std::max(1.0, std::ceil((high_x - low_x) / 10));
  return frame;
}

std::string axes_svg(const Frame& frame) {
  std::string svg;
  for (double y = frame.y.low; y <= frame.y.high + frame.y.step / 2; y += frame.y.step) {
    const double value = std::abs(y) < frame.y.step * 1e-6 ? 0 : y;
    const std::string at = number(frame.at_y(value), "%.1f");
    svg += "<line class=\"grid\" x1=\"" + number(left) + "\" x2=\"" + number(width - right) +
           "\" y1=\"" + at + "\" y2=\"" + at + "\"/><text x=\"" + number(left - 8) + "\" y=\"" +
           at + "\" dy=\"4\" text-anchor=\"end\">" + number(value, "%.4g") + "</text>\n";
  }
  const double first = std::ceil(frame.x.low / frame.x.step) * frame.x.step;
  for (double x = first; x <= frame.x.high; x += frame.x.step) {
    // A label at the right edge ends there.
    const double at = frame.at_x(x);
    const bool last = at > width - right - 1;
    svg += "<text x=\"" + number(last ? width - 1 : at, "%.1f") + "\" y=\"" + number(height - 8) +
           "\" text-anchor=\"" + (last ? "end" : "middle") + "\">" + frame.label_x(x) + "</text>\n";
  }
  return svg;
}

std::string figure(const std::string& title, const std::string& unit,
                   const std::vector<Series>& series, const std::string& body) {
  std::string html = "<figure>\n<figcaption><b>" + escape_html(title) + "</b>";
  if (!unit.empty()) html += " <span>" + escape_html(unit) + "</span>";
  if (series.size() > 1) {
    for (size_t i = 0; i < series.size(); ++i) {
      html += "<span class=\"key\"><i class=\"c" + std::to_string(i) + "\"></i>" +
              escape_html(series[i].name) + "</span>";
    }
  }
  html += "</figcaption>\n<svg viewBox=\"0 0 " + number(width) + " " + number(height) +
          "\" role=\"img\" aria-label=\"" + escape_html(title) + "\">\n";
  return html + body + "</svg>\n</figure>\n";
}

// False when there is nothing to draw. Values that are not finite are left out.
bool prepare(std::vector<Series>& series) {
  for (Series& line : series) {
    std::erase_if(line.points, [](const auto& point) { return !std::isfinite(point.second); });
    line.points = thinned(line.points);
  }
  std::erase_if(series, [](const Series& line) { return line.points.empty(); });
  return !series.empty();
}

std::string line_svg(const Frame& frame, const Series& line, size_t index,
                     const std::string& x_name) {
  const std::string colour = "c" + std::to_string(index);
  std::string svg = "<polyline class=\"line " + colour + "\" points=\"";
  for (const auto& [x, y] : line.points) svg += frame.point(x, y) + " ";
  svg += "\"/>\n";
  if (!line.markers && line.points.size() > 1) return svg;
  for (const auto& [x, y] : line.points) {
    svg += "<circle class=\"dot " + colour + "\" cx=\"" + number(frame.at_x(x), "%.1f") +
           "\" cy=\"" + number(frame.at_y(y), "%.1f") + "\" r=\"3.5\"><title>" +
           escape_html(x_name) + " " + frame.label_x(x) + ": " + number(y, "%.4g") +
           "</title></circle>\n";
  }
  return svg;
}

} // namespace

std::string escape_html(const std::string& text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
    case '&':
      html += "&amp;";
      break;
    case '<':
      html += "&lt;";
      break;
    case '>':
      html += "&gt;";
      break;
    case '"':
      html += "&quot;";
      break;
    default:
      html += c;
    }
  }
  return html;
}

std::string line_chart(const std::string& title, const std::string& unit,
                       std::vector<Series> series, const ChartStyle& style) {
  if (!prepare(series)) return "";
  if (style.powers_of_two) {
    for (Series& line : series) {
      for (auto& point : line.points) point.first = std::log2(point.first);
    }
  }
  const Frame frame = frame_of(series, style.from_zero, style.powers_of_two);
  std::string body = axes_svg(frame);
  for (size_t i = 0; i < series.size(); ++i) body += line_svg(frame, series[i], i, style.x_name);
  return figure(title, unit, series, body);
}

std::string stacked_chart(const std::string& title, const std::string& unit,
                          std::vector<Series> series) {
  if (!prepare(series)) return "";
  std::vector<Series> sums = series;
  for (size_t i = 1; i < sums.size(); ++i) {
    for (size_t k = 0; k < sums[i].points.size(); ++k) {
      sums[i].points[k].second += sums[i - 1].points[k].second;
    }
  }
  const Frame frame = frame_of(sums, true, false);
  std::string areas;
  for (size_t i = 0; i < sums.size(); ++i) {
    areas += "<polygon class=\"area c" + std::to_string(i) + "\" points=\"";
    for (const auto& [x, y] : sums[i].points) areas += frame.point(x, y) + " ";
    for (size_t k = sums[i].points.size(); k-- > 0;) {
      const double x = sums[i].points[k].first;
      areas += frame.point(x, i == 0 ? 0.0 : sums[i - 1].points[k].second) + " ";
    }
    areas += "\"><title>" + escape_html(sums[i].name) + "</title></polygon>\n";
  }
  return figure(title, unit, series, areas + axes_svg(frame));
}

} // namespace cli

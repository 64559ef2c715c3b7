// Line and area charts as inline SVG: no script, no network, colours from the page's CSS.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cli {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points; // x ascending
  bool markers = false;                          // a dot at each point, for series with few of them
};

struct ChartStyle {
  std::string x_name = "step"; // in the tooltips
  bool from_zero = false;      // the y axis begins at 0
  bool powers_of_two = false;  // x is drawn by its logarithm; every x is above 0
};

std::string escape_html(const std::string& text);

// A <figure> with title, legend, axes and one line for each series. Series beyond a few hundred
// points are averaged in groups. An empty string when there is nothing to draw.
std::string line_chart(const std::string& title, const std::string& unit,
                       std::vector<Series> series, const ChartStyle& style = {});

// The same with the series stacked on each other; they share their x values.
std::string stacked_chart(const std::string& title, const std::string& unit,
                          std::vector<Series> series);

} // namespace cli

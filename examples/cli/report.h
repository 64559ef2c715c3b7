// The report of a run: one HTML file that needs nothing else.
#pragma once

#include "history.h"

#include <string>

namespace cli {

// `numbers` are the tiles at the top: {"validation loss", "1.42"}, ...
std::string report_html(const History& history,
                        const std::vector<std::pair<std::string, std::string>>& numbers,
                        const std::string& end); // why the run ended

} // namespace cli

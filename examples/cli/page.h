// An HTML page that needs nothing else: its style is inside, and it fits light and dark screens.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cli {

using Rows = std::vector<std::pair<std::string, std::string>>;

// `tiles` are the numbers at the top: {"validation loss", "1.42"}, ... `body` is HTML.
std::string html_page(const std::string& title, const std::string& lead, const Rows& tiles,
                      const std::string& body);

// A table of two columns. The texts are escaped.
std::string html_table(const Rows& rows);

} // namespace cli

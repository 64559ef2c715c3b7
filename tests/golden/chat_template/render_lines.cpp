// Renders what check_published.py sends: one JSON object a line, {"template", "context"}, gives
// {"text", "spans"} or {"error"}. A tool for checking by hand; no part of the tests.
#include "base/json.h"
#include "io/jinja/template.h"

#include <iostream>
#include <string>
#include <vector>

namespace {

anet::Json answer(const std::string& line) {
  using anet::Json;
  const Json job = Json::parse(line);
  anet::io::jinja::RenderOptions options;
  options.now = std::tm{.tm_sec = 9,
                        .tm_min = 3,
                        .tm_hour = 14,
                        .tm_mday = 5,
                        .tm_mon = 6,
                        .tm_year = 124,
                        .tm_wday = 5,
                        .tm_yday = 186};
  std::vector<anet::io::jinja::RenderedSpan> spans;
  const anet::io::jinja::Template chat_template(*job.find("template")->if_string());
  Json result = Json::object();
  result.set("text", chat_template.render(*job.find("context"), options, &spans));
  Json places = Json::array();
  for (const auto& span : spans)
    places.push_back(Json::array().push_back(span.begin).push_back(span.end));
  return result.set("spans", std::move(places));
}

} // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    anet::Json result;
    try {
      result = answer(line);
    } catch (const anet::Error& error) {
      result = anet::Json::object().set("error", error.message());
    }
    std::cout << result.to_string() << "\n";
  }
}

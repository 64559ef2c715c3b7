#include "base/log.h"

#include <doctest/doctest.h>
#include <ostream>
#include <string>
#include <vector>

using namespace anet;

namespace {

struct Counted {
  int* count;
};
std::ostream& operator<<(std::ostream& out, const Counted& counted) {
  ++*counted.count;
  return out << "x";
}

void collect(void* user_data, LogLevel level, const char* category, const char* text) {
  static_cast<std::vector<std::string>*>(user_data)->push_back(
      concat(log_level_name(level), " ", category, ": ", text));
}

} // namespace

TEST_CASE("a logger passes on what is enabled and formats nothing else") {
  std::vector<std::string> lines;
  int formatted = 0;
  const Logger logger(LogLevel::warning, collect, &lines);
  logger.write(LogLevel::error, "plan", "kernel ", 12, " ", Counted{&formatted});
  logger.write(LogLevel::info, "plan", Counted{&formatted});
  logger.write(LogLevel::off, "plan", Counted{&formatted});
  CHECK(lines == std::vector<std::string>{"error plan: kernel 12 x"});
  CHECK(formatted == 1);
  const Logger silent;
  silent.write(LogLevel::error, "plan", Counted{&formatted});
  const Logger without_callback(LogLevel::debug, nullptr, nullptr);
  without_callback.write(LogLevel::error, "plan", Counted{&formatted});
  CHECK(formatted == 1);
}
